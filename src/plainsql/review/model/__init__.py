"""The content of the review's pages: plain structs, and the functions that fill them."""
