"""The types of columns that are arrays of NumPy, which the header says with ``column embedding: ndarray``."""

from __future__ import annotations

from typing import Any, TypeAlias

try:
    import numpy as np
except ImportError:
    from plainsql.errors import SettingsError

    raise SettingsError("columns that are an ndarray need NumPy", hint="pip install numpy") from None

from plainsql.vector import HalfVector, SparseVector, Vector

__all__ = ["Float16Array", "Float32Array", "to_float16", "to_float32"]

Float32Array: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
"""The numbers of a ``vector``, or all of a ``sparsevec``: ``(dim,) float32``."""
Float16Array: TypeAlias = np.ndarray[Any, np.dtype[np.float16]]
"""The numbers of a ``halfvec``: ``(dim,) float16``."""


def to_float32(value: Vector | SparseVector) -> Float32Array:
    """Return the numbers of a vector without a copy, and those of a sparse one written out."""
    return value.to_numpy()


def to_float16(value: HalfVector) -> Float16Array:
    """Return the numbers of a vector of halves, without a copy."""
    return value.to_numpy()
