"""The kinds of values that settings may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["KINDS", "kind_of"]

KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": ("a number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "int | str": (
        "a number or a string",
        lambda value: isinstance(value, (int, str)) and not isinstance(value, bool),
    ),
    "tuple[str, ...]": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    ),
    "Mapping[str, Any]": ("a table", lambda value: isinstance(value, dict)),
}
"""The kinds of the settings, by the annotations of the fields of ``Project``: a name, and a test."""


def kind_of(value: object) -> str:
    """Return the kind of a value, as messages name it."""
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return "a list with other values"
    return next((name for name, accepts in KINDS.values() if accepts(value)), type(value).__name__)
