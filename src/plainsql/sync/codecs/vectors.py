"""pgvector's types."""

from __future__ import annotations

import re
from typing import Any

from plainsql.sync.codecs.codec import Codec
from plainsql.sync.codecs.numbers import single

__all__ = ["vector_codec"]

_ELEMENT = re.compile(r"(\d+):([^,}]+)")


def vector_codec(name: str) -> Codec:
    """Make the codec of ``vector``, ``halfvec`` or ``sparsevec``. Needs the pgvector package."""
    from plainsql.vector import HalfVector, SparseVector, Vector, codecs

    def decode_sparse(text: str) -> Any:
        elements, _, dimensions = text.rpartition("/")
        # Indices count from 1 in text, from 0 in Python.
        values = {int(index) - 1: single(float(value)) for index, value in _ELEMENT.findall(elements)}
        return SparseVector(values, int(dimensions))

    if name == "vector":
        return Codec(name, lambda value: codecs.as_vector(value).to_text(), Vector.from_text)
    if name == "halfvec":
        return Codec(name, lambda value: codecs.as_half_vector(value).to_text(), HalfVector.from_text)
    return Codec(name, lambda value: codecs.as_sparse_vector(value).to_text(), decode_sparse)
