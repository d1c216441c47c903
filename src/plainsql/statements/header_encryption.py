"""``encrypted``: a parameter or a column whose value is stored encrypted.

::

    -- param access_token: encrypted                             bound to :tenant_id and :id
    -- param token: encrypted as access_token (account_id)       another column's name, another key of the row
    -- column token: encrypted as shop.users.access_token (id)   of a table that is not this folder's
    -- column token: encrypted (id = user_id)                    a key that has another name here

A value can be decrypted only as the same column of the same row, so a write and a read must name the same
column and row. The column is the folder's table and the name unless ``as`` names another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.header import close_match
from plainsql.statements.model import Encryption
from plainsql.statements.source import Source

__all__ = ["DEFAULT_KEYS", "check_parameters", "read_encryption"]

DEFAULT_KEYS: Final = ("tenant_id", "id")
"""The columns that identify a value's row, unless the header names others."""

_WORD: Final = re.compile(r"encrypted\b")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_KEY: Final = rf"{_NAME}(?:[ \t]*=[ \t]*{_NAME})?"
_FORM: Final = re.compile(
    rf"encrypted"
    rf"(?:[ \t]+as[ \t]+(?P<column>{_NAME}(?:\.{_NAME}\.{_NAME})?))?"
    rf"(?:[ \t]*\([ \t]*(?P<keys>{_KEY}(?:[ \t]*,[ \t]*{_KEY})*)[ \t]*\))?"
)
_HINT: Final = "write encrypted, encrypted (id), or encrypted as shop.users.token (tenant_id, id)"


def read_encryption(source: Source, text: str, offset: int, name: str, table: str) -> Encryption | None:
    """Read a value that begins with ``encrypted``; ``None`` for any other.

    ``name`` is the parameter's or column's own, ``table`` the statement's folder, with dots.
    """
    if not _WORD.match(text):
        word = re.match(r"en[a-z]+", text)
        if word and close_match(word[0], ["encrypted"], 0.8):
            raise source.error(offset, f"{text!r} is not a form of encrypted", hint="did you mean encrypted?")
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise source.error(offset, f"{text!r} is not a form of encrypted", hint=_HINT)
    pairs = [key.partition("=") for key in (found["keys"] or ", ".join(DEFAULT_KEYS)).split(",")]
    bound = tuple(column.strip() for column, _, _ in pairs)
    keys = tuple((key or column).strip() for column, _, key in pairs)
    outer, _, inner = name.rpartition(".")
    column = found["column"] or inner
    if "." not in column:
        schema, dot, rest = table.rpartition(".")
        if not table or "." in schema:
            raise source.error(
                offset,
                "the folder does not say which table's column this is",
                detail="a value is bound to its column: the folder must be named schema/table",
                hint=f"write, for example, encrypted as shop.users.{inner}",
            )
        column = f"{schema if dot else 'public'}.{rest}.{column}"
    twice = inner if inner in keys else _repeated(keys) or _repeated(bound)
    if twice is not None:
        raise source.error(
            offset,
            f"{twice} cannot be bound to itself" if twice == inner else f"{twice} is named twice",
            hint="name the columns that identify the row: encrypted (tenant_id, id)",
        )
    prefix = f"{outer}." if outer else ""
    return Encryption(column, keys, tuple(prefix + key for key in keys), bound, source.place(offset))


def _repeated(names: tuple[str, ...]) -> str | None:
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None) if len(counts) < len(names) else None


def check_parameters(
    source: Source,
    parameters: Mapping[str, object],
    encrypted: Mapping[str, Encryption],
    offsets: Mapping[str, int],
    errors: list[SqlFileError],
) -> None:
    """Compare the keys of encrypted parameters with the parameters of the statement."""
    for name, encryption in encrypted.items():
        missing = [key for key in encryption.keys if key not in parameters]
        secret = [key for key in encryption.keys if key in encrypted]
        plain = [key for key in encryption.keys if key not in missing and key not in secret]
        usable = plain or [key for key in parameters if key not in encrypted][:1]
        wanted = f"param {name}: encrypted ({', '.join(usable)})"
        if missing:
            errors.append(
                source.error(
                    offsets[name],
                    f"{name} is bound to {' and '.join(encryption.keys)}, and the query has no parameter "
                    f"{' and '.join(f':{key}' for key in missing)}",
                    detail="an encrypted value can be decrypted only in the row that it was encrypted for",
                    hint=f"name the parameters that identify the row: {wanted}"
                    if usable
                    else "add a parameter that identifies the row, and name it in brackets",
                )
            )
        elif secret:
            errors.append(
                source.error(
                    offsets[name],
                    f"{name} is bound to {secret[0]}, which is encrypted itself",
                    hint=f"name parameters that are stored as they are: {wanted}"
                    if usable
                    else "add a parameter that identifies the row, and name it in brackets",
                )
            )
