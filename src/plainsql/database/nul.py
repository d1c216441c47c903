"""NUL characters in arguments: PostgreSQL has none in its texts, and its refusal ends a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["NUL_DETAIL", "NUL_HINT", "nul_in"]

NUL_DETAIL = "the text holds a NUL character"
NUL_HINT = "PostgreSQL has no NUL in texts: remove it"


def nul_in(values: Sequence[object]) -> int | None:
    """Return the position of the first value that holds a text with a NUL, on its own or in an array or a
    composite value. JSON is not looked into.
    """
    for index, value in enumerate(values):
        kind = type(value)
        if (kind is str and "\0" in value) or (kind not in _PLAIN and _holds_nul(value)):  # type: ignore[operator]
            return index
    return None


_PLAIN: frozenset[type] = frozenset({int, float, bool, type(None), bytes, str})


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, list | tuple | set | frozenset) and any(map(_holds_nul, value))
