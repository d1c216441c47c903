"""Queries and the cache: reads through it, and writes that invalidate its entries."""
