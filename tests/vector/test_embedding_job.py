"""``fill`` embeds each row once, whatever fails meanwhile, and says what it has done."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from typing import Any

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.dependencies import Change
from plainsql.errors import BindError, ContractError, OptionError
from plainsql.query import Args, count, many
from plainsql.rows import Row
from plainsql.vector import Vector, fill
from plainsql.vector.embedding_rounds import EmbeddingJob, Round, RoundFailed, Wait

SELECT = "select p.id, p.body as text from passage as p where p.embedding is null order by p.id limit :limit"
CLAIM = f"{SELECT}\nfor no key update skip locked"
SET = "update passage as p set embedding = :embedding where p.id = :id"


class Passage(Row, frozen=True):
    id: int
    text: str


@many[Passage, Any]("t.waiting", "sql/t/waiting.sql", 1, CLAIM, session_clean=True)
def waiting(*, limit: int = 10) -> Args:
    if limit > 200:
        raise BindError("limit: expected 1 to 200")
    return (limit,)


@many[Passage, Any]("t.listed", "sql/t/listed.sql", 1, f"-- skip locked\n{SELECT}", read_only=True)
def listed(*, limit: int) -> Args:
    return (limit,)


@many[Passage, Any](
    "t.all_of_them", "sql/t/all.sql", 1, CLAIM.replace("p.embedding is null", "true"), session_clean=True
)
def all_of_them(*, limit: int) -> Args:
    return (limit,)


@count[Any]("t.store", "sql/t/store.sql", 1, SET, session_clean=True, changes=(Change("public.passage"),))
def store(*, embedding: Vector, id: int) -> Args:
    return (embedding, id)


@count[Any]("t.store_blindly", "sql/t/store.sql", 1, SET, session_clean=True)
def store_blindly(*, embedding: Vector, id: int) -> Args:
    return (embedding, id)


@count[Any]("t.store_nothing", "sql/t/store.sql", 1, f"{SET} and false", session_clean=True)
def store_nothing(*, embedding: Vector, id: int) -> Args:
    return (embedding, id)


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), float(text.split()[1]), 1.0] for text in texts]


@pytest.fixture(scope="module")
def passages_url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "create extension if not exists vector;"
            "create table passage (id int primary key, body text not null, embedding vector(3))"
        )
    return database_url


@pytest.fixture
def passages(passages_url: str) -> Callable[[str], Any]:
    """Twenty passages without an embedding; return what a statement selects."""
    connection = psycopg.connect(passages_url, autocommit=True)
    connection.execute("truncate passage")
    connection.execute("insert into passage select n, 'passage ' || n from generate_series(1, 20) as n")

    def select(text: str) -> Any:
        with psycopg.connect(passages_url, autocommit=True) as other:
            return other.execute(text.encode()).fetchone()[0]  # type: ignore[index]

    connection.close()
    return select


@pytest.fixture
async def passages_db(passages: Callable[[str], Any], passages_url: str) -> AsyncGenerator[plainsql.Database]:
    async with plainsql.connect(passages_url, max_size=6) as db:
        yield db


EMBEDDED = "select count(*) from passage where embedding is not null"


async def test_every_row_is_embedded_with_its_own_text(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    seen: list[int] = []
    done = await fill(
        passages_db, waiting, store, embed, batch=8, progress=lambda filled: seen.append(filled.done)
    )
    assert (done.done, done.failed, seen) == (20, 0, [8, 16, 20])
    assert passages(
        "select bool_and(embedding = ('[' || length(body) || ',' || id || ',1]')::vector) from passage"
    )
    again = await fill(passages_db, waiting, store, embed)
    assert again.done == 0


def test_a_synchronous_database_is_filled_as_well(passages: Callable[[str], Any], passages_url: str) -> None:
    refused = {"passage 7"}

    def but_one(texts: list[str]) -> list[list[float]]:
        if refused.intersection(texts):
            raise ValueError("a secret")
        return embed(texts)

    with plainsql.sync.connect(passages_url) as db:
        done = fill(db, waiting, store, but_one, batch=8, attempts=2, backoff=0)
        assert (done.done, [failure.key for failure in done.failures]) == (19, [7])
        assert "secret" not in repr(done.failures)
        assert fill(db, waiting, store, embed).done == 1
        with pytest.raises(OptionError, match="not async"):
            fill(db, waiting, store, lonely)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="workers"):
            fill(db, waiting, store, embed, workers=2)
    assert passages(EMBEDDED) == 20


async def lonely(texts: list[str]) -> list[list[float]]:
    return embed(texts)


async def test_workers_at_the_same_time_take_different_rows(
    passages: Callable[[str], Any], passages_db: plainsql.Database, passages_url: str
) -> None:
    met, taken = asyncio.Barrier(4), list[str]()

    async def together(texts: list[str]) -> list[list[float]]:
        taken.extend(texts)
        await met.wait()  # all four hold their rows now, or this test ends by its timeout
        return embed(texts)

    async with plainsql.connect(passages_url) as other:
        filled = await asyncio.gather(
            fill(passages_db, waiting, store, together, batch=5, workers=2),
            fill(other, waiting, store, together, batch=5, workers=2),
        )
    assert sum(each.done for each in filled) == 20
    assert sorted(taken) == sorted(f"passage {n}" for n in range(1, 21))
    assert passages(EMBEDDED) == 20


async def test_a_cancelled_job_keeps_whole_batches_and_frees_its_rows(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    begun, calls = asyncio.Event(), 0

    async def second_hangs(texts: list[str]) -> list[list[float]]:
        nonlocal calls
        calls += 1
        if calls == 2:
            begun.set()
            await asyncio.Event().wait()
        return embed(texts)

    job = asyncio.create_task(fill(passages_db, waiting, store, second_hangs, batch=8))
    await begun.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert passages(EMBEDDED) == 8
    assert (await fill(passages_db, waiting, store, embed)).done == 12


async def test_no_row_is_held_while_a_failed_batch_waits(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    free = f"select count(*) from ({CLAIM.replace(':limit', '100')}) as f"
    seen: list[int] = []

    async def fails_first(texts: list[str]) -> list[list[float]]:
        seen.append(passages(free))
        if len(seen) == 1:
            raise ConnectionError
        return embed(texts)

    await fill(
        passages_db,
        waiting,
        store,
        fails_first,
        batch=15,
        backoff=0,
        progress=lambda filled: seen.append(passages(free)),
    )
    # In the first attempt, after it, in the second attempt, after it, with the last rows, after them.
    assert seen == [5, 20, 5, 5, 0, 0]


async def test_too_many_failures_raise_the_error_of_the_model(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    def down(texts: list[str]) -> list[list[float]]:
        if "passage 1" in texts or "passage 20" not in texts:
            raise ConnectionError("the service is down")
        return embed(texts)

    with pytest.raises(ConnectionError) as raised:
        await fill(passages_db, waiting, store, down, batch=5, attempts=1, max_failed=2)
    assert raised.value.__notes__ == [
        "fill: 3 texts could not be embedded, max_failed=2",
        "fill: 0 embeddings are stored; the next call goes on with what is left",
    ]
    assert passages(EMBEDDED) == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: [[1.0, 2.0]] * len(texts), "expected vectors of 3 dimensions, got 2"),
        (lambda texts: embed(texts)[1:], "expected 20 vectors, one for each text, got 19"),
        (lambda texts: None, "expected 20 vectors, one for each text, got NoneType"),
        (lambda texts: [None] * len(texts), "expected a vector for each text, got NoneType"),
        (lambda texts: [*embed(texts)[1:], [1.0]], "expected vectors of 3 dimensions, got 1"),
    ],
)
async def test_vectors_that_do_not_fit_are_refused_before_a_write(
    passages: Callable[[str], Any], passages_db: plainsql.Database, answer: Any, message: str
) -> None:
    with pytest.raises(BindError) as raised:
        await fill(passages_db, waiting, store, answer)
    assert raised.value.message == f"fill: embed: {message}"
    assert passages(EMBEDDED) == 0


async def test_the_server_refuses_a_dimension_that_only_it_knows(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    with pytest.raises(Exception, match="expected 3 dimensions, not 2") as raised:
        await fill(passages_db, waiting, store_blindly, lambda texts: [[1.0, 2.0]] * len(texts))
    assert any(note.startswith("fill: 0 embeddings are stored") for note in raised.value.__notes__)
    with pytest.raises(BindError, match="expected vectors of 2 dimensions, got 3"):
        await fill(passages_db, waiting, store_blindly, embed, dimension=2)
    assert passages(EMBEDDED) == 0


async def test_a_vector_with_nan_is_the_failure_of_its_text(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    def one_nan(texts: list[str]) -> list[Any]:
        return [Vector([math.nan, 1, 1]) if text == "passage 3" else Vector([1, 1, 1]) for text in texts]

    done = await fill(passages_db, waiting, store, one_nan, attempts=1)
    assert (done.done, [failure.key for failure in done.failures]) == (19, [3])


async def test_queries_that_do_not_fit_are_refused(
    passages: Callable[[str], Any], passages_db: plainsql.Database
) -> None:
    with pytest.raises(ContractError, match=r"t\.listed does not keep its rows from other workers"):
        await fill(passages_db, listed, store, embed)
    with pytest.raises(ContractError, match=r"t\.all_of_them still lists a row after t\.store"):
        await fill(passages_db, all_of_them, store, embed)
    with pytest.raises(ContractError, match=r"t\.store_nothing changed no row"):
        await fill(passages_db, waiting, store_nothing, embed)
    with pytest.raises(BindError, match="reads up to 250 rows at a time"):
        await fill(passages_db, waiting, store, embed, batch=150)
    with pytest.raises(BindError, match="no column 'content'"):
        await fill(passages_db, waiting, store, embed, text="content")
    async with passages_db.transaction() as tx:
        with pytest.raises(OptionError, match="expected a database, got Transaction"):
            await fill(tx, waiting, store, embed)  # type: ignore[call-overload]
    assert passages(EMBEDDED) == 0


def job(**options: Any) -> EmbeddingJob:
    given: dict[str, Any] = {"rate": None, "attempts": 3, "backoff": 1.0, "max_failed": 10, "batch": 4}
    given |= {"key": ("id",), "text": "text", "embedding": "embedding", "parameters": {}, "report": None}
    given |= {"dimension": None, **options}
    return EmbeddingJob(waiting, store, **given)


def test_calls_are_spaced_by_the_rate_of_all_workers() -> None:
    limited = job(rate=0.01)
    first, second = limited.rounds(), limited.rounds()
    assert next(first) == Round(4)
    waits = [next(second), first.send(4)]
    assert all(isinstance(wait, Wait) for wait in waits)
    assert [round(wait[0] / 100) for wait in waits] == [1, 2]


def test_a_batch_is_retried_with_growing_waits_and_then_one_by_one() -> None:
    rounds = job().rounds()
    failed = RoundFailed([1, 2], ConnectionError())
    steps: list[Any] = [next(rounds)]
    for _ in range(2):
        steps += [rounds.send(failed), next(rounds)]
    assert [type(step) for step in steps] == [Round, Wait, Round, Wait, Round]
    assert 0 <= steps[1].seconds <= 2
    assert 0 <= steps[3].seconds <= 4
    assert rounds.send(failed) == Round(1)
    assert rounds.send(RoundFailed([1], ConnectionError())) == Round(1)
    assert rounds.send(1) == Round(4)
    with pytest.raises(StopIteration):
        rounds.send(0)
