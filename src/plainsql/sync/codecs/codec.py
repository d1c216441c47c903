"""What a type needs on its way: its name and two functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["UNFIT", "Codec"]


class Codec(NamedTuple):
    """How values of one PostgreSQL type become text and come back. Null never gets here."""

    name: str
    """As messages show it: ``int4``, ``text[]``."""
    encode: Callable[[Any], str]
    """Raises one of ``UNFIT`` where the value is not one of the type."""
    decode: Callable[[str], Any]
    """Raises one of ``UNFIT`` where Python has no such value: a date before Christ."""


UNFIT = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError)
"""What codecs raise: a value of another kind, of another form, out of range."""
