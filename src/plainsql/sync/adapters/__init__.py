"""The adapters of PostgreSQL's types: psycopg's loaders for results, dump functions for parameters.

psycopg chooses how to dump a value by its Python class. Here the type of the parameter decides, as on
asyncpg: a query must mean the same on both drivers. A value that the type does not have is refused before
anything is sent.

psycopg's own loaders load the results, in C if they are installed. This package adds loaders for types that
psycopg leaves as text, or loads into other classes than asyncpg.

All values travel as text. Every type has a text format, those of extensions too. libpq requests one format
for a whole row. psycopg's binary loaders are not faster for a row of common types.
"""

from plainsql.sync.adapters.adapter import DUMP_ERRORS, LOAD_ERRORS, Adapter, text_loader
from plainsql.sync.adapters.arrays import array_adapter
from plainsql.sync.adapters.composites import composite_adapter, composite_loader
from plainsql.sync.adapters.hstore import HSTORE
from plainsql.sync.adapters.ranges import multirange_adapter, range_adapter
from plainsql.sync.adapters.scalars import RECORD, SCALARS, TEXT
from plainsql.sync.adapters.times import FAST
from plainsql.sync.adapters.vectors import vector_adapter

__all__ = [
    "DUMP_ERRORS",
    "FAST",
    "HSTORE",
    "LOAD_ERRORS",
    "RECORD",
    "SCALARS",
    "TEXT",
    "Adapter",
    "array_adapter",
    "composite_adapter",
    "composite_loader",
    "multirange_adapter",
    "range_adapter",
    "text_loader",
    "vector_adapter",
]
