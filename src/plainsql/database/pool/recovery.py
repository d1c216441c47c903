"""The recovery of connections that cannot serve the next call as they are, in tasks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from plainsql.database.pool.pooled_connection import NEVER, PooledConnection

__all__ = ["CANCEL_REQUEST_S", "Recovery"]

CANCEL_REQUEST_S: Final = 1.0
"""Seconds that the server may take to accept a request to cancel."""


class Recovery:
    """Resets, recovers and closes connections, each within a time limit, and cuts those that take longer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout_s: float,
        *,
        recovered: Callable[[PooledConnection], None],
        forgotten: Callable[[PooledConnection], None],
    ) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._recovered = recovered
        """Called with a connection that may serve again."""
        self._forgotten = forgotten
        """Called with a connection whose event loop is closed."""
        self._tasks: set[asyncio.Task[None]] = set()

    def reset(self, pooled: PooledConnection) -> None:
        """Reset the session of a connection."""
        self._start(pooled, self._reset)

    def end(self, pooled: PooledConnection, statement: str) -> None:
        """Run a last statement on a connection: ``commit``, ``rollback``."""
        self._start(pooled, lambda pooled: self._end(pooled, statement))

    def recover(self, pooled: PooledConnection) -> None:
        """Recover a connection from whatever state it is in."""
        self._start(pooled, self._recover)

    def close(self, pooled: PooledConnection) -> None:
        """Close a connection that nothing runs on."""
        pooled.born = NEVER
        self._start(pooled, self._close)

    def _start(
        self, pooled: PooledConnection, work: Callable[[PooledConnection], Coroutine[Any, Any, None]]
    ) -> None:
        connection = pooled.connection
        if self._loop.is_closed():  # a generator or task was collected too late
            self._forgotten(pooled)
            connection.abandon()
        elif connection.is_closed():
            connection.terminate()
        else:
            task: Any = self._loop.create_task(work(pooled))
            task._log_destroy_pending = False  # a task that the end of the event loop leaves over is no error
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reset(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await pooled.connection.reset()
        except TimeoutError:
            pooled.connection.terminate()
        except Exception:  # noqa: BLE001 (a recovery may succeed where a reset did not, or cuts it)
            self.recover(pooled)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            pooled.tenant = None
            self._recovered(pooled)

    async def _end(self, pooled: PooledConnection, statement: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await pooled.connection.execute(statement)
        except TimeoutError:
            pooled.connection.terminate()
        except Exception:  # noqa: BLE001 (as above)
            self.recover(pooled)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            self._recovered(pooled)

    async def _recover(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await pooled.connection.recover()
        except Exception:  # noqa: BLE001 (a connection in an unknown state is of no use)
            await _cut(pooled.connection)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            pooled.tenant = None
            self._recovered(pooled)

    async def _close(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await pooled.connection.close()
        except Exception:  # noqa: BLE001
            pass  # asyncpg has cut it
        finally:
            pooled.connection.terminate()


async def _cut(connection: Any) -> None:
    """End a connection, and cancel what may still run on it."""
    try:
        async with asyncio.timeout(CANCEL_REQUEST_S):
            await connection.cancel_statement()
    except Exception:  # noqa: BLE001 (the server cannot be reached)
        pass
    finally:
        connection.terminate()
