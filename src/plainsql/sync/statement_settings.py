"""The settings of one statement on the synchronous connection: set before it, and restored behind it.

A statement that fails aborts the transaction, or the savepoint that it is in, and the server undoes its
settings with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

from plainsql.query import CompiledQuery
from plainsql.query.setting_values import SetTo, refused_setting
from plainsql.sync.connection import SharedConnection

__all__ = ["locally", "refused"]

_TEXT: Final = 25


@contextmanager
def locally(shared: SharedConnection, query: CompiledQuery[Any, Any], settings: SetTo) -> Iterator[None]:
    """Run a block of one query's work with settings. A transaction is open.

    Raises ``BindError`` or ``ContractError`` if the server refuses one; that aborts the transaction.
    """
    if not settings:
        yield
        return
    # The columns are evaluated from the left to the right. A setting of a library that is not loaded is null.
    sql = "select " + ", ".join(
        f"pg_catalog.current_setting(${2 * i + 1}, true),"
        f" pg_catalog.set_config(${2 * i + 1}, ${2 * i + 2}, true)"
        for i in range(len(settings))
    )
    try:
        found = _run(shared, sql, [part.encode() for setting in settings for part in setting])
    except psycopg.Error as error:
        if (said := refused(error, query, settings)) is error:
            raise
        raise said from None
    before: list[bytes | None] = []
    for index, (name, _) in enumerate(settings):
        before += [name.encode(), found.get_value(0, 2 * index)]
    restoring = "select " + ", ".join(
        f"pg_catalog.set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(len(settings))
    )
    try:
        yield
    except BaseException:
        # The transaction may be usable: if nothing was sent, or if a result had too many rows.
        if not shared.is_lost and shared.is_own and shared.in_transaction:
            with suppress(psycopg.Error, OSError):
                _run(shared, restoring, before)
        raise
    _run(shared, restoring, before)


def refused(error: psycopg.Error, query: CompiledQuery[Any, Any], settings: SetTo) -> Exception:
    """Return the error to raise if the server has refused settings: it does not hold a value."""
    message = error.diag.message_primary or ""
    return refused_setting(query.name, query.file, settings, error.sqlstate, message) or error


def _run(shared: SharedConnection, sql: str, values: list[bytes | None]) -> Any:
    with shared.lock:
        return shared.run_text(sql, values, [_TEXT] * len(values))
