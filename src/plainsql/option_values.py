"""The kinds of values that options may have, and the values in messages: nothing that may be a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Kind", "item_shown", "quoted", "shown", "text_fault"]


class Kind(NamedTuple):
    """A kind of value that an option may have."""

    expected: str
    fits: Callable[[Any], bool]
    got: Callable[[Any], str] | None = None
    """Describes a value that does not fit, if its type alone is not enough."""
    hint: str | None = None


def shown(value: object) -> str:
    """Return a value as a message shows it: of a text and of most types, what it is alone."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        # Python refuses to write out very long ones.
        return repr(value) if -(10**20) < value < 10**20 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return "an empty str" if not value else text_fault(value) or "str"
    return type(value).__name__


def item_shown(value: object, fits: Callable[[Any], bool]) -> str:
    """Return the first item of a list that does not fit, as a message shows it; else the whole value."""
    if not isinstance(value, list | tuple):
        return shown(value)
    return next(f"{shown(one)} as item {at}" for at, one in enumerate(value, 1) if not fits(one))


def quoted(value: object) -> str:
    """Return a value as a message shows it, with a short text as it was given."""
    return repr(value if len(value) <= 40 else value[:40] + "…") if isinstance(value, str) else shown(value)


def text_fault(text: str) -> str | None:
    """Return the reason why PostgreSQL cannot hold a text, or None."""
    if "\0" in text:
        return "a str with a zero byte"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "a str with a lone surrogate"
    return None
