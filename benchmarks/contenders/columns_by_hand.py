"""Rows turned into columns by hand: what an application without a driver for columns writes.

pyarrow and NumPy are imported when they are used: without them, these cases are skipped by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks.contenders.base import NotOfferedError
from benchmarks.data import COLUMNS

__all__ = ["decode_vector", "to_matrix", "to_table"]


def decode_vector(data: bytes) -> Any:
    """Return an array over the bytes of a vector: PostgreSQL sends two shorts and big-endian floats."""
    import numpy as np

    return np.frombuffer(data, ">f4", offset=4)


def to_matrix(rows: Iterable[Any]) -> Any:
    """Return one array of the second columns."""
    try:
        import numpy as np
    except ImportError:
        raise NotOfferedError("numpy is not installed") from None
    return np.stack([row[1] for row in rows]).astype(np.float32, copy=False)


def to_table(rows: Sequence[Sequence[Any]]) -> Any:
    """Return leads as a table of Arrow, whose types are given: it then looks at no value to find them."""
    try:
        return _table(rows)
    except ImportError:
        raise NotOfferedError("pyarrow is not installed") from None


def _table(rows: Sequence[Sequence[Any]]) -> Any:
    import pyarrow as pa

    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return pa.table(list(map(pa.array, columns, _types())), names=list(COLUMNS))


@cache
def _types() -> tuple[Any, ...]:
    import pyarrow as pa

    return (pa.int64(), pa.string(), pa.string(), pa.int32(), pa.timestamp("us", tz="UTC"))
