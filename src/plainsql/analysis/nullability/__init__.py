"""Nullability: the proof that a value, a column or a parameter cannot be null."""
