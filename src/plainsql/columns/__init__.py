"""Results as columns in Arrow's format, which other libraries take without a copy."""

from plainsql.columns.columns import Column, Columns

__all__ = ["Column", "Columns"]
