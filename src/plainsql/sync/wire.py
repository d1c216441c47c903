"""Sends statements on a psycopg connection and waits for their results, within a time limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import generators, pq
from psycopg.errors import Diagnostic, error_from_result, lookup
from psycopg.waiting import Ready, Wait

from plainsql.errors import PlainsqlError
from plainsql.sync.driver_errors import classify_error

__all__ = ["SilenceError", "check_result", "has_ended", "run_pipeline", "run_script", "wait_for_results"]

_COPYING: Final = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}
_DONE: Final = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY}


class SilenceError(TimeoutError):
    """The server has not answered the first statement of several."""


def run_script(
    connection: psycopg.Connection[Any], sql: str, limit_s: float | None = None
) -> list[pq.abc.PGresult]:
    """Run statements without parameters in one round trip, in the simple protocol, and return their results.

    Raises the server's error of the first one that fails, and ``TimeoutError``.
    """
    with connection.lock:
        connection.pgconn.send_query(sql.encode())
        return [check_result(result) for result in wait_for_results(connection, limit_s)]


def wait_for_results(connection: psycopg.Connection[Any], limit_s: float | None) -> list[pq.abc.PGresult]:
    """Wait for the results of what was sent. Ctrl-C cancels what runs on the server.

    If the wait ends while results may still arrive, the connection is closed.
    """
    answer = generators.execute(connection.pgconn)
    results: list[pq.abc.PGresult]
    try:
        results = connection.wait(answer if limit_s is None else _limited(answer, limit_s))
    except BaseException:
        if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            connection.close()
        raise
    if any(result.status in _COPYING for result in results):
        connection.close()  # it waits for data that will not come
        raise _copy_error()
    return results


def run_pipeline(
    connection: psycopg.Connection[Any],
    sends: Sequence[Callable[[], None]],
    limit_s: float | None,
    *,
    together: bool = False,
    first_s: float | None = None,
) -> list[pq.abc.PGresult]:
    """Send statements without waiting for each, and return one result of each, errors among them.

    ``together``: send all before the first answer is read, which is for few small ones. ``limit_s``
    is for each statement, and ``first_s`` for the first one: if nothing has arrived by then, it raises
    ``SilenceError``. If the results do not all arrive, the connection is closed.
    """
    pgconn = connection.pgconn

    def flushed(send: Callable[[], None]) -> None:
        send()
        # The server would keep the results until the end, and the client would count the time of all.
        pgconn.send_flush_request()

    # libpq takes the error of a server that ends between two statements for a notice.
    last_words: list[psycopg.Error] = []

    def keep(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "FATAL" and notice.sqlstate:
            last_words.append(lookup(notice.sqlstate)(notice.message_primary or ""))

    if limit_s is not None:
        sends = [partial(flushed, send) for send in sends]
    with connection.lock:
        connection.add_notice_handler(keep)
        try:
            pgconn.enter_pipeline_mode()
            answer = _pipelined(pgconn, [*sends, pgconn.pipeline_sync], together=together)
            if first_s is not None:
                answer = _with_first(answer, first_s)
            results: list[pq.abc.PGresult] = connection.wait(
                answer if limit_s is None else _limited(answer, limit_s, restarts=True)
            )
            pgconn.exit_pipeline_mode()
        except BaseException as error:
            connection.close()
            if last_words and isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
                classify_error(last_words[0])
                raise last_words[0] from None
            raise
        finally:
            connection.remove_notice_handler(keep)
    return results


def check_result(result: pq.abc.PGresult) -> pq.abc.PGresult:
    """Return a result, or raise the server's error."""
    if result.status in _DONE:
        return result
    error = error_from_result(result, "utf-8")
    classify_error(error)
    raise error


def has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a connection is closed, or the server has closed it while it was idle."""
    pgconn = connection.pgconn
    try:
        # First the server's last message arrives, and then the end of the stream.
        for _ in range(3):
            if connection.closed:
                return True
            with DefaultSelector() as selector:
                selector.register(pgconn.socket, EVENT_READ)
                if not selector.select(0):
                    return False
            pgconn.consume_input()
    except (psycopg.Error, OSError):
        return True
    return connection.closed


def _pipelined(
    pgconn: pq.abc.PGconn, commands: Sequence[Callable[[], None]], *, together: bool
) -> Generator[Any, Any, Any]:
    """Send commands as the socket takes them, and return the result of each but the last, which is the sync.

    If the connection is lost, raises the server's error if that has arrived: what fails then may be the next
    command. psycopg's own generator drops the results that it has in that case.
    """
    unsent = deque(commands)
    results: list[pq.abc.PGresult] = []
    try:
        while together and unsent:
            unsent.popleft()()
        while len(results) < len(commands):
            ready = yield Wait.RW if unsent or pgconn.flush() else Wait.R
            if ready & Ready.R:
                pgconn.consume_input()
                _take_results(pgconn, results)
            if ready & Ready.W and not pgconn.flush() and unsent:
                unsent.popleft()()
    except psycopg.OperationalError:
        with suppress(psycopg.OperationalError):
            pgconn.consume_input()
        # What had arrived before the end of the stream is read, also if the end is all that is left.
        with suppress(psycopg.OperationalError):
            _take_results(pgconn, results)
        for result in results:
            if result.error_field(pq.DiagnosticField.SQLSTATE):  # else it is libpq that ends here
                check_result(result)
        raise
    return results[:-1]


def _take_results(pgconn: pq.abc.PGconn, results: list[pq.abc.PGresult]) -> None:
    """Append the results that have arrived, one for each command."""
    while not pgconn.is_busy():
        result = pgconn.get_result()
        if result is None:  # the end of a command's results, or nothing has arrived
            result = pgconn.get_result() if not pgconn.is_busy() else None
        if result is None:
            return
        if result.status in _COPYING:
            raise _copy_error()
        results.append(result)


def _copy_error() -> PlainsqlError:
    return PlainsqlError(
        "COPY from or to the client is not a query",
        hint="use 'db.connection.cursor().copy(…)'; this connection is closed",
    )


def _with_first(answer: Generator[Any, Any, Any], first_s: float) -> Generator[Any, Any, Any]:
    """Run a generator of psycopg's, and end it if nothing has arrived in time."""
    ends: float | None = monotonic() + first_s
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if ends is not None and ready & Ready.R:
                ends = None
            elif ends is not None and monotonic() > ends:
                raise SilenceError(f"the server has not answered within {first_s:g} s")
            wanted = answer.send(ready)
    except StopIteration as end:
        return end.value


def _limited(
    answer: Generator[Any, Any, Any], limit_s: float, *, restarts: bool = False
) -> Generator[Any, Any, Any]:
    """Run a generator of psycopg's until the time is over. psycopg resumes it regularly while it waits.

    ``restarts``: the time begins again whenever something has arrived or was sent.
    """
    ends = monotonic() + limit_s
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if not ready and monotonic() > ends:  # what has arrived counts, however late
                raise TimeoutError(f"the server has not answered within {limit_s:g} s")
            if ready and restarts:
                ends = monotonic() + limit_s
            wanted = answer.send(ready)
    except StopIteration as end:
        return end.value
