"""Arrow's C data interface without the compiled part: its structs, written and read by ctypes.

https://arrow.apache.org/docs/format/CDataInterface.html has the structs and their rules. What an exported
struct points to is kept here until its consumer releases it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from errno import EIO
from itertools import count
from struct import pack, unpack_from
from typing import Any, Final

from plainsql.columns.array_data import ArrayData

__all__ = ["ImportedStream", "export_array", "export_schema", "export_stream"]

Widths = Callable[[str, int], tuple[int, int] | None]


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_ReleaseSchema = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
_ReleaseArray = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_ReleaseStream = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))
_GetLastError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))

_Schema._fields_ = [
    ("format", ctypes.c_void_p),
    ("name", ctypes.c_void_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", _ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _ReleaseStream),
    ("private_data", ctypes.c_void_p),
]

_NULLABLE: Final = 2

_kept: dict[int, Any] = {}
"""By the number in an exported struct's ``private_data``: what it points to."""
_numbers = count(1)

_new_capsule: Any = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = (
    ctypes.py_object,
    [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
)
# A capsule that is being destroyed must not be an object of Python again: it is passed by its address.
_pointer_of: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_capsule: Any = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer_in: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _keep(*objects: Any) -> int:
    number = next(_numbers)
    _kept[number] = objects
    return number


def _text(text: bytes) -> tuple[Any, int]:
    """Return a C string and its address."""
    made = ctypes.create_string_buffer(text)
    return made, ctypes.addressof(made)


# -- Export ------------------------------------------------------------------------------------------------


def _release_struct(pointer: Any) -> None:
    struct = pointer.contents
    for index in range(struct.n_children):
        child = struct.children[index]
        # A consumer may have moved a child out, which is marked as released then.
        if child.contents.release:
            child.contents.release(child)
    if struct.dictionary and struct.dictionary.contents.release:
        struct.dictionary.contents.release(struct.dictionary)
    _kept.pop(struct.private_data, None)
    struct.release = type(struct.release)()


_release_schema = _ReleaseSchema(_release_struct)
_release_array = _ReleaseArray(_release_struct)


def _metadata(metadata: Iterable[tuple[str, str]]) -> bytes:
    texts = [text.encode() for pair in metadata for text in pair]
    parts = [pack("=i", len(text)) + text for text in texts]
    return pack("=i", len(texts) // 2) + b"".join(parts)


def _fill_schema(schema: Any, data: ArrayData) -> None:
    children = [_Schema() for _ in data.children]
    for child, part in zip(children, data.children, strict=True):
        _fill_schema(child, part)
    pointers = (ctypes.POINTER(_Schema) * max(len(children), 1))(*map(ctypes.pointer, children))
    format_, format_at = _text(data.format.encode())
    name, name_at = _text(data.name.encode())
    metadata, metadata_at = _text(_metadata(data.metadata.items()))
    dictionary = None
    if data.dictionary is not None:
        dictionary = _Schema()
        _fill_schema(dictionary, data.dictionary)
        schema.dictionary = ctypes.pointer(dictionary)
    schema.format, schema.name = format_at, name_at
    schema.metadata = metadata_at if data.metadata else None
    schema.flags, schema.n_children = _NULLABLE, len(children)
    if children:
        schema.children = pointers
    schema.release = _release_schema
    schema.private_data = _keep(format_, name, metadata, children, pointers, dictionary)


def _fill_array(array: Any, data: ArrayData) -> None:
    children = [_Array() for _ in data.children]
    for child, part in zip(children, data.children, strict=True):
        _fill_array(child, part)
    pointers = (ctypes.POINTER(_Array) * max(len(children), 1))(*map(ctypes.pointer, children))
    buffers = (ctypes.c_void_p * max(len(data.buffers), 1))()
    held = []
    for index, buffer in enumerate(data.buffers):
        if buffer is not None:
            text = ctypes.c_char_p(bytes(buffer))
            held.append(text)
            buffers[index] = ctypes.cast(text, ctypes.c_void_p).value
    dictionary = None
    if data.dictionary is not None:
        dictionary = _Array()
        _fill_array(dictionary, data.dictionary)
        array.dictionary = ctypes.pointer(dictionary)
    array.length, array.null_count, array.offset = data.length, data.nulls, data.offset
    array.n_buffers, array.buffers = len(data.buffers), buffers
    array.n_children = len(children)
    if children:
        array.children = pointers
    array.release = _release_array
    array.private_data = _keep(children, pointers, buffers, held, dictionary)


def _capsule(struct: Any, name: bytes) -> object:
    """Return a capsule of a struct, which is released with it if no consumer has taken it."""
    _kept[ctypes.addressof(struct)] = struct  # its address is no number of `_numbers`
    destroy = _DESTROY[name]
    return _new_capsule(ctypes.addressof(struct), name, ctypes.cast(destroy, ctypes.c_void_p))


def _destroyer(name: bytes) -> Any:
    def destroy(capsule: int) -> None:
        struct = _kept.pop(_pointer_of(capsule, name))
        if struct.release:
            struct.release(ctypes.pointer(struct))

    return ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(destroy)


_SCHEMA, _ARRAY, _STREAM = b"arrow_schema", b"arrow_array", b"arrow_array_stream"
_DESTROY: Final = {name: _destroyer(name) for name in (_SCHEMA, _ARRAY, _STREAM)}
# Consumers may release what they hold while the interpreter ends, after this module.
for _callback in (*_DESTROY.values(), _release_schema, _release_array):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))


