"""The tenants whose rows a statement uses, and the keys of tables, if a database is distributed by tenant."""
