"""The check of a project's SQL against PostgreSQL: `project_check` is the entry, `analysed_statements` the
work.
"""
