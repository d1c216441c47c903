"""One query on one session: sent, read, built, and explained where it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors, pq

from plainsql.errors import DecodeError
from plainsql.query import Args, CompiledQuery, Described, QueryText
from plainsql.sync.codecs.codec import UNFIT
from plainsql.sync.session import Prepared, Session

__all__ = ["execute", "iterate"]

R = TypeVar("R")
T = TypeVar("T")

# A prepared statement whose tables or types have changed since, or that DEALLOCATE or a pooler has dropped.
_STALE: Final = (errors.FeatureNotSupported, errors.InvalidSqlStatementName)


def _note(error: psycopg.Error, query: CompiledQuery[Any, Any], text: QueryText) -> str:
    said = error.diag
    return query.error_note(
        text, said.statement_position, sqlstate=error.sqlstate, message=said.message_primary or ""
    )


def execute(session: Session, query: CompiledQuery[Any, R], args: Args) -> R:
    """Run a query to its end and build its result."""
    text, values = query.text(args)
    with session.lock:
        try:
            prepared, result = _send(session, query, text, values)
        except psycopg.Error as error:
            error.add_note(_note(error, query, text))
            raise
        if query.kind == "count":
            # Its result is an int by its class; the type checker knows only R.
            return result.command_tuples or 0  # type: ignore[return-value]
        return query.result(_records(session, query, text, prepared, result))


def iterate(session: Session, query: CompiledQuery[T, Any], args: Args, prefetch: int) -> Iterator[T]:
    """Run a query through a cursor, ``prefetch`` rows at a time. The session is in a transaction.

    What no cursor can be declared for (``insert … returning``) is read as a whole.
    """
    text, values = query.text(args)
    with session.lock:
        try:
            prepared = _prepare(session, query, text)
            data = _encode(query, text, prepared, values)
        except psycopg.Error as error:
            error.add_note(_note(error, query, text))
            raise
        try:
            cursor = _declare(session, text, prepared, data)
            result = None if cursor else session.run(prepared, data)
        except psycopg.Error as error:
            # No position: the server counts from the beginning of the declaration.
            error.add_note(query.error_note(text, None))
            raise
    if result is not None:
        yield from query.build(_records(session, query, text, prepared, result))
        return
    try:
        while True:
            with session.lock:
                try:
                    result = session.run_text(f"fetch {prefetch} from {cursor}")
                except psycopg.Error as error:
                    error.add_note(query.error_note(text, None))
                    raise
                rows = query.build(_records(session, query, text, prepared, result))
            yield from rows
            if len(rows) < prefetch:
                return
    finally:
        # After an error there is no cursor any more, and the transaction takes no commands.
        is_open = session.connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS
        if is_open and session.is_own:
            session.run_text(f"close {cursor}")


def _send(
    session: Session, query: CompiledQuery[Any, Any], text: QueryText, values: Args
) -> tuple[Prepared, pq.abc.PGresult]:
    prepared = _prepare(session, query, text)
    try:
        result = session.run(prepared, _encode(query, text, prepared, values))
        if not prepared.name and _differs(prepared, result):
            # It was described some time ago. If it does not fit, the transaction around it is rolled back.
            session.forget(text.sql)
            prepared = _prepare(session, query, text)
        return prepared, result
    except _STALE as error:
        if (
            isinstance(error, errors.FeatureNotSupported)
            and error.diag.source_function != "RevalidateCachedQuery"
        ):
            raise
        session.forget(text.sql)
        if session.in_transaction:  # which the error has ended
            raise
        prepared = _prepare(session, query, text)
        return prepared, session.run(prepared, _encode(query, text, prepared, values))


def _differs(prepared: Prepared, result: pq.abc.PGresult) -> bool:
    return [result.ftype(index) for index in range(result.nfields)] != [*prepared.column_types]


def _declare(
    session: Session, text: QueryText, prepared: Prepared, data: Sequence[bytes | None]
) -> str | None:
    """Declare a cursor and return its name, or None where the statement cannot have one."""
    if prepared.through_cursor is False:
        return None
    name = session.new_name()
    declaration = f"declare {name} no scroll cursor for {text.sql}"
    if prepared.through_cursor:
        session.run_text(declaration, data, prepared.parameter_types)
        return name
    session.run_text(f"savepoint {name}")
    try:
        session.run_text(declaration, data, prepared.parameter_types)
        prepared.through_cursor = True
    except (errors.SyntaxError, errors.FeatureNotSupported):
        # It was prepared, so there is nothing wrong with it: it is no SELECT, or one that writes.
        session.run_text(f"rollback to savepoint {name}")
        prepared.through_cursor = False
    session.run_text(f"release savepoint {name}")
    return name if prepared.through_cursor else None


def _prepare(session: Session, query: CompiledQuery[Any, Any], text: QueryText) -> Prepared:
    """Prepare a statement, and compare its result with the query's row type before it is run."""
    prepared = session.prepare(text.sql)
    if query.kind != "count" and prepared.compared_for is not query:
        columns = tuple(
            Described(name, oid, codec.name)
            for name, oid, codec in zip(
                prepared.column_names, prepared.column_types, prepared.columns, strict=True
            )
        )
        if query.needs_columns:
            query.set_columns(columns)
        else:
            query.compare(columns)
        prepared.compared_for = query
    return prepared


def _encode(
    query: CompiledQuery[Any, Any], text: QueryText, prepared: Prepared, values: Args
) -> list[bytes | None]:
    data: list[bytes | None] = []
    for index, (codec, value) in enumerate(zip(prepared.parameters, values, strict=True)):
        if value is None:
            data.append(None)
            continue
        try:
            encoded = codec.encode(value).encode()
        except UNFIT as error:
            raise query.encode_error(text, index, codec.name, value, error) from None
        if b"\0" in encoded:  # it would end there, for libpq
            raise query.encode_error(text, index, codec.name, value, detail="it holds a NUL character")
        data.append(encoded)
    return data


def _records(
    session: Session,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    prepared: Prepared,
    result: pq.abc.PGresult,
) -> list[tuple[Any, ...]]:
    columns = []
    for index, codec in enumerate(prepared.columns):
        texts = [result.get_value(row, index) for row in range(result.ntuples)]
        decode = codec.decode
        try:
            columns.append([None if text is None else decode(text.decode()) for text in texts])
        except UNFIT as error:
            # Where a type was altered, the next call sees it as it is now.
            session.forget(text.sql)
            raise DecodeError(
                f"{query.name}: {prepared.column_names[index]}: "
                f"a value of the type {codec.name} that Python does not have",
                detail=str(error) if isinstance(error, TypeError) else None,
                hint=f"cast the column to text in {query.file}",
            ) from None
    if not columns:
        return [()] * result.ntuples
    return list(zip(*columns, strict=True))
