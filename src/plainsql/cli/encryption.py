"""Encrypted values at the prompt: arguments are encrypted before they are sent, results are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from plainsql.cli.literals import Cell, Type
from plainsql.crypto import Encrypted
from plainsql.statements import Statement

__all__ = ["HIDDEN", "encrypt_arguments", "hide"]

HIDDEN = "***"
_INTEGERS = ("int2", "int4", "int8")


def encrypt_arguments(
    statement: Statement, names: Sequence[str], arguments: Sequence[Cell], types: Mapping[str, Type]
) -> list[Cell]:
    """Return arguments in PostgreSQL's text form, the encrypted ones as their stored values.

    Raises ``BindError`` if a parameter that a value is bound to is null or missing.
    """
    known = dict(zip(names, arguments, strict=True))
    sent = dict(known)
    for parameter in statement.parameters:
        if parameter.encryption is not None and parameter.name in known:
            encryption = parameter.encryption
            mark = Encrypted(
                encryption.column, *encryption.marks, form=encryption.form, scope=encryption.scope
            )
            keys = [_key(known.get(key), types.get(key)) for key in mark.names]
            if encryption.is_search:
                digests = mark.digests(parameter.name, known[parameter.name], keys)
                sent[parameter.name] = None if digests is None else _array(digests)
            else:
                stored = mark.encrypt(parameter.name, known[parameter.name], keys)
                sent[parameter.name] = None if stored is None else "\\x" + stored.hex()
    return list(sent.values())


def _array(values: Sequence[bytes]) -> str:
    """Return values as PostgreSQL reads a ``bytea[]``."""
    return "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"


def hide(statement: Statement, names: Sequence[str], rows: list[list[Cell]]) -> None:
    """Replace encrypted values in the result by a mark."""
    hidden = {hint.name for hint in statement.columns if hint.encryption is not None}
    for index, name in enumerate(names):
        if name in hidden:
            for row in rows:
                row[index] = None if row[index] is None else HIDDEN


def _key(text: Cell, type: Type | None) -> object:
    # The server reads 007 as 7, and the row will have 7.
    if text is not None and type is not None and type.name in _INTEGERS:
        try:
            return int(text)
        except ValueError:
            pass  # the server refuses it
    if text is not None and type is not None and type.name == "uuid":
        try:
            return UUID(text)
        except ValueError:
            pass
    return text
