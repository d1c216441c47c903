"""The values of settings that go with a call, as the server reads them."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum
from typing import Final

from plainsql.errors import BindError, ContractError

__all__ = ["SetTo", "refused_setting", "setting_text"]

SetTo = tuple[tuple[str, str], ...]
"""Settings with their values, in the order of the header."""
_RANGE: Final = re.compile(r"\((-?[\d.e+]+(?: \w+)?) \.\. (-?[\d.e+]+(?: \w+)?)\)")
_BAD_VALUE: Final = "22023"


def setting_text(query: str, name: str, value: object) -> str:
    """Return a parameter's value as the server reads it. Raises ``BindError``, without the value.

    ``query`` is the name of the query, and ``name`` that of the parameter.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if not isinstance(value, str):
        raise BindError(
            f"{query}: {name}: expected a number, a text or a bool for a setting, got {type(value).__name__}"
        )
    if "\0" in value or not _is_utf8(value):
        raise BindError(f"{query}: {name}: the value is no text that PostgreSQL can hold")
    return str(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def refused_setting(
    query: str, file: str, settings: SetTo, sqlstate: str | None, message: str
) -> BindError | ContractError | None:
    """Return the error of a query whose setting the server refuses, without the value; None if the server's
    error names none of the settings.
    """
    # The longest first: the name of one may be part of another's.
    names = sorted((name for name, _ in settings), key=len, reverse=True)
    name = next((name for name in names if name in message.lower()), None)
    if name is None:
        return None
    if sqlstate == _BAD_VALUE:
        found = _RANGE.search(message)
        expected = f", expected {found[1]}..{found[2]}" if found else ""
        return BindError(
            f"{query}: PostgreSQL refuses the value of {name}{expected}",
            hint=f"see the set line of {file}",
        )
    return ContractError(
        f"{query}: PostgreSQL refuses to set {name}, SQLSTATE {sqlstate}",
        hint=f"see the set line of {file}: the role may lack the right, or the server the setting",
    )
