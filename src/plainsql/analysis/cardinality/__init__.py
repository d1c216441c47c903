"""The number of rows of a query, and the columns by which its rows are unique."""
