"""``error customers_email_key: EmailTaken``: the class of the error if a constraint is violated."""

from __future__ import annotations

import re
from typing import Final

from plainsql.statements.model import NamedError
from plainsql.statements.source import Source
from plainsql.statements.suggestions import RESERVED_ROW_NAMES, row_name

__all__ = ["read_error"]

_CLASS: Final = re.compile(r"[A-Z][A-Za-z0-9]*")


def read_error(source: Source, name: str, name_offset: int, value: str, value_offset: int) -> NamedError:
    """Read one line. Raises ``SqlFileError`` if the value cannot be the name of a class."""
    constraint = name[1:-1].replace('""', '"') if name.startswith('"') else name
    if not _CLASS.fullmatch(value):
        camel = row_name(value)
        raise source.error(
            value_offset,
            f"{value!r} cannot be the name of a class, expected a name such as EmailTaken",
            hint=f"did you mean {camel}?" if camel and " " not in value else "write one name in camel case",
        )
    if value in RESERVED_ROW_NAMES:
        raise source.error(
            value_offset,
            f"{value!r} cannot be the name of a class: the name is taken in Python or in plainsql",
            hint="name the class by what is wrong, such as EmailTaken",
        )
    return NamedError(constraint, value, source.place(name_offset))
