"""Results as columns in Arrow's format, which other libraries take without a copy."""

from plainsql.columns.arrow_columns import Column, Columns

__all__ = ["Column", "Columns"]