def export_schema(data: ArrayData) -> object:
    """Return the capsule ``arrow_schema`` of an array's type."""
    schema = _Schema()
    _fill_schema(schema, data)
    return _capsule(schema, _SCHEMA)


def export_array(data: ArrayData) -> tuple[object, object]:
    """Return the capsules ``arrow_schema`` and ``arrow_array`` of an array."""
    array = _Array()
    _fill_array(array, data)
    return export_schema(data), _capsule(array, _ARRAY)


class _Sent:
    """The state of an exported stream."""

    def __init__(self, schema: ArrayData, batches: Iterable[ArrayData]) -> None:
        self.schema = schema
        self.batches = iter(batches)
        self.error: Any = None


def _sent(stream: Any) -> _Sent:
    sent: _Sent = _kept[stream.contents.private_data][0]
    return sent


def _get_schema(stream: Any, out: Any) -> int:
    sent = _sent(stream)
    try:
        _fill_schema(out.contents, sent.schema)
    except Exception as error:  # noqa: BLE001 (the consumer raises it)
        sent.error = _text(repr(error).encode())
        return EIO
    return 0


def _get_next(stream: Any, out: Any) -> int:
    sent = _sent(stream)
    ctypes.memset(out, 0, ctypes.sizeof(_Array))
    try:
        batch = next(sent.batches, None)
        if batch is not None:
            _fill_array(out.contents, batch)
    except Exception as error:  # noqa: BLE001 (the consumer raises it)
        sent.error = _text(repr(error).encode())
        return EIO
    return 0


def _get_last_error(stream: Any) -> int | None:
    error = _sent(stream).error
    return None if error is None else error[1]


def _release_stream(stream: Any) -> None:
    _kept.pop(stream.contents.private_data, None)
    stream.contents.release = _ReleaseStream()


_CALLBACKS: Final = {
    "get_schema": _GetSchema(_get_schema),
    "get_next": _GetNext(_get_next),
    "get_last_error": _GetLastError(_get_last_error),
    "release": _ReleaseStream(_release_stream),
}
for _callback in _CALLBACKS.values():
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))


def export_stream(schema: ArrayData, batches: Iterable[ArrayData]) -> object:
    """Return the capsule ``arrow_array_stream`` of arrays that have the type of ``schema``."""
    stream = _Stream()
    for name, callback in _CALLBACKS.items():
        setattr(stream, name, callback)
    stream.private_data = _keep(_Sent(schema, batches))
    return _capsule(stream, _STREAM)


# -- Import ------------------------------------------------------------------------------------------------


class _Received:
    """An array of another library, released with the last of its buffers."""

    def __init__(self) -> None:
        self.array = _Array()

    def __del__(self) -> None:
        if self.array.release:
            self.array.release(ctypes.pointer(self.array))


def _part(owner: _Received, address: int | None, size: int) -> memoryview:
    if not address or size <= 0:
        return memoryview(b"")
    part: Any = (ctypes.c_char * size).from_address(address)
    part.owner = owner
    return memoryview(part).cast("B")


