"""Many sets of parameters for one query: bound in order, each known by its number, from 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from plainsql.binding import Args
from plainsql.errors import BindError

__all__ = ["bind_sets", "of_set"]

_HINT = "pass an iterable of mappings, one for each call: [{'id': 1}, {'id': 2}]"


def bind_sets(
    name: str, bind: Callable[[tuple[()], dict[str, Any]], Args], sets: Iterable[Mapping[str, Any]]
) -> list[Args]:
    """Bind each set of parameters of the query ``name``.

    Raises ``BindError`` for what is no set, or one that does not fit; what an iterator raises comes through.
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
            raise of_set(name, number, error) from None
    return bound


def of_set(name: str, number: int, error: BindError) -> BindError:
    """Return an error of one of many sets of parameters with its number."""
    said = error.message.removeprefix(f"{name}: ")
    return BindError(f"{name}: set {number}: {said}", place=error.place, detail=error.detail, hint=error.hint)
