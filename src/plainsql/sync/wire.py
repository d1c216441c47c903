"""Sends statements on a psycopg connection and waits for their results, within a time limit."""

from __future__ import annotations

from collections.abc import Generator
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import generators, pq
from psycopg.errors import error_from_result

__all__ = ["check_result", "has_ended", "run_script", "wait_for_results"]

_DONE: Final = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY}


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
    return results


def check_result(result: pq.abc.PGresult) -> pq.abc.PGresult:
    """Return a result, or raise the server's error."""
    if result.status in _DONE:
        return result
    raise error_from_result(result, "utf-8")


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


def _limited(answer: Generator[Any, Any, Any], limit_s: float) -> Generator[Any, Any, Any]:
    """Run a generator of psycopg's until the time is over. psycopg resumes it regularly while it waits."""
    ends = monotonic() + limit_s
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if not ready and monotonic() > ends:  # what has arrived counts, however late
                raise TimeoutError(f"the server has not answered within {limit_s:g} s")
            wanted = answer.send(ready)
    except StopIteration as end:
        return end.value
