"""The messages for values that PostgreSQL cannot read or compute with.

A text that a person typed is shown. A drawn value is production's, and an encrypted one is a secret: neither
is shown, nor the part of the server's message that could hold it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection, RawCursor

from plainsql.plans.explain.server_plans import PlannedStatement
from plainsql.statements import Variant
from plainsql.statements.header import close_match

__all__ = ["ParameterType", "condition_words", "parameter_types", "uncomputable", "unreadable", "wrong_name"]

_PARAMETER: Final = re.compile(r"^[^\n\"]*\bportal\b[^\n\"]*\$(\d+)", re.MULTILINE)
"""The parameter in the context of an error. The lines before it may be about its text, such as JSON."""
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_QUOTES: Final = re.compile('["«»„“”]')  # in the languages of PostgreSQL's messages
_TYPES: Final = """
select
  pg_catalog.format_type(t.oid, null),
  b.typname::text,
  b.typcategory = 'A',
  array(
    select e.enumlabel::text from pg_catalog.pg_enum as e
    where e.enumtypid in (b.oid, case when b.typcategory = 'A' then b.typelem end)
    order by e.enumsortorder
  )
from unnest($1::oid[]) with ordinality as w (oid, n)
inner join pg_catalog.pg_type as t on w.oid = t.oid
inner join pg_catalog.pg_type as b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
order by w.n
"""
_VECTORS: Final = frozenset({"vector", "halfvec", "sparsevec"})
_SHOWN_LABELS: Final = 12
_SHOWN_CHARACTERS: Final = 60


class ParameterType(NamedTuple):
    """The type of a parameter, as a message names it."""

    name: str
    """The name in SQL: ``bigint``, ``text[]``, ``shop.state``."""
    base: str
    """The name in ``pg_type``; for a domain, that of its base type."""
    is_array: bool
    labels: Sequence[str]
    """The labels of an enum, or of the elements of an array."""

    def __str__(self) -> str:
        article = "an" if self.name[:1] in "aeio" else "a"
        shown = ", ".join(self.labels[:_SHOWN_LABELS])
        more = ", …" if len(self.labels) > _SHOWN_LABELS else ""
        return f"{article} {self.name}" + (f" ({shown}{more})" if shown else "")


def parameter_types(connection: Connection[Any], variant: Variant) -> dict[str, ParameterType]:
    """Return the types of a variant's parameters by their names; empty if PostgreSQL refuses it."""
    try:
        with connection.transaction(force_rollback=True):
            planned = PlannedStatement(connection, variant.sql)
            rows = RawCursor(connection).execute(_TYPES, [list(planned.type_oids)]).fetchall()
            planned.close()
    except psycopg.Error:
        return {}
    return {name: ParameterType(*row) for name, row in zip(variant.parameters, rows, strict=False)}


def wrong_name(error: psycopg.Error, variant: Variant) -> str | None:
    """Return the parameter whose text PostgreSQL cannot read; ``None`` if the error is about no text."""
    found = _PARAMETER.findall(error.diag.context or "")
    number = int(found[-1]) if found else 0
    return variant.parameters[number - 1] if 0 < number <= len(variant.parameters) else None


def condition_words(error: psycopg.Error) -> str:
    """Return the name of the error's SQLSTATE in words, without a value: ``invalid text representation``."""
    return _WORD.sub(" ", type(error).__name__).lower()


def unreadable(
    name: str, type_: ParameterType | None, text: str | None, *, is_shown: bool, in_header: bool
) -> tuple[str, str]:
    """Return the message and the hint for a text that PostgreSQL cannot read as its type."""
    message = f"{name}: expected {type_ or 'another value'}"
    hint = f"write {name}{' = ' if in_header else '='}… in the form that PostgreSQL reads"
    if not is_shown:
        return message, hint
    if text is None:
        return f"{message}, got null", f"give {name} a value"
    shown = repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
    if text.lower() == "null":
        hint = f"write {name} = null" if in_header else f"write {name}:=null"
    elif type_ is not None and type_.is_array:
        hint = f"write {name} = '{{…}}'" if in_header else f"write {name}='{{…}}', or as JSON {name}:='[…]'"
    elif type_ is not None and type_.labels:
        label = close_match(text, list(type_.labels), 0.6) or type_.labels[0]
        hint = f"write {name} = '{label}'" if in_header else f"write {name}={label}"
    return f"{message}, got {shown}", hint


def uncomputable(error: psycopg.Error, types: dict[str, ParameterType]) -> str:
    """Return the message for values that are read, but that a function or an operator refuses."""
    said = error.diag.message_primary or ""
    reason = said if said and not _QUOTES.search(said) else condition_words(error)
    names = list(types)
    if "dimensions" in reason:
        names = [name for name, type_ in types.items() if type_.base in _VECTORS] or names
    if len(names) == 1:
        return f"{names[0]}: PostgreSQL cannot compute with the value: {reason}"
    return f"PostgreSQL cannot compute with the values of {', '.join(names) or 'the query'}: {reason}"
