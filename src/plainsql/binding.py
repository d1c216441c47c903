"""A call's parameters, by name, as a query's arguments, by position; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from plainsql.errors import BindError
from plainsql.rows import composite
from plainsql.types import UNSET

__all__ = ["Args", "Binder", "bounded"]

N = TypeVar("N")

Args = tuple[object, ...]
"""A query's arguments in the order of its parameters, then of its choices."""


class Binder:
    """Puts parameters in order for a query that has no generated function."""

    def __init__(
        self,
        names: Sequence[str],
        defaults: dict[str, object],
        bounds: dict[str, tuple[Any, Any]],
        row_name: str | None,
    ) -> None:
        self.names = tuple(names)
        self.defaults = defaults
        self.bounds = bounds
        self.row_name = row_name
        """None where the query returns single values."""

    def __call__(self, /, **kwargs: object) -> Args:
        if self.defaults:
            kwargs = {**self.defaults, **kwargs}
        if len(kwargs) != len(self.names) or any(name not in kwargs for name in self.names):
            raise TypeError
        for name, (low, high) in self.bounds.items():
            bounded(name, kwargs[name], low, high)
        return tuple(composite(kwargs[name]) for name in self.names)


def bounded(name: str, value: N, low: Any, high: Any) -> N:
    """Return the value where it lies within the bounds of the query's header (inclusive), or is not given.

    Raises ``BindError`` otherwise; the text does not hold the value.
    """
    number: Any = value
    if number is None or number is UNSET:
        return value
    try:
        within = (low is None or number >= low) and (high is None or number <= high)
    except (TypeError, ArithmeticError):  # a Decimal that is no number
        raise BindError(f"{name}: expected a number, got {type(value).__name__}") from None
    if not within:
        low_text, high_text = ("" if low is None else low), ("" if high is None else high)
        raise BindError(f"{name}: the value is out of bounds, expected {low_text}..{high_text}")
    return value
