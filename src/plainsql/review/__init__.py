"""A project's SQL against PostgreSQL: scratch (a database made from the migrations) · inspect · report."""
