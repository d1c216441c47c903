"""The connection pool of one database, and connections of one tenant from it."""
