"""The psycopg connection underneath a ``Connection`` or a ``Session`` of SQLAlchemy.

This module alone imports SQLAlchemy, and only a program that uses it imports this module.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, scoped_session

from plainsql.errors import BindError

__all__ = ["SqlAlchemySource", "source_of"]


class SqlAlchemySource:
    """A ``Connection``, a ``Session``, or the session of the current scope."""

    governs = True

    def __init__(self, source: Connection | Session | scoped_session[Any]) -> None:
        self._source = source

    def connection(self) -> psycopg.Connection[Any]:
        """Return the psycopg connection, in the transaction that SQLAlchemy's own commit or rollback ends.

        The pending objects of a session are flushed first, as ``Session.execute`` does it.
        """
        source = self._source
        if isinstance(source, scoped_session):
            source = source()
        if isinstance(source, Session):
            # Inside of a flush, an event may call a query: the session does not flush again then.
            if source.autoflush and not source._flushing:
                source.flush()
            source = source.connection()
        elif not source.in_transaction():
            source.begin()
        driver = source.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise _refusal(source)
        return driver


def source_of(connection: object) -> SqlAlchemySource | None:
    """Return the source of an object of SQLAlchemy, or None if it has no connection of its own.

    Raises ``BindError`` for a connection on another driver.
    """
    if isinstance(connection, Connection):
        if connection.dialect.driver != "psycopg":
            raise _refusal(connection)
        return SqlAlchemySource(connection)
    return SqlAlchemySource(connection) if isinstance(connection, Session | scoped_session) else None


def _refusal(connection: Connection) -> BindError:
    dialect = connection.dialect
    hint = "create the engine with 'postgresql+psycopg://…'"
    if dialect.is_async:
        hint = "use 'plainsql.over' for an AsyncConnection or an AsyncSession"
    return BindError(
        f"sync.over(): expected SQLAlchemy's connection on psycopg, got one on {dialect.driver}"
        f"{', asynchronous' if dialect.is_async else ''}",
        hint=hint,
    )
