"""The conditions of a query, and the facts and equalities that follow from them."""
