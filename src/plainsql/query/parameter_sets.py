"""Sets of parameters for many calls of one query: bound in order, and numbered from 1 in errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from plainsql.errors import BindError
from plainsql.types import Args

__all__ = ["bind_sets", "error_of_set"]

_HINT = "pass an iterable of mappings, one for each call: [{'id': 1}, {'id': 2}]"


def bind_sets(
    name: str, bind: Callable[[tuple[()], dict[str, Any]], Args], sets: Iterable[Mapping[str, Any]]
) -> list[Args]:
    """Bind each set of parameters of the query ``name``.

    Raises ``BindError`` for a set that is no mapping or does not fit. An iterator's own errors are passed on.
    """
    given: Any = sets
    if not isinstance(given, Iterable):
        raise BindError(f"{name}: expected sets of parameters, got {type(given).__name__}", hint=_HINT)
    bound: list[Args] = []
    one: Any
    for number, one in enumerate(given, 1):
        if not isinstance(one, Mapping):
            raise BindError(f"{name}: set {number}: expected a mapping, got {type(one).__name__}", hint=_HINT)
        try:
            bound.append(bind((), dict(one)))
        except BindError as error:
            raise error_of_set(name, number, error) from None
    return bound


def error_of_set(name: str, number: int, error: BindError) -> BindError:
    """Return an error of one of many sets of parameters with its number."""
    message = error.message.removeprefix(f"{name}: ")
    return BindError(
        f"{name}: set {number}: {message}", place=error.place, detail=error.detail, hint=error.hint
    )
