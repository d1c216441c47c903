"""A proxy for an asyncpg connection that the user holds for a block.

Calls of queries use the bare connection. ``acquire`` and a transaction's ``connection`` hand out asyncpg's
own proxy for a connection of a pool, which refuses every use after the block.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from asyncpg import Connection, exceptions, pool

__all__ = ["ConnectionProxy"]

_CHANGE_THE_CLIENT = frozenset({"set_type_codec", "set_builtin_type_codec", "reset_type_codec"})
"""Methods that change how this client reads and writes values."""


class _Guarding(pool.PoolConnectionProxyMeta):
    """Makes the methods of the proxy. asyncpg's check for the block's end when they are called; ours check
    again when they are awaited.
    """

    @staticmethod
    def _wrap_connection_method(meth_name: str, iscoroutine: bool | None = None) -> Callable[..., Any]:
        if iscoroutine is None:  # before asyncpg 0.30
            iscoroutine = iscoroutinefunction(getattr(Connection, meth_name))

        def call(self: ConnectionProxy, *args: Any, **kwargs: Any) -> Any:
            return getattr(self._held(meth_name), meth_name)(*args, **kwargs)

        async def call_awaited(self: ConnectionProxy, *args: Any, **kwargs: Any) -> Any:
            connection = self._held(meth_name)
            if meth_name in _CHANGE_THE_CLIENT:
                connection.is_altered = True
            try:
                return await getattr(connection, meth_name)(*args, **kwargs)
            except Exception as raised:
                if self._con is None:
                    raise _released(meth_name, " while it ran") from raised
                error = self._explain(raised)
                if error is raised:
                    raise
                raise error from raised

        return call_awaited if iscoroutine else call


class ConnectionProxy(pool.PoolConnectionProxy, metaclass=_Guarding, wrap=True):
    """A connection that is yours until the end of the block that you got it for."""

    __slots__ = ("_explain", "_listeners_before", "_loggers")

    def __init__(self, connection: Any, explain: Callable[[Exception], BaseException]) -> None:
        # asyncpg's constructor needs a pool of asyncpg's.
        self._con: Any = connection
        self._holder: Any = None
        self._explain = explain
        """Returns the error to raise for one of the driver's."""
        self._loggers = frozenset(connection._query_loggers)
        self._listeners_before = frozenset(connection._termination_listeners)
        # Listeners are called with this proxy.
        connection._proxy = self
        connection.is_suspect = True

    def release(self) -> None:
        """End the use of the connection. Statements, cursors and transactions that were made from it end
        when the connection is released.
        """
        connection, self._con = self._con, None
        if connection is None:
            return
        if connection._proxy is self:
            connection._proxy = None
        connection._query_loggers.intersection_update(self._loggers)
        connection._termination_listeners.intersection_update(self._listeners_before)
        # The reset unlistens on the server; what arrives before is dropped here.
        connection._listeners.clear()
        connection._log_listeners.clear()

    def _held(self, name: str) -> Any:
        if self._con is None:
            raise _released(name)
        return self._con

    def __getattr__(self, name: str) -> Any:
        if self._con is None and not name.startswith("_"):
            raise _released(name)
        return getattr(self._con, name)


def _released(name: str, when: str = "") -> exceptions.InterfaceError:
    return exceptions.InterfaceError(
        f"cannot call Connection.{name}(): connection has been released back to the pool{when}",
        hint="use it only inside of the block that it was handed to",
    )
