"""Transactions of the synchronous side that are retried after a collision."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.sync import Database, Pool, Transaction
from tests.database.ask import count, one

ADD = count("update shop.leads set score = score + 1")
SCORE = one("select score from shop.leads")


@pytest.fixture(params=["connect", "Pool"])
def scores_db(
    request: pytest.FixtureRequest, shop_url: str, connection: psycopg.Connection[Any]
) -> Generator[Database | Pool]:
    """One lead with the score 0, on each kind of database."""
    connection.execute("insert into shop.leads (name) values ('ana')")
    with getattr(plainsql.sync, request.param)(shop_url) as db:
        yield db
    connection.execute("delete from shop.leads")


def test_a_collision_is_tried_again(scores_db: Database | Pool, connection: psycopg.Connection[Any]) -> None:
    seen: list[tuple[int, str | None]] = []

    def work(tx: Transaction) -> int:
        score: int = SCORE(tx)
        if len(seen) < 2:
            connection.execute("update shop.leads set score = score + 10")
        ADD(tx)
        return score

    def on_retry(attempt: int, error: BaseException) -> None:
        assert isinstance(error, psycopg.Error)
        seen.append((attempt, error.sqlstate))

    assert scores_db.retry(work, on_retry=on_retry) == 20
    assert seen == [(1, "40001"), (2, "40001")]
    assert SCORE(scores_db) == 21


def test_the_last_error_says_how_often_it_was_tried(
    scores_db: Database | Pool, connection: psycopg.Connection[Any]
) -> None:
    def work(tx: Transaction) -> None:
        SCORE(tx)
        connection.execute("update shop.leads set score = score + 1")
        ADD(tx)

    with pytest.raises(psycopg.errors.SerializationFailure) as raised:
        scores_db.retry(work, attempts=2)
    assert "after 2 attempts" in raised.value.__notes__
    assert SCORE(scores_db) == 2


def test_another_error_is_raised_the_first_time(scores_db: Database | Pool) -> None:
    calls: list[int] = []

    def work(tx: Transaction) -> None:
        calls.append(1)
        ADD(tx)
        one("select 1 / 0")(tx)

    with pytest.raises(psycopg.errors.DivisionByZero):
        scores_db.retry(work)
    assert calls == [1]
    assert SCORE(scores_db) == 0


def test_a_statement_that_became_invalid_is_prepared_again(
    scores_db: Database | Pool, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("create table if not exists shop.shape (n int)")
    shape = one("select n from shop.shape union all select 1 limit 1")

    def work(tx: Transaction) -> Any:
        return shape(tx)

    assert scores_db.retry(work) == 1
    connection.execute("alter table shop.shape alter n type bigint")
    assert scores_db.retry(work) == 1
    connection.execute("drop table shop.shape")
