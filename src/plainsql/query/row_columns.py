"""A list of rows as one parameter: ``unnest(:customers.name::text[], :customers.email::text[])``.

The statement takes a list for each column. They have the same length, as they come from one list of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final

from plainsql.errors import BindError
from plainsql.types import UNSET

__all__ = ["columns"]

_LISTS: Final = frozenset((list, tuple))


def columns(
    name: str, rows: Any, fields: Sequence[str], wraps: Sequence[Callable[[Any], Any] | None] = ()
) -> tuple[Any, ...]:
    """Return the values of each column, in the order of ``fields``.

    A row is an object with these fields, a mapping with these keys, or a tuple of the values. ``wraps`` holds
    the function that each list passes through. Rows that are not given have no values.

    Raises ``BindError``, with the number of the row, if one is none of these, and for a list as a value.
    """
    if rows is UNSET:
        return (UNSET,) * len(fields)
    if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
        raise BindError(f"{name}: expected an iterable of rows, got {type(rows).__name__}")
    tuples = [_values(name, number, row, fields) for number, row in enumerate(rows, 1)]
    found = [list(values) for values in zip(*tuples, strict=True)] if tuples else [[] for _ in fields]
    for index, values in enumerate(found):
        if not wraps or wraps[index] is None:
            _refuse_lists(name, fields[index], values)
    if not wraps:
        return tuple(found)
    return tuple(values if wrap is None else wrap(values) for values, wrap in zip(found, wraps, strict=True))


def _refuse_lists(name: str, field: str, values: Sequence[Any]) -> None:
    """Raise ``BindError`` for a list among the values: ``unnest`` would make rows of its elements."""
    if _LISTS.isdisjoint(map(type, values)):
        return
    for number, value in enumerate(values, 1):
        # A tid and a snapshot are tuples that begin with a number.
        if type(value) is list or (type(value) is tuple and not (value and isinstance(value[0], int))):
            raise BindError(
                f"{name}: row {number}: {field}: expected one value, got {type(value).__name__}",
                hint="pass a row for each value",
            )


def _values(name: str, number: int, row: Any, fields: Sequence[str]) -> tuple[Any, ...]:
    try:
        if isinstance(row, tuple | list):
            if len(row) == len(fields):
                return tuple(row)
            problem = f"expected {len(fields)} values, got {len(row)}"
        elif isinstance(row, Mapping):
            unknown = [key for key in row if key not in fields]
            if not unknown:
                return _as_tuple(itemgetter(*fields)(row), fields)
            problem = f"there is no field {unknown[0]!r}"
        else:
            return _as_tuple(attrgetter(*fields)(row), fields)
    except KeyError as error:
        problem = f"it has no {error.args[0]!r}"
    except AttributeError:
        missing = next((field for field in fields if not hasattr(row, field)), None)
        if missing is None:
            raise
        problem = f"{type(row).__name__} has no field {missing!r}"
    raise BindError(f"{name}: row {number}: {problem}", hint=f"the fields are {', '.join(fields)}")


def _as_tuple(values: Any, fields: Sequence[str]) -> tuple[Any, ...]:
    return values if len(fields) > 1 else (values,)
