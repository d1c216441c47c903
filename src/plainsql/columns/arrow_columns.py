"""A result as columns, and one of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from plainsql.columns.array_data import ArrayData
from plainsql.columns.arrow_values import values_of
from plainsql.columns.capsules import array_capsules, schema_capsule, stream_capsule
from plainsql.errors import BindError, ContractError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Column", "Columns"]

_NUMPY = {
    "c": "i1",
    "C": "u1",
    "s": "i2",
    "S": "u2",
    "i": "i4",
    "I": "u4",
    "l": "i8",
    "L": "u8",
    "e": "f2",
    "f": "f4",
    "g": "f8",
    "tdD": "i4",
    "tsu:": "M8[us]",
    "tsu:UTC": "M8[us]",
    "tDu": "m8[us]",
}
"""The formats whose buffer NumPy reads as it is."""

_TYPE_NAMES = {
    "b": "bool",
    "c": "int8",
    "C": "uint8",
    "s": "int16",
    "S": "uint16",
    "i": "int32",
    "I": "uint32",
    "l": "int64",
    "L": "uint64",
    "e": "float16",
    "f": "float32",
    "g": "float64",
    "u": "utf8",
    "z": "binary",
    "tdD": "date32",
    "ttu": "time64[us]",
    "tsu:": "timestamp[us]",
    "tsu:UTC": "timestamp[us, UTC]",
    "tDu": "duration[us]",
}


class Column:
    """One column of a result: an array in Arrow's format.

    Libraries that know Arrow take it as it is: ``pyarrow.array(column)``, ``polars.Series(column)``.
    """

    __slots__ = ("_data",)

    def __init__(self, data: ArrayData) -> None:
        self._data = data

    @property
    def name(self) -> str:
        """The name that the query gives it."""
        return self._data.name

    @property
    def type(self) -> str:
        """Its type in Arrow's words: ``int64``, ``decimal128(10, 2)``, ``list<utf8>``."""
        return _type_name(self._data)

    @property
    def nulls(self) -> int:
        """The number of nulls."""
        return self._data.nulls

    def to_list(self) -> list[Any]:
        """Return the values as Python's, ``None`` for null: a struct is a ``dict``, JSON its text."""
        return values_of(self._data, _as_dict)

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """Return the values as a NumPy array: numbers, times and vectors without a copy, and read-only then.

        Vectors are the rows of a matrix. Times with a zone are in UTC. Texts and other values are objects.
        Raises ``BindError`` if there are nulls, except among objects.
        """
        import numpy as np

        data = self._data
        if data.nulls and (data.format in _NUMPY or data.format == "b" or data.format.startswith("+w:")):
            raise BindError(
                f"the column {data.name!r} has {data.nulls} null{'s' * (data.nulls > 1)}, "
                "and a NumPy array of its type has none",
                hint="fill them in the query, as coalesce does, or use to_list",
            )
        if data.format.startswith("+w:"):
            matrix: np.ndarray[Any, Any] = self._matrix(np)
            return matrix
        if data.format == "b":
            bits = np.frombuffer(data.buffers[1], dtype="u1")
            return np.unpackbits(bits, count=data.length, bitorder="little").astype(bool)
        kind = None if data.dictionary is not None else _NUMPY.get(data.format)
        if kind is None:
            found = np.empty(data.length, dtype=object)
            found[:] = self.to_list() if data.length else []
            return found
        values = np.frombuffer(data.buffers[1], dtype=kind, count=data.length)
        return values.astype("M8[D]") if data.format == "tdD" else values

    def _matrix(self, np: Any) -> Any:
        data = self._data
        size, (numbers,) = int(data.format[3:]), data.children
        if size == 0:
            return np.empty((data.length, 0), dtype=_NUMPY[numbers.format])
        flat = np.frombuffer(numbers.buffers[1], dtype=_NUMPY[numbers.format], count=numbers.length)
        return flat.reshape(data.length, size)

    def __len__(self) -> int:
        return self._data.length

    def __arrow_c_schema__(self) -> object:
        return schema_capsule(self._data)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        # A consumer casts by itself what it wants in another type.
        return array_capsules(self._data)

    def __repr__(self) -> str:
        return f"<Column {self.name} {self.type}, {len(self)} rows>"


class Columns:
    """A result as columns in Arrow's format: what ``query.columns`` returns.

    Libraries that know Arrow take it without a copy: ``polars.DataFrame(columns)``,
    ``pyarrow.table(columns)``, ``pandas.DataFrame.from_arrow(columns)``, and DuckDB by its variable's name.
    """

    __slots__ = ("_arrays", "_length")

    def __init__(self, arrays: Sequence[ArrayData], length: int) -> None:
        self._arrays = tuple(arrays)
        self._length = length

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the query."""
        return tuple(array.name for array in self._arrays)

    def __getitem__(self, name: str) -> Column:
        for array in self._arrays:
            if array.name == name:
                return Column(array)
        raise KeyError(name)

    def __iter__(self) -> Iterator[Column]:
        return map(Column, self._arrays)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def matrix(self, name: str) -> np.ndarray[Any, Any]:
        """Return a column of vectors as a matrix of NumPy with a row for each: no copy, and read-only.

        Raises ``ContractError`` if the column has no vectors.
        """
        column = self[name]
        if not column._data.format.startswith("+w:"):
            raise ContractError(
                f"the column {name!r} has no vectors, it has the type {column.type}",
                hint="cast it to vector(n) in the query",
            )
        return column.to_numpy()

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the values of each column, as ``Column.to_list`` does."""
        return {column.name: column.to_list() for column in self}

    def __arrow_c_schema__(self) -> object:
        return schema_capsule(self._batch())

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return array_capsules(self._batch())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        batch = self._batch()
        return stream_capsule(batch, [batch])

    def _batch(self) -> ArrayData:
        return ArrayData("+s", "", self._length, 0, (None,), self._arrays)

    def __repr__(self) -> str:
        columns = ", ".join(f"{column.name} {column.type}" for column in self)
        return f"<Columns {columns}; {self._length} rows>"


def _as_dict(names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _type_name(data: ArrayData) -> str:
    format_ = data.format
    if data.dictionary is not None:
        return f"dictionary<{_type_name(data.dictionary)}>"
    if extension := data.metadata.get("ARROW:extension:name"):
        return extension
    if format_.startswith("d:"):
        precision, scale = format_[2:].split(",")
        return f"decimal128({precision}, {scale})"
    if format_.startswith("+w:"):
        return f"fixed_size_list<{_type_name(data.children[0])}, {format_[3:]}>"
    if format_ == "+l":
        return f"list<{_type_name(data.children[0])}>"
    if format_ == "+s":
        return f"struct<{', '.join(f'{child.name} {_type_name(child)}' for child in data.children)}>"
    return _TYPE_NAMES.get(format_, format_)
