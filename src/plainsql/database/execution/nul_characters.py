"""NUL characters in arguments: PostgreSQL's texts have none, and its refusal aborts a transaction.

Outside of a transaction the refusal does no harm and becomes a `BindError`. Inside of one the arguments are
checked before they are sent. JSON is left to its codec, which writes a NUL as an escape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncpg import exceptions

from plainsql.database.execution.prepared_statements import parameter_types, parameters
from plainsql.errors import BindError
from plainsql.query import CompiledQuery, QueryText

__all__ = ["NUL_DETAIL", "NUL_HINT", "nul_error", "nul_refused", "nuls_in", "refuse_nul"]

NUL_DETAIL = "it holds a NUL character"
NUL_HINT = "PostgreSQL has no NUL in texts: remove it"

_JSON = frozenset({"json", "jsonb", "json[]", "jsonb[]", "_json", "_jsonb"})

_PLAIN: frozenset[type] = frozenset({int, float, bool, type(None), bytes})


def nuls_in(values: Sequence[object]) -> list[int]:
    """Return the positions of the values with a NUL: texts, and arrays and composite values that hold one."""
    return [index for index, value in enumerate(values) if type(value) not in _PLAIN and _holds_nul(value)]


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, list | tuple | set | frozenset) and any(map(_holds_nul, value))


async def refuse_nul(
    connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Sequence[object]
) -> None:
    """Raise ``BindError`` for a text with a NUL among arguments that are not sent yet."""
    if found := nuls_in(values):
        types = [type_.name for type_ in await parameters(connection, text.sql, query)]
        for index in found:
            if types[index] not in _JSON:
                raise nul_error(query, text, values, index, types[index])


def nul_refused(
    error: BaseException,
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: Sequence[object],
) -> BindError | None:
    """Return the error of the argument for which the server refused a statement, if a NUL was the reason."""
    if not isinstance(error, exceptions.CharacterNotInRepertoireError):
        return None
    types = parameter_types(connection, text.sql)
    for index in nuls_in(values):
        if types is None or types[index] not in _JSON:
            return nul_error(query, text, values, index, "text" if types is None else types[index])
    return None


def nul_error(
    query: CompiledQuery[Any, Any], text: QueryText, values: Sequence[object], index: int, expected: str
) -> BindError:
    """Return the error of an argument that holds a NUL."""
    return query.encode_error(text, index, expected, values[index], detail=NUL_DETAIL)
