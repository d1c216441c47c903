"""The digest of a type, by which a stored value is recognised as one of it.

It covers the type's name and those of its fields, at any depth, with their types, limits and tags. Two types
that differ in any of these have two digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args, get_origin

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as msgspec_inspect

__all__ = ["DIGEST_BYTES", "type_digest"]

DIGEST_BYTES = 12

_FORMAT = "1"
"""The format of stored values. A change of it makes all stored values those of other types."""


def type_digest(type: Any) -> bytes:
    """Return the digest of a type. Raises ``TypeError`` for one that msgspec does not support."""
    lines = "\n".join((_FORMAT, *_described(msgspec_inspect.type_info(type), {})))
    return hashlib.blake2b(lines.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _described(info: Any, numbers: dict[int, int]) -> Iterator[str]:
    """Yield the description of a type and of those in it, each class once: a class may contain itself."""
    if id(info) in numbers:
        yield f"#{numbers[id(info)]}"
        return
    numbers[id(info)] = len(numbers)
    yield f"({info.__class__.__name__}"
    for name in info.__struct_fields__:
        yield f"{name}:"
        yield from _described_value(getattr(info, name), numbers)
    if isinstance(info, msgspec_inspect.StructType):
        # A default decides about the value of a field that was left out.
        yield f"omit_defaults: {_class(info.cls).__struct_config__.omit_defaults}"
    yield ")"


def _described_value(value: Any, numbers: dict[int, int]) -> Iterator[str]:
    if isinstance(value, msgspec_inspect.Field):
        yield f"{value.name} as {value.encode_name}, {'required' if value.required else 'optional'}"
        yield from _default(value)
        yield from _described(value.type, numbers)
    elif isinstance(value, msgspec_inspect.Type):
        yield from _described(value, numbers)
    elif isinstance(value, tuple):
        for each in value:
            yield from _described_value(each, numbers)
    elif isinstance(value, type) or get_origin(value) is not None:
        yield from _class_lines(value)
    else:
        yield repr(value)


def _class_lines(value: Any) -> Iterator[str]:
    cls = _class(value)
    yield f"{cls.__module__}.{cls.__qualname__}{[_name(each) for each in get_args(value)]}"
    if issubclass(cls, Enum):
        for member in cls:
            yield f"{member.name} = {member.value!r}"


def _default(field: Any) -> Iterator[str]:
    if field.default is not NODEFAULT:
        try:
            yield f"default {msgspec.msgpack.encode(field.default)!r}"
        except (TypeError, ValueError, OverflowError):
            yield f"default of {_name(field.default.__class__)}"
    if field.default_factory is not NODEFAULT:
        yield f"default by {_name(field.default_factory)}"


def _class(value: Any) -> Any:
    return get_origin(value) or value


def _name(value: Any) -> str:
    # Never the repr of a function: it has an address, which differs in each process.
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', None) or value.__class__}"
