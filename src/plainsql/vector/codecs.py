"""pgvector's binary format, both ways, for whichever driver carries it.

Any sequence or buffer of numbers is taken for a vector: a list of floats, an ``array('f')``, a NumPy array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from plainsql.types import Opaque
from plainsql.vector import HalfVector, SparseVector, Vector

__all__ = ["BINARY", "as_half_vector", "as_sparse_vector", "as_vector"]


def as_vector(value: Any) -> Vector:
    """Return ``value`` as a ``Vector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, Vector) else Vector(_numbers(value))


def as_half_vector(value: Any) -> HalfVector:
    """Return ``value`` as a ``HalfVector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, HalfVector) else HalfVector(_numbers(value))


def as_sparse_vector(value: Any) -> SparseVector:
    """Return ``value`` as a ``SparseVector``. Raises ``ValueError`` if it cannot be one."""
    value = value.value if type(value) is Opaque else value
    return value if isinstance(value, SparseVector) else SparseVector(_numbers(value))


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return value
    as_array = getattr(value, "__array__", None)  # NumPy's own, and tensors and series of others
    if as_array is not None:
        return as_array()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    numbers = getattr(value, "tolist", None)  # array.array, and any other buffer of numbers
    if numbers is not None:
        return numbers()
    raise ValueError(f"expected numbers, got {type(value).__name__}")


Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]

BINARY: Final[dict[str, tuple[Encode, Decode]]] = {
    "vector": (lambda value: as_vector(value).to_binary(), Vector.from_binary),
    "halfvec": (lambda value: as_half_vector(value).to_binary(), HalfVector.from_binary),
    "sparsevec": (lambda value: as_sparse_vector(value).to_binary(), SparseVector.from_binary),
}
"""By the type's name: the encoder and the decoder of its binary format."""
