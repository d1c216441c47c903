"""Statements on a connection: alone, in batches, and concurrent reads sent together."""
