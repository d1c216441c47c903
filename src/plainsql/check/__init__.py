"""A project's SQL against PostgreSQL: inspect · project."""
