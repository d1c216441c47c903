"""The inside of values: elements of arrays, fields of rows, the structure of the JSON that a query builds."""
