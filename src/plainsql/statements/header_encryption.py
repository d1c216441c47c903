"""``encrypted``: a parameter or a column whose value is stored encrypted.

::

    -- param access_token: encrypted                             bound to :tenant_id and :id
    -- param token: encrypted as access_token (account_id)       another column's name, another key of the row
    -- column token: encrypted as shop.users.access_token (id)   of a table that is not this folder's
    -- column token: encrypted (id = user_id)                    a key that has another name here
    -- param email: encrypted (id), searchable as email          with a digest that a search finds
    -- param email: digest of shop.users.email as email          such a search

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

__all__ = ["DEFAULT_KEYS", "SEARCH_FORMS", "check_parameters", "read_encryption"]

DEFAULT_KEYS: Final = ("tenant_id", "id")
"""The columns that identify a value's row, unless the header names others."""

SEARCH_FORMS: Final = ("exactly", "email", "phone")
"""The normal forms in which a text is searched."""

_WORD: Final = re.compile(r"(?:encrypted\b|digest(?![\w.\[]))")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_KEY: Final = rf"{_NAME}(?:[ \t]*=[ \t]*{_NAME})?"
_AS_FORM: Final = rf"(?:[ \t]+(?:as[ \t]+(?P<form>{_NAME})|exactly))?"
_FORM: Final = re.compile(
    rf"encrypted"
    rf"(?:[ \t]+as[ \t]+(?P<column>{_NAME}(?:\.{_NAME}\.{_NAME})?))?"
    rf"(?:[ \t]*\([ \t]*(?P<keys>{_KEY}(?:[ \t]*,[ \t]*{_KEY})*)[ \t]*\))?"
    rf"(?P<search>[ \t]*,[ \t]*searchable"
    rf"(?:[ \t]*\([ \t]*(?P<scope>(?:{_NAME}(?:[ \t]*,[ \t]*{_NAME})*)?)[ \t]*\))?"
    rf"{_AS_FORM})?"
)
_SEARCH: Final = re.compile(
    rf"digest"
    rf"(?:[ \t]+of[ \t]+(?P<column>{_NAME}(?:\.{_NAME}\.{_NAME})?))?"
    rf"(?:[ \t]*\([ \t]*(?P<keys>(?:{_KEY}(?:[ \t]*,[ \t]*{_KEY})*)?)[ \t]*\))?"
    rf"{_AS_FORM}"
)
_HINT: Final = "write encrypted, encrypted (id), or encrypted as shop.users.token (tenant_id, id)"
_SEARCHABLE_HINT: Final = "write encrypted (id), searchable as email; as phone; or searchable exactly"
_SEARCH_HINT: Final = "write digest of shop.users.email as email, as phone, or exactly"


def read_encryption(
    source: Source, text: str, offset: int, name: str, table: str, *, is_column: bool = False
) -> Encryption | None:
    """Read a value that begins with ``encrypted`` or ``digest``; ``None`` for any other.

    ``name`` is the parameter's or column's own, ``table`` the statement's folder, with dots.
    """
    if not _WORD.match(text):
        word = re.match(r"en[a-z]+", text)
        if word and close_match(word[0], ["encrypted"], 0.8):
            raise source.error(offset, f"{text!r} is not a form of encrypted", hint="did you mean encrypted?")
        return None
    is_search = text.startswith("digest")
    if is_search and is_column:
        raise source.error(
            offset,
            "a digest is searched by a parameter, and no column is one",
            hint=f"write param {name}: {text}, or column {name}: encrypted",
        )
    found = (_SEARCH if is_search else _FORM).fullmatch(text)
    if found is None:
        hint = _SEARCH_HINT if is_search else _SEARCHABLE_HINT if "search" in text else _HINT
        what = "digest" if is_search else "encrypted"
        raise source.error(offset, f"{text!r} is not a form of {what}", hint=hint)
    default = "" if is_search else ", ".join(DEFAULT_KEYS)
    named = default if found["keys"] is None else found["keys"]
    pairs = [key.partition("=") for key in named.split(",") if key.strip()]
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
                hint=f"write, for example, {'digest of' if is_search else 'encrypted as'} shop.users.{inner}",
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
    columns = tuple(prefix + key for key in keys)
    form, scope = "", bound
    if is_search or found["search"]:
        form = _form(source, found, offset)
    if not is_search:
        scope = _scope(source, found, offset, bound) if form else ()
    return Encryption(column, keys, columns, bound, source.place(offset), form, scope, is_search)


def _form(source: Source, found: re.Match[str], offset: int) -> str:
    """Return the normal form that a line names, ``exactly`` if it names none."""
    form = found["form"] or "exactly"
    if form not in SEARCH_FORMS:
        meant = close_match(form, SEARCH_FORMS, 0.6)
        raise source.error(
            offset + found.start("form"),
            f"a text is not searched as {form!r}, expected {', '.join(SEARCH_FORMS)}",
            hint=f"did you mean {meant}?" if meant else "write as email, as phone, or exactly",
        )
    return form


def _scope(source: Source, found: re.Match[str], offset: int, bound: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that a digest is bound to.

    Raises ``SqlFileError`` if they are no keys of the value, or if one of several keys may be a tenant's and
    the line does not say it.
    """
    at = offset + found.start("search")
    if found["scope"] is None:
        if len(bound) == 1:
            return ()
        raise source.error(
            at,
            f"the value is bound to {' and '.join(bound)}, and searchable does not say which of them "
            "its digest is bound to",
            detail="equal texts of two tenants have equal digests unless the digest is bound to the tenant",
            hint=f"write searchable ({bound[0]}), or searchable () for a search through all rows",
        )
    scope = tuple(name.strip() for name in found["scope"].split(",") if name.strip())
    wrong = next((name for name in scope if name not in bound), None) or _repeated(scope)
    if wrong is not None:
        raise source.error(
            at,
            f"{wrong} is named twice"
            if wrong in bound
            else f"the digest is bound to {wrong}, and the value is not",
            hint=f"name keys of the value: searchable ({bound[0]})",
        )
    return scope


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
        what = "digest of" if encryption.is_search else "encrypted"
        wanted = f"param {name}: {what} ({', '.join(usable)})"
        if missing:
            errors.append(
                source.error(
                    offsets[name],
                    f"{name} is bound to {' and '.join(encryption.keys)}, and the query has no parameter "
                    f"{' and '.join(f':{key}' for key in missing)}",
                    detail="a digest is found only with the keys that it was written with"
                    if encryption.is_search
                    else "an encrypted value can be decrypted only in the row that it was encrypted for",
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
