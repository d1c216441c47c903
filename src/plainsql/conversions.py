"""Values of a project's own types: converted by its functions, without their values in any error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

from plainsql.errors import BindError, DecodeError
from plainsql.types import UNSET, Converted

__all__ = [
    "bounds_loader",
    "conversion_of",
    "dumped",
    "dumped_bounds",
    "dumped_elements",
    "dumper",
    "loader",
    "map_bounds",
    "plain_alias",
    "sending",
]

Convert = Callable[[Any], Any]


def conversion_of(annotation: Any) -> Converted | None:
    """Return the conversion that an annotation is marked with, if it is."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((mark for mark in get_args(annotation)[1:] if isinstance(mark, Converted)), None)


def plain_alias(annotation: Any) -> Any:
    """Return the type behind a ``NewType`` or an alias that is written with ``type``."""
    while (below := getattr(annotation, "__supertype__", None) or _aliased(annotation)) is not None:
        annotation = below
    return annotation


def _aliased(annotation: Any) -> Any:
    is_alias = type(annotation).__name__ == "TypeAliasType"  # from Python 3.12 on
    return annotation.__value__ if is_alias else None


def loader(conversion: Converted, decode: Convert | None, where: str) -> Convert:
    """Return the function that makes a value of one that arrived; ``decode`` comes first."""
    from_db = conversion.from_db

    def load(value: Any) -> Any:
        if decode is not None and (value := decode(value)) is None:  # null in JSON
            return None
        try:
            return from_db(value)
        except Exception as error:  # noqa: BLE001 (a project's own function raises what it likes)
            raise DecodeError(
                f"{where}: {_name(from_db)} raised {type(error).__name__}{_place(error)}",
                hint="correct from_db, or the data",
            ) from None

    return load


def bounds_loader(decode: Convert) -> Convert:
    """Return the function that decodes the bounds of a range."""
    return lambda value: map_bounds(value, decode)


def map_bounds(value: Any, convert: Convert) -> Any:
    """Return a range with its bounds converted; an infinite bound stays null."""
    if value.isempty:
        return value
    lower, upper = (None if bound is None else convert(bound) for bound in (value.lower, value.upper))
    return type(value)(lower, upper, lower_inc=value.lower_inc, upper_inc=value.upper_inc)


def dumper(to_db: Convert, name: str) -> Convert:
    """Return the function that makes the value to send, for a field or parameter of this name."""

    def dump(value: Any) -> Any:
        if value is None or value is UNSET:
            return value
        try:
            return to_db(value)
        except Exception as error:  # noqa: BLE001 (a project's own function raises what it likes)
            raise BindError(
                f"{name}: {_name(to_db)} raised {type(error).__name__}{_place(error)}",
                hint="give a value of the parameter's type, or correct to_db",
            ) from None

    return dump


def dumped(name: str, value: Any, to_db: Convert) -> Any:
    """Return the value to send for a parameter. Null and a parameter that is not given stay as they are.

    Raises ``BindError``, without the value, if ``to_db`` raises an error.
    """
    return dumper(to_db, name)(value)


def dumped_elements(name: str, value: Any, to_db: Convert) -> Any:
    """Return the array to send for a parameter, each element converted; as ``dumped``."""
    return _elements(value, dumper(to_db, name))


def dumped_bounds(name: str, value: Any, to_db: Convert) -> Any:
    """Return the range to send for a parameter, or the list of them, its bounds converted; as ``dumped``."""
    dump = dumper(to_db, name)

    def bounds(each: Any) -> Any:
        return map_bounds(each, dump) if hasattr(each, "isempty") else each

    return _elements(value, bounds) if isinstance(value, list) else bounds(value)


def sending(
    convert: Callable[[str, Any, Convert], Any], name: str, to_db: Convert, then: Convert | None = None
) -> Convert:
    """Return the function that sends a list through ``to_db``, as ``dumped_elements`` does, and ``then``."""
    if then is None:
        return lambda values: convert(name, values, to_db)
    return lambda values: then(convert(name, values, to_db))


def _elements(value: Any, convert: Convert) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return [_elements(each, convert) if isinstance(each, list) else convert(each) for each in value]


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def _place(error: BaseException) -> str:
    """Return the place in the project's function: ``error``'s own text may hold the value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == __file__:
        return ""
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
