"""The asyncpg connections that the pool makes: how they are reset, and what stands between them and the
server.
"""

from __future__ import annotations

from typing import Any

from asyncpg import exceptions

from plainsql.database.resetting import ResettableConnection

__all__ = [
    "SETTINGS",
    "DirectConnection",
    "SessionPooledConnection",
    "TransactionPooledConnection",
    "is_behind_pooler",
    "keeps_statements",
    "refuses_settings",
    "set_settings",
]

SETTINGS = {
    # With a filter, an HNSW scan must go on until it has found enough, and give its rows in the order that
    # the statement asks for: with `relaxed_order` it does not, and the planner, which relies on the index's
    # order, does not sort them again. A database without pgvector takes this for a setting of an extension
    # that is yet to be loaded.
    "hnsw.iterative_scan": "strict_order",
}

# asyncpg's own reset leaves these: a role that was taken on, which would read with its rights for the next
# one too, and temporary tables, which would hide others of the same name.
_MORE = "reset session authorization; reset role; discard temp; discard sequences;"

_PROBE = "plainsql_probe"


class DirectConnection(ResettableConnection):
    """A connection whose reset leaves nothing of a session behind."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        own: str = super().get_reset_query()  # type: ignore[no-untyped-call]
        return f"{own}\n{_MORE}"


class SessionPooledConnection(DirectConnection):
    """A connection to a pooler that gives each client a server's session: it refuses our settings at the
    start.
    """

    __slots__ = ()

    def get_reset_query(self) -> str:
        return f"{super().get_reset_query()}\n{set_settings()}"


class TransactionPooledConnection(ResettableConnection):
    """A connection to a pooler in transaction mode: there is no session that a reset would reach."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


def set_settings() -> str:
    """Return what makes our settings those of the session."""
    return " ".join(f"set {name} = '{value}';" for name, value in SETTINGS.items())


async def is_behind_pooler(connection: Any) -> bool:
    """Whether something stands between this connection and the server.

    A pooler makes up the process id that it tells its clients: it is none of the server's.
    """
    # In the simple protocol: a statement that was prepared would stay behind in a pooler's connection. The
    # number of rows is all that comes back.
    pid: int = connection.get_server_pid()
    status: str = await connection.execute(f"select where pg_backend_pid() = {pid:d}")
    return status == "SELECT 0"


async def keeps_statements(connection: Any) -> bool:
    """Whether a pooler in transaction mode looks after its clients' prepared statements: PgBouncer can from
    1.21 on.

    One that does gives them names of its own; one that does not hands on ours. The connection has no
    statement cache.
    """
    async with connection.transaction():
        await connection.prepare("select", name=_PROBE)
        status: str = await connection.execute(f"select from pg_prepared_statements where name = '{_PROBE}'")
        if status == "SELECT 0":
            return True
        await connection.execute(f"deallocate {_PROBE}")
        return False


def refuses_settings(error: BaseException) -> bool:
    """Whether this is a pooler's answer to settings that it does not know."""
    return isinstance(error, exceptions.ProtocolViolationError) and "startup parameter" in str(error)
