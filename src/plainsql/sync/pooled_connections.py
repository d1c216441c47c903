"""The connections of a pool, which psycopg_pool opens, lends and replaces.

A connection is reset in the thread that releases it, and only if a statement may have changed its session.
psycopg_pool's own reset would pass each released connection through another thread.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, NamedTuple

import psycopg
import psycopg_pool

from plainsql.codec import CodecMap
from plainsql.errors import ConnectError, PlainsqlError, PoolTimeoutError
from plainsql.sync.connection import SharedConnection
from plainsql.sync.libpq_connector import Connector
from plainsql.sync.wire import has_ended

__all__ = ["PoolOptions", "PooledConnection", "PooledConnections"]

_NO_LIMIT_S: Final = 1e8
_RESET: Final = "select pg_advisory_unlock_all(); close all; unlisten *; reset all"


class PoolOptions(NamedTuple):
    """The sizes and limits of a pool."""

    min_size: int
    max_size: int
    acquire_timeout: float | None
    max_waiting: int
    max_lifetime: float
    max_idle: float


class PooledConnection(SharedConnection):
    """A connection of the pool. The pool replaces it if it is lost."""

    system: int | None = None
    """The identity of the cluster that it is on; None if it does not matter."""

    def __init__(self, connection: psycopg.Connection[Any], limit_s: float | None, codecs: CodecMap) -> None:
        self.codecs = codecs
        self._take(connection)
        self.limit_s = limit_s
        self.opened_at = monotonic()

    def revive(self, *, waits: bool = True) -> None:
        """Raise ``PlainsqlError`` in a forked process, and after ``close``. The pool has checked the rest."""
        self.check_usable()


class _DriverConnection(psycopg.Connection[Any]):
    """A connection of psycopg with what plainsql has prepared on it."""

    shared: PooledConnection

    @classmethod
    def connect(  # type: ignore[override]
        cls, _: str = "", *, opens: Callable[[Callable[..., Any]], Any], **__: object
    ) -> _DriverConnection:
        """Open a connection with the function of a pool, which is given ``super().connect``."""
        connection: _DriverConnection = opens(super().connect)
        return connection


class PooledConnections:
    """Lends connections to threads, each to one at a time."""

    def __init__(
        self,
        connector: Connector,
        options: PoolOptions,
        limit_s: float | None,
        *,
        prepare: Callable[[PooledConnection], object] | None = None,
        name: str = "plainsql",
        reconnect_timeout: float = 300.0,
    ) -> None:
        self._connector = connector
        self._prepare = prepare
        """Prepares a new connection, before it serves a call."""
        self._options = options
        self._limit_s = limit_s
        self._process = os.getpid()
        self._held: Counter[int] = Counter()
        """The number of connections that each thread holds."""
        self._failure: tuple[float, Exception] | None = None
        """The time and the error of the last attempt to connect, if it failed."""
        self._has_tried = threading.Event()
        self._drained_at = float("-inf")
        self._pool = psycopg_pool.ConnectionPool(
            "",
            connection_class=_DriverConnection,
            kwargs={"opens": self._open},
            open=False,
            min_size=options.min_size,
            max_size=options.max_size,
            timeout=_NO_LIMIT_S if options.acquire_timeout is None else options.acquire_timeout,
            max_waiting=options.max_waiting,
            max_lifetime=options.max_lifetime,
            max_idle=options.max_idle,
            reconnect_timeout=reconnect_timeout,
            name=name,
        )

    def open(self) -> None:
        """Open the pool and wait for its first connection. Raises ``ConnectError``."""
        self._pool.open()
        self._has_tried.wait()
        if self._failure is not None:
            self._pool.close()
            raise self._failure[1]

    def open_aside(self) -> None:
        """Open the pool, and wait for nothing."""
        self._pool.open()

    def has_opened(self, wait_s: float) -> bool:
        """Wait a moment for the first connection. Return whether there is one."""
        return self._has_tried.wait(wait_s) and self._failure is None

    @property
    def failure(self) -> Exception | None:
        """The error of the last attempt to connect; None if it succeeded."""
        return None if self._failure is None else self._failure[1]

    def drain(self) -> None:
        """Lend no connection again that is open now."""
        self._drained_at = monotonic()

    @contextmanager
    def borrow(self, timeout: float | None = None) -> Iterator[PooledConnection]:
        """Lend a connection that is open and idle, within the pool's ``acquire_timeout`` or ``timeout``.

        Raises ``PoolTimeoutError``, and ``ConnectError`` if no server could be reached meanwhile.
        """
        driver = self._acquire(timeout)
        thread = threading.get_ident()
        self._held[thread] += 1
        try:
            yield driver.shared
        finally:
            self._held[thread] -= 1
            if not self._held[thread]:
                del self._held[thread]
            self._release(driver)

    def close(self, timeout: float | None) -> None:
        """Close the connections, those in use when they are released. A forked process leaves them."""
        if os.getpid() == self._process:
            self._pool.close(_NO_LIMIT_S if timeout is None else timeout)

    def stats(self) -> tuple[int, int, int]:
        """Return the numbers of open connections, of idle ones, and of calls that wait."""
        found = self._pool.get_stats()
        return found["pool_size"], found["pool_available"], found["requests_waiting"]

    def _open(self, connect: Callable[..., _DriverConnection]) -> _DriverConnection:
        try:
            driver = self._connector.open(connect)
            driver.shared = PooledConnection(driver, self._limit_s, self._connector.codecs)
            driver.shared.local_settings = self._connector.local_settings
            driver.shared.texts = self._connector.texts
            if self._prepare is not None:
                self._prepared(driver)
        except Exception as error:
            self._failure = (monotonic(), error)
            raise
        else:
            self._failure = None
            return driver
        finally:
            self._has_tried.set()

    def _prepared(self, driver: _DriverConnection) -> None:
        try:
            if self._prepare is not None:
                self._prepare(driver.shared)
        except BaseException:
            driver.close()
            raise

    def _acquire(self, timeout: float | None) -> _DriverConnection:
        if os.getpid() != self._process:
            raise PlainsqlError(
                "the pool was opened before this process was forked: its connections are the parent's",
                hint="make the plainsql.sync.Pool in the process that uses it",
            )
        began = monotonic()
        wanted_s = self._options.acquire_timeout if timeout is None else timeout
        limit_s = _NO_LIMIT_S if wanted_s is None else wanted_s
        try:
            while True:
                driver = self._pool.getconn(began + limit_s - monotonic())
                if driver.shared.opened_at > self._drained_at and not has_ended(driver):
                    return driver
                driver.close()  # the pool replaces it
                self._pool.putconn(driver)
        except psycopg_pool.PoolClosed:
            raise PlainsqlError("the pool is closed", hint="use it inside its 'with' block") from None
        except psycopg_pool.TooManyRequests:
            raise PoolTimeoutError(
                f"{self._options.max_waiting} calls wait for a connection already",
                hint="raise max_size, or max_waiting if the calls may wait",
            ) from None
        except psycopg_pool.PoolTimeout:
            raise self._timeout(began, limit_s) from None

    def _timeout(self, began: float, limit_s: float) -> PlainsqlError:
        failed_at, error = self._failure or (0.0, None)
        if isinstance(error, ConnectError) and failed_at >= began:
            return ConnectError(error.message, detail=error.detail, hint=error.hint)
        held = self._held[threading.get_ident()]
        hint = "raise max_size, or look for transactions that are held open for too long"
        if held:
            hint = "this thread holds one: call on the transaction, or leave it first"
        return PoolTimeoutError(
            f"no connection became free within {limit_s:g} s; max_size is {self._options.max_size}", hint=hint
        )

    def _release(self, driver: _DriverConnection) -> None:
        shared = driver.shared
        if shared.session_is_altered and not shared.is_lost:
            try:
                self._reset(shared)
            except (psycopg.Error, OSError, ConnectError):
                driver.close()
        self._pool.putconn(driver)

    def _reset(self, shared: PooledConnection) -> None:
        """Reset a session to what it began with, for the next call."""
        settings = self._connector.session_settings
        if settings is not None and not shared.in_transaction:
            if shared.statements_are_altered:
                shared.run_script("discard all")
                shared.forget_all()
                shared.run_script(settings)
            else:
                shared.run_script(f"{_RESET}; {settings}")
            self._connector.prepare_session(shared.psycopg)
        elif settings is not None:
            shared.psycopg.close()  # the program has left a transaction open on it
        shared.session_is_altered = shared.statements_are_altered = False
