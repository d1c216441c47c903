"""The plans of queries: the database that they are made on, their trees, and the files that hold them."""
