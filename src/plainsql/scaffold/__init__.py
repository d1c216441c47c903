"""First query files for a table: ``scaffold_table`` reads it, ``table_queries`` writes the SQL."""
