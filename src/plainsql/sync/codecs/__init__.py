"""PostgreSQL's values as text, both ways.

Text is the one format that every type has, those of extensions too; libpq can ask for one format for a
whole row only. Which Python values are taken and given is asyncpg's choice, so that a query
means the same on both executors.
"""

from plainsql.sync.codecs.arrays import array_codec
from plainsql.sync.codecs.codec import Codec
from plainsql.sync.codecs.composites import composite_codec
from plainsql.sync.codecs.ranges import multirange_codec, range_codec
from plainsql.sync.codecs.scalars import SCALARS, TEXT
from plainsql.sync.codecs.vectors import vector_codec

__all__ = [
    "SCALARS",
    "TEXT",
    "Codec",
    "array_codec",
    "composite_codec",
    "multirange_codec",
    "range_codec",
    "vector_codec",
]
