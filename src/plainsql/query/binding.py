"""Binding of a call's parameters: checked, and put in the order of the SQL, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any, TypeVar

from plainsql.deprecation import warn_of_deprecated_query
from plainsql.encoding import plain_array
from plainsql.errors import BindError
from plainsql.query.row_columns import columns
from plainsql.rows import composite
from plainsql.statements.row_parameters import rows_of
from plainsql.types import UNSET, Args

__all__ = ["Args", "Binder", "NullError", "bounded"]

N = TypeVar("N")


class Binder:
    """Puts parameters in order for a query that has no generated function."""

    def __init__(
        self,
        names: Sequence[str],
        defaults: dict[str, object],
        bounds: dict[str, tuple[Any, Any]],
        row_name: str | None,
        warning: tuple[str, str] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.rows = rows_of(names)
        """The columns of each parameter that is a list of rows."""
        self.defaults = defaults
        self.bounds = bounds
        self.row_name = row_name
        """None if the query returns single values."""
        self.warning = warning
        """The name and the ``deprecated`` text of a deprecated query."""

    def called(self) -> list[str]:
        """Return the names of a call's parameters: a list of rows is one."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.names))

    def __call__(self, /, **kwargs: object) -> Args:
        if self.warning is not None:
            warn_of_deprecated_query(*self.warning)
        for rows in self.rows.keys() & kwargs.keys():
            fields = self.rows[rows]
            lists = columns(rows, kwargs.pop(rows), fields)
            kwargs |= {f"{rows}.{field}": values for field, values in zip(fields, lists, strict=True)}
        if self.defaults:
            kwargs = {**self.defaults, **kwargs}
        if len(kwargs) != len(self.names) or any(name not in kwargs for name in self.names):
            raise TypeError
        for name, (low, high) in self.bounds.items():
            bounded(name, kwargs[name], low, high)
        return tuple(plain_array(composite(kwargs[name])) for name in self.names)


class NullError(BindError):
    """A null for a parameter that cannot be null; the query that catches it names the parameter."""

    def __init__(self) -> None:
        super().__init__("a parameter that cannot be null is None")


def bounded(name: str, value: N, low: Any, high: Any) -> N:
    """Return the value if it is within the bounds of the query's header (inclusive), or is not given.

    The text of a number counts as a number, as the drivers take it. Raises ``BindError``, without the
    value, if it is out of bounds.
    """
    number: Any = value
    if number is None or number is UNSET:
        return value
    if isinstance(number, str):
        number = _read_number(number)
    try:
        within = (low is None or number >= low) and (high is None or number <= high)
    except (TypeError, ArithmeticError):
        if not isinstance(number, Number):
            raise BindError(f"{name}: expected a number, got {type(value).__name__}") from None
        within = False  # NaN
    if not within:
        low_text, high_text = ("" if low is None else low), ("" if high is None else high)
        raise BindError(f"{name}: the value is out of bounds, expected {low_text}..{high_text}")
    return value


def _read_number(text: str) -> object:
    """Return the number that a text holds, or the text itself if it holds none."""
    # Few calls need it, and it takes a millisecond to import.
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(text)
    except InvalidOperation:
        return text
