"""Arrow's PyCapsules: by the compiled part, or by ctypes where it is not built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from plainsql.columns.array_data import ArrayData
from plainsql.columns.arrow_values import buffer_width

__all__ = ["array_capsules", "read_stream", "schema_capsule", "stream_capsule"]


def schema_capsule(data: ArrayData) -> object:
    """Return the capsule of an array's type."""
    return _module().export_schema(data)


def array_capsules(data: ArrayData) -> tuple[object, object]:
    """Return the capsules of an array: its type and its buffers."""
    capsules: tuple[object, object] = _module().export_array(data)
    return capsules


def stream_capsule(schema: ArrayData, batches: Sequence[ArrayData]) -> object:
    """Return the capsule of a stream of arrays of one type."""
    return _module().export_stream(schema, batches)


def read_stream(source: Any) -> tuple[ArrayData, Iterator[ArrayData]]:
    """Return the type of a stream of another library, and its arrays.

    Raises ``OSError`` if the other library reports an error.
    """
    stream = _module().ImportedStream(source.__arrow_c_stream__(), buffer_width)
    return stream.schema, stream


def _module() -> Any:
    # The compiled part is above this one, and is found by its name.
    compiled = import_module("plainsql.speed.loaded").ARROW
    if compiled is not None:
        return compiled
    from plainsql.columns import c_structs

    return c_structs
