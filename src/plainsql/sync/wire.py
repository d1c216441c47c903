"""What is sent and waited for on a psycopg connection, within a time limit."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import generators, pq
from psycopg.errors import error_from_result

__all__ = ["answers", "checked", "run_script"]

_DONE: Final = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY}


def run_script(
    connection: psycopg.Connection[Any], sql: str, limit_s: float | None = None
) -> list[pq.abc.PGresult]:
    """Run statements without parameters in one round trip, in the simple protocol, and return their results.

    Raises the server's error of the first one that fails, and ``TimeoutError``.
    """
    with connection.lock:
        connection.pgconn.send_query(sql.encode())
        return [checked(result) for result in answers(connection, limit_s)]


def answers(connection: psycopg.Connection[Any], limit_s: float | None) -> list[pq.abc.PGresult]:
    """Wait for the server's answers to what was sent. Ctrl-C cancels what runs there.

    A connection whose answer may still come is closed when the wait ends without it.
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


def checked(result: pq.abc.PGresult) -> pq.abc.PGresult:
    """Return a result, or raise the server's error."""
    if result.status in _DONE:
        return result
    raise error_from_result(result, "utf-8")


def _limited(answer: Generator[Any, Any, Any], limit_s: float) -> Generator[Any, Any, Any]:
    """Go on with a generator of psycopg's, which is resumed every now and then, until it takes too long."""
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
