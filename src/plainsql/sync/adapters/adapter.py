"""The adapter of a type: its name, the function that dumps its values, and psycopg's loader of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

__all__ = ["DUMP_ERRORS", "LOAD_ERRORS", "Adapter", "text_loader"]


class Adapter(NamedTuple):
    """The conversions of one PostgreSQL type. Null is never dumped or loaded."""

    name: str
    """The type's name in messages: ``int4``, ``text[]``."""
    dump: Callable[[Any], str]
    """Return the text of a value. Raises one of ``DUMP_ERRORS`` if the type does not have the value."""
    loader: type[Any]
    """A loader class: psycopg's, or one of this package if asyncpg has another value."""


DUMP_ERRORS: Final = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError)
"""The errors of ``dump`` for a value of another kind or form, or out of range."""

LOAD_ERRORS: Final = (*DUMP_ERRORS, psycopg.Error)
"""The errors of a loader for a value that Python does not have, such as a date before Christ."""


def text_loader(load: Callable[[str], Any]) -> type[Loader]:
    """Return a loader class whose instances pass the text of a value to ``load``."""

    class TextFunctionLoader(Loader):
        def load(self, data: Buffer) -> Any:
            return load(str(data, "utf-8"))

    return TextFunctionLoader
