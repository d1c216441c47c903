"""JSON that PostgreSQL has built with values that msgspec does not read: infinities, NaN, old time zones.

PostgreSQL writes ``"NaN"`` for a float, ``"infinity"`` for a time, and ``+00:19:32`` for a zone of long ago.
They become what the drivers make of the same values outside of JSON. msgspec reads every other document by
itself, and faster.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["built_json"]

_FLOATS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_ENDS: Final = {"infinity": "max", "-infinity": "min"}


def built_json(target: Any, text: bytes | str) -> Any:
    """Decode JSON that a query has built.

    Raises ``msgspec.ValidationError`` if it does not fit the type.
    """
    # A number keeps its digits until its type is known.
    plain = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    return msgspec.convert(_readable(plain, target), target)


def _readable(value: Any, target: Any) -> Any:
    """Return a decoded value in a form that converts to the type; a value that does not fit stays."""
    target = _plain(target)
    if target is float:
        is_number = isinstance(value, Decimal) or (isinstance(value, str) and value in _FLOATS)
        return float(value) if is_number else value
    if target is Any:
        return _with_floats(value)
    if isinstance(value, str) and target in (date, datetime):
        if value in _ENDS:
            return getattr(target, _ENDS[value])
        try:
            return target.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        if isinstance(target, type) and issubclass(target, msgspec.Struct):
            hints = get_type_hints(target, include_extras=True)
            by_key = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(target)}
            return {key: _readable(each, by_key.get(key, Any)) for key, each in value.items()}
        if get_origin(target) is dict:
            return {key: _readable(each, get_args(target)[1]) for key, each in value.items()}
    if isinstance(value, list):
        if get_origin(target) is list:
            return [_readable(each, get_args(target)[0]) for each in value]
        if get_origin(target) is tuple and len(get_args(target)) == len(value):
            return [_readable(each, part) for each, part in zip(value, get_args(target), strict=True)]
    return value


def _plain(target: Any) -> Any:
    """Return a type without its marks and without null."""
    while get_origin(target) is Annotated:
        target = get_args(target)[0]
    if get_origin(target) in (Union, UnionType):
        arms = [arm for arm in get_args(target) if arm is not type(None)]
        return _plain(arms[0]) if len(arms) == 1 else target
    return target


def _with_floats(value: Any) -> Any:
    """Return a value of any type as msgspec decodes it: numbers with a point are floats."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_with_floats(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_floats(each) for key, each in value.items()}
    return value
