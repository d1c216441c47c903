"""pgvector's classes of values, which NumPy reads, which can be made of any array, and which hash.

They are classes of their own, as those of the package ``pgvector`` have none of it. A value of the package's
own classes is equal to one of these with the same numbers, and is taken for a parameter as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pgvector

from plainsql.encoding import UnfitValueError
from plainsql.types import SupportsArray
from plainsql.vector.given_numbers import numbers_of

if TYPE_CHECKING:
    from typing import Self

    import numpy as np

__all__ = ["HalfVector", "SparseVector", "Vector"]


class Vector(pgvector.Vector):
    """The numbers of a ``vector``: ``(dim,) float32``.

    ``numpy.asarray(vector)`` is a read-only view of them, ``vector.to_numpy()`` one that can be written to.
    """

    def __init__(self, value: Sequence[float] | SupportsArray, /) -> None:
        """Take the numbers of a sequence, an array, a tensor or a series. Raises ``ValueError``."""
        super().__init__(plain_numbers(value, "float32"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return _view(self.to_numpy(), dtype, copy)

    def __hash__(self) -> int:
        return hash(tuple(self._value))  # 0.0 and -0.0 are equal

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _vector_schema(cls)

    if TYPE_CHECKING:

        @classmethod
        def from_text(cls, value: str, /) -> Self: ...

        @classmethod
        def from_binary(cls, value: bytes | bytearray | memoryview, /) -> Self: ...


class HalfVector(pgvector.HalfVector):
    """The numbers of a ``halfvec``: ``(dim,) float16``, for NumPy as those of ``Vector``."""

    def __init__(self, value: Sequence[float] | SupportsArray, /) -> None:
        """Take the numbers of a sequence, an array, a tensor or a series. Raises ``ValueError``."""
        super().__init__(plain_numbers(value, "float16"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return _view(self.to_numpy(), dtype, copy)

    def __hash__(self) -> int:
        return hash(self._value.tobytes())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _vector_schema(cls)

    if TYPE_CHECKING:

        @classmethod
        def from_text(cls, value: str, /) -> Self: ...

        @classmethod
        def from_binary(cls, value: bytes | bytearray | memoryview, /) -> Self: ...


class SparseVector(pgvector.SparseVector):
    """The numbers of a ``sparsevec`` that are not zero: ``values()`` at ``indices()`` of ``dimensions()``."""

    def __init__(
        self, value: Mapping[int, float] | Sequence[float] | SupportsArray, dimensions: int | None = None, /
    ) -> None:
        """Take the numbers by index with the number of dimensions, or those of a sequence, a sparse array of
        SciPy, or another array. Raises ``ValueError``.
        """
        if isinstance(value, Mapping):
            if dimensions is None:
                raise UnfitValueError(
                    "a dict does not say how many dimensions there are: pass SparseVector({…}, dimensions)"
                )
            super().__init__(dict(value), dimensions)
        elif dimensions is not None:
            raise ValueError("dimensions go with a dict")
        elif hasattr(value, "tocoo"):
            super().__init__(*_coordinates(value))
        else:
            super().__init__(plain_numbers(value, "float32"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("a sparse vector is written out for an array: that is a copy")
        return self.to_numpy() if dtype is None else self.to_numpy().astype(dtype)

    def __hash__(self) -> int:
        return hash((self._dim, tuple(self._indices), tuple(self._values)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _vector_schema(cls)

    if TYPE_CHECKING:

        @classmethod
        def from_text(cls, value: str, /) -> Self: ...

        @classmethod
        def from_binary(cls, value: bytes | bytearray | memoryview, /) -> Self: ...


def plain_numbers(value: Any, dtype: str) -> Any:
    """Return the numbers of any value that holds a vector, as a list or an array of ``dtype``.

    Raises ``ValueError`` if it holds none.
    """
    if isinstance(value, pgvector.Vector | pgvector.HalfVector | pgvector.SparseVector):
        return value.to_list()
    if hasattr(value, "tocoo"):
        return SparseVector(value).to_list()
    return numbers_of(value, dtype)


def _coordinates(value: Any) -> tuple[dict[int, float], int]:
    """Return the numbers of a sparse array of SciPy by their indices, and the number of dimensions. An array
    of a single row is a vector too.
    """
    if len(value.shape) > 2 or (len(value.shape) == 2 and value.shape[0] != 1):
        raise UnfitValueError(f"it has the shape {value.shape}, and a vector has one row")
    sparse = value.tocoo()
    indices = sparse.coords[-1] if hasattr(sparse, "coords") else sparse.col
    if sparse.data.dtype.kind not in "fiub":
        raise UnfitValueError(f"an array of {sparse.data.dtype.name} holds no real numbers")
    found: dict[int, float] = {}
    for index, number in zip(indices.tolist(), sparse.data.tolist(), strict=True):
        found[index] = found.get(index, 0.0) + float(number)  # an index that comes twice has the sum
    return found, int(value.shape[-1])


def _vector_schema(kind: type) -> Any:
    from plainsql.pydantic_schema import vector_schema  # it imports Pydantic, which calls this

    return vector_schema(kind)


def _view(array: np.ndarray[Any, Any], dtype: Any, copy: bool | None) -> np.ndarray[Any, Any]:
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(f"the numbers are {array.dtype}: another type is a copy")
        return array.astype(dtype)
    if copy:
        return array.copy()
    array.flags.writeable = False  # rows are frozen, and hash by their values
    return array
