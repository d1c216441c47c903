"""The tenants that a statement's rows belong to, and the keys of tables, for a database that is distributed."""
