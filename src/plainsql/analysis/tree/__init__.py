"""The analysed tree of a statement: its queries, their range tables, and the query behind each entry."""
