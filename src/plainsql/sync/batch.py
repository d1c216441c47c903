"""Runs one query for many sets of parameters, in pipelines: the server does not wait for the client.

A transaction is open, so that all sets are done or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, TypeVar

import psycopg
from psycopg import pq

from plainsql.errors import BindError
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.query.parameter_sets import error_of_set
from plainsql.sync.connection import Prepared, SharedConnection
from plainsql.sync.execution import add_server_note, build_result, described_as, dump, prepare
from plainsql.sync.statement_settings import locally
from plainsql.sync.wire import check_result

__all__ = ["execute_many", "run_batch"]

R = TypeVar("R")

_Call = tuple[QueryText, Prepared, list[bytes | None]]

_PIPELINE_SETS: Final = 1000
"""Sets in one pipeline: the results of a pipeline are in memory together."""


def run_batch(shared: SharedConnection, query: CompiledQuery[Any, R], sets: Sequence[Args]) -> list[R]:
    """Run a query for each set of arguments and return the results in the order of the sets."""
    with shared.lock:
        return [build_result(shared, query, *done) for done in _run(shared, query, sets)]


def execute_many(shared: SharedConnection, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
    """Run a query for each set of arguments and drop the results."""
    with shared.lock:
        for _ in _run(shared, query, sets):
            pass


def _run(
    shared: SharedConnection, query: CompiledQuery[Any, Any], sets: Sequence[Args]
) -> Iterator[tuple[QueryText, Prepared, pq.abc.PGresult]]:
    """Yield the result of each set. All arguments are dumped before the first statement is sent."""
    calls = [_call(shared, query, number, args) for number, args in enumerate(sets, 1)]
    for piece in _pieces(calls):
        with locally(shared, query, piece[0][0].settings):
            results = shared.run_pipeline([(prepared, data) for _, prepared, data in piece])
            done = [
                (text, _checked(shared, query, text, prepared, result), result)
                for (text, prepared, _), result in zip(piece, results, strict=True)
            ]
        yield from done


def _pieces(calls: list[_Call]) -> Iterator[list[_Call]]:
    """Divide calls into those of each pipeline, which have the same settings."""
    for _, alike in groupby(calls, key=lambda call: call[0].settings):
        same = [*alike]
        for at in range(0, len(same), _PIPELINE_SETS):
            yield same[at : at + _PIPELINE_SETS]


def _checked(
    shared: SharedConnection,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    prepared: Prepared,
    result: pq.abc.PGresult,
) -> Prepared:
    """Return the statement that describes a result. Raises the server's error."""
    try:
        check_result(result)
        # Behind a pooler the text was sent again, and described some time ago.
        return prepared if prepared.name else described_as(result, shared, query, text, prepared)
    except psycopg.Error as error:
        shared.forget(text.sql)
        add_server_note(error, query, text)
        raise


def _call(shared: SharedConnection, query: CompiledQuery[Any, Any], number: int, args: Args) -> _Call:
    text, values = query.text(args)
    try:
        prepared = prepare(shared, query, text)
        return text, prepared, dump(query, text, prepared, values)
    except BindError as error:
        raise error_of_set(query.name, number, error) from None
    except psycopg.Error as error:
        add_server_note(error, query, text)
        raise
