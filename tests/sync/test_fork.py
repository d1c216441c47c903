"""A forked process is refused the parent's connection, and leaves it as it is."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

import plainsql
from plainsql.sync import Database
from tests.database.ask import SELECT_1, many, one

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python 3.12 and later warn about forks in a process with threads; the children here use no threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

ECHO = one("select :n::int", "n")
TRANSACTION = one("select pg_current_xact_id()::text")
SERIES = many("select n from generate_series(1, 100) as n")


def in_a_child(work: Callable[[], object]) -> int:
    """Run work in a fork, which ends as programs do, and return its exit code: 0 if it was refused."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
        except plainsql.PlainsqlError as error:
            code = 0 if "before this process was forked" in str(error) else 2
        except BaseException:  # noqa: BLE001
            code = 3
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_is_refused_and_the_parent_is_unharmed(sync_db: Database) -> None:
    assert ECHO(sync_db, n=1) == 1
    for use in (
        lambda: ECHO(sync_db, n=2),
        lambda: list(SERIES.stream(sync_db)),
        lambda: sync_db.connection,
        lambda: sync_db.tenant("a").run(ECHO.compiled, (1,)),
        lambda: sync_db.transaction().__enter__(),
    ):
        assert in_a_child(use) == 0
        assert [ECHO(sync_db, n=n) for n in range(20)] == list(range(20))


def test_open_transactions_and_streams_are_refused_too(sync_db: Database) -> None:
    with sync_db.transaction() as tx, tx.transaction() as inner:
        rows = SERIES.stream(inner)
        assert next(rows) == 1
        assert in_a_child(lambda: ECHO(inner, n=1)) == 0
        assert in_a_child(lambda: ECHO(tx, n=1)) == 0

        def leave() -> None:
            with inner.transaction():
                ECHO(inner, n=1)

        assert in_a_child(leave) == 0
        assert list(rows) == list(range(2, 101))
        assert ECHO(inner, n=1) == 1


def test_a_child_that_leaves_the_blocks_says_nothing_to_the_server(database_url: str) -> None:
    def leaves() -> int:
        with plainsql.sync.connect(database_url) as db, db.transaction() as tx:
            transaction = TRANSACTION(tx)
            pid = os.fork()
            if pid:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                assert TRANSACTION(tx) == transaction, "the child has ended it"
                return code
        return -1

    parent = os.getpid()
    try:
        code = leaves()
    except plainsql.PlainsqlError:
        if os.getpid() != parent:
            os._exit(0)
        raise
    finally:
        if os.getpid() != parent:
            os._exit(9)
    assert code == 0


def _ask(db: Database, answers: Any) -> None:
    try:
        answers.send(repr(SELECT_1(db)))
    except plainsql.PlainsqlError as error:
        answers.send(str(error))


def test_multiprocessing_forks_too(sync_db: Database) -> None:
    context = multiprocessing.get_context("fork")
    receives, sends = context.Pipe(duplex=False)
    child = context.Process(target=_ask, args=(sync_db, sends))
    child.start()
    assert receives.poll(60)
    assert "before this process was forked" in receives.recv()
    child.join(60)
    assert child.exitcode == 0
    receives.close()
    sends.close()
    assert SELECT_1(sync_db) == 1
