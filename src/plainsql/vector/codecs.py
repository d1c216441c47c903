"""pgvector's binary format, both ways, for whichever driver carries it.

Any sequence or buffer of numbers is taken for a vector: a list of floats, an ``array('f')``, a NumPy array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pgvector

from plainsql.types import Opaque
from plainsql.vector.pgvector_types import HalfVector, SparseVector, Vector

__all__ = ["BINARY", "ENCODERS", "as_half_vector", "as_sparse_vector", "as_vector"]


def as_vector(value: Any) -> pgvector.Vector:
    """Return ``value`` as a ``Vector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, pgvector.Vector) else Vector(value)


def as_half_vector(value: Any) -> pgvector.HalfVector:
    """Return ``value`` as a ``HalfVector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, pgvector.HalfVector) else HalfVector(value)


def as_sparse_vector(value: Any) -> pgvector.SparseVector:
    """Return ``value`` as a ``SparseVector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, pgvector.SparseVector) else SparseVector(value)


Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]

BINARY: Final[dict[str, tuple[Encode, Decode]]] = {
    "vector": (lambda value: as_vector(value).to_binary(), Vector.from_binary),
    "halfvec": (lambda value: as_half_vector(value).to_binary(), HalfVector.from_binary),
    "sparsevec": (lambda value: as_sparse_vector(value).to_binary(), SparseVector.from_binary),
}
"""By the type's name: the encoder and the decoder of its binary format."""

ENCODERS: Final[dict[type, Encode]] = {
    Vector: BINARY["vector"][0],
    HalfVector: BINARY["halfvec"][0],
    SparseVector: BINARY["sparsevec"][0],
}
"""By the class of the annotation: the encoder of a parameter."""
