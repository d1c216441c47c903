"""The preparation of many statements in pipeline mode, to find out only whether the server accepts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import Connection, pq

from plainsql.analysis.describer import RefusedError

__all__ = ["Prepared", "prepare_all"]

# The server's answers to one batch fit into the socket's buffers, so neither side waits for the other.
_BATCH_SIZE = 32


class Prepared(NamedTuple):
    """The server's description of a text that it accepts."""

    parameters: tuple[int, ...]
    """The type oids of its parameters."""
    columns: tuple[tuple[str, int], ...]
    """The names and type oids of its columns."""


def prepare_all(connection: Connection[Any], texts: Sequence[str]) -> list[Prepared | RefusedError]:
    """Prepare and describe each text; none is executed, and no statement stays prepared.

    Returns an entry for each text, in their order: what it takes and returns, or why it is refused. The
    connection must be idle and in autocommit mode.
    """
    answers: list[Prepared | RefusedError] = []
    server = connection.pgconn
    server.enter_pipeline_mode()
    try:
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = texts[start : start + _BATCH_SIZE]
            for text in batch:
                server.send_prepare(b"", text.encode())
                server.send_describe_prepared(b"")
                server.pipeline_sync()
            answers += [_answer(server) for _ in batch]
    finally:
        server.exit_pipeline_mode()
    return answers


def _answer(server: pq.abc.PGconn) -> Prepared | RefusedError:
    refused: RefusedError | None = None
    found = Prepared((), ())
    while True:
        result = server.get_result()
        if result is None:
            continue  # the end of one command of the pipeline
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return refused or found
        if result.status == pq.ExecStatus.FATAL_ERROR:
            refused = _refusal(result)
        elif result.nfields or result.nparams:
            found = Prepared(
                tuple(result.param_type(i) for i in range(result.nparams)),
                tuple(((result.fname(i) or b"").decode(), result.ftype(i)) for i in range(result.nfields)),
            )


def _refusal(result: pq.abc.PGresult) -> RefusedError:
    def field(code: pq.DiagnosticField) -> str | None:
        value = result.error_field(code)
        return value.decode(errors="replace") if value else None

    position = field(pq.DiagnosticField.STATEMENT_POSITION)
    return RefusedError(
        field(pq.DiagnosticField.MESSAGE_PRIMARY) or "the server refuses the statement",
        position=int(position) if position else None,
        sqlstate=field(pq.DiagnosticField.SQLSTATE),
        detail=field(pq.DiagnosticField.MESSAGE_DETAIL),
        hint=field(pq.DiagnosticField.MESSAGE_HINT),
    )