def _string(address: int | None) -> str:
    return "" if not address else ctypes.string_at(address).decode("utf-8", "replace")


def _type_of(schema: Any) -> ArrayData:
    texts: list[str] = []
    if schema.metadata:
        at = schema.metadata
        (number,) = unpack_from("=i", ctypes.string_at(at, 4))
        at += 4
        for _ in range(2 * number):
            (size,) = unpack_from("=i", ctypes.string_at(at, 4))
            texts.append(ctypes.string_at(at + 4, size).decode("utf-8", "replace"))
            at += 4 + size
    return ArrayData(
        _string(schema.format),
        _string(schema.name),
        metadata=dict(zip(texts[::2], texts[1::2], strict=True)),
        children=tuple(_type_of(schema.children[index].contents) for index in range(schema.n_children)),
        dictionary=_type_of(schema.dictionary.contents) if schema.dictionary else None,
    )


def _number_at(address: int, index: int, code: str, size: int) -> int:
    (number,) = unpack_from(f"={code}", ctypes.string_at(address + index * size, size))
    return int(number)


def _data_of(array: Any, type_: ArrayData, owner: _Received, widths: Widths) -> ArrayData:
    if array.n_children != len(type_.children) or bool(array.dictionary) != (type_.dictionary is not None):
        raise ValueError("the stream has an array of another type than its schema")
    end, last = array.length + array.offset, array.n_buffers - 1
    buffers: list[memoryview | None] = []
    for index in range(array.n_buffers):
        width = widths(type_.format, index)
        if width is not None:
            size = ((end + width[1]) * width[0] + 7) // 8
        elif type_.format in ("u", "z", "U", "Z"):
            code, step = ("i", 4) if type_.format in ("u", "z") else ("q", 8)
            size = _number_at(array.buffers[1], end, code, step) if end and array.buffers[1] else 0
        else:  # the buffers of views, and behind them the sizes of those
            size = 8 * (last - 2) if index == last else _number_at(array.buffers[last], index - 2, "q", 8)
        buffers.append(_part(owner, array.buffers[index], size) if array.buffers[index] else None)
    children = [
        _data_of(array.children[index].contents, part, owner, widths)
        for index, part in enumerate(type_.children)
    ]
    dictionary = None
    if type_.dictionary is not None:
        dictionary = _data_of(array.dictionary.contents, type_.dictionary, owner, widths)
    return type_._replace(
        length=array.length,
        nulls=array.null_count,
        buffers=tuple(buffers),
        children=tuple(children),
        dictionary=dictionary,
        offset=array.offset,
    )


class ImportedStream:
    """A stream of another library as an iterator of `ArrayData`; ``schema`` is its type.

    ``widths`` returns the bits of an element of a buffer, and the number of elements more than the array's.
    """

    def __init__(self, capsule: object, widths: Widths) -> None:
        self._stream = _Stream()
        if not _is_capsule(capsule, _STREAM):
            raise TypeError("expected a capsule named arrow_array_stream")
        given = _Stream.from_address(_pointer_in(capsule, _STREAM))
        if not given.release:
            raise ValueError("the stream was read already")
        ctypes.memmove(ctypes.addressof(self._stream), ctypes.addressof(given), ctypes.sizeof(_Stream))
        given.release = _ReleaseStream()
        self._widths = widths
        schema = _Schema()
        self._check(self._stream.get_schema(ctypes.pointer(self._stream), ctypes.pointer(schema)))
        try:
            self.schema = _type_of(schema)
        finally:
            if schema.release:
                schema.release(ctypes.pointer(schema))

    def _check(self, code: int) -> None:
        if code:
            text = _string(self._stream.get_last_error(ctypes.pointer(self._stream)))
            raise OSError(code, text or "the stream failed")

    def __iter__(self) -> Iterator[ArrayData]:
        return self

    def __next__(self) -> ArrayData:
        received = _Received()
        self._check(self._stream.get_next(ctypes.pointer(self._stream), ctypes.pointer(received.array)))
        if not received.array.release:
            raise StopIteration
        return _data_of(received.array, self.schema, received, self._widths)

    def __del__(self) -> None:
        if self._stream.release:
            self._stream.release(ctypes.pointer(self._stream))
