"""``fill``: embed the texts of a table's rows, and store the vectors."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, overload

from plainsql.errors import ContractError, OptionError
from plainsql.options import check
from plainsql.vector.embedding_rounds import (
    Embed,
    EmbeddingJob,
    Filled,
    ReadDimension,
    ReadRows,
    Refused,
    RoundFailed,
    Wait,
    column_dimensions,
)

if TYPE_CHECKING:
    from plainsql.executors import AsyncExecutor, SyncExecutor
    from plainsql.query import ManyQuery, Query
    from plainsql.types import SupportsArray

__all__ = ["fill"]

Vectors: TypeAlias = "Sequence[Any] | SupportsArray"
"""One vector for each text: an array of shape ``(texts, dimension)``, or a list of vectors."""
Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]

_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CLAIM: Final = re.compile(r"\bskip\s+locked\b", re.IGNORECASE)


class AsyncDatabase(Protocol):
    """An asynchronous executor that begins transactions: a ``Database``, or a tenant's view of one."""

    def transaction(
        self, *, isolation: Isolation | None = None
    ) -> AbstractAsyncContextManager[AsyncExecutor]: ...


class SyncDatabase(Protocol):
    """A synchronous executor that begins transactions."""

    def transaction(self, *, isolation: Isolation | None = None) -> AbstractContextManager[SyncExecutor]: ...


Progress: TypeAlias = Callable[[Filled], object]


@overload
def fill(
    db: AsyncDatabase,
    list_query: ManyQuery[..., Any, Any],
    set_query: Query[..., Any, Any, Any],
    embed: Callable[[list[str]], Awaitable[Vectors] | Vectors],
    *,
    batch: int = ...,
    workers: int = ...,
    rate: float | None = ...,
    attempts: int = ...,
    backoff: float = ...,
    max_failed: int = ...,
    dimension: int | None = ...,
    key: str | Sequence[str] = ...,
    text: str = ...,
    embedding: str = ...,
    parameters: Mapping[str, Any] | None = ...,
    progress: Progress | bool = ...,
) -> Coroutine[Any, Any, Filled]: ...
@overload
def fill(
    db: SyncDatabase,
    list_query: ManyQuery[..., Any, Any],
    set_query: Query[..., Any, Any, Any],
    embed: Callable[[list[str]], Vectors],
    *,
    batch: int = ...,
    workers: int = ...,
    rate: float | None = ...,
    attempts: int = ...,
    backoff: float = ...,
    max_failed: int = ...,
    dimension: int | None = ...,
    key: str | Sequence[str] = ...,
    text: str = ...,
    embedding: str = ...,
    parameters: Mapping[str, Any] | None = ...,
    progress: Progress | bool = ...,
) -> Filled: ...
def fill(
    db: Any,
    list_query: ManyQuery[..., Any, Any],
    set_query: Query[..., Any, Any, Any],
    embed: Callable[[list[str]], Any],
    *,
    batch: int = 50,
    workers: int = 1,
    rate: float | None = None,
    attempts: int = 5,
    backoff: float = 0.5,
    max_failed: int = 100,
    dimension: int | None = None,
    key: str | Sequence[str] = "id",
    text: str = "text",
    embedding: str = "embedding",
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | bool = False,
) -> Any:
    """Embed the texts that ``list_query`` lists and store each vector with ``set_query``, until none is left.

    A batch is one transaction: it reads rows, embeds their texts and writes the vectors. An error, Ctrl-C or
    a lost connection undoes that batch alone, and the next call goes on with what is left. Any number of
    workers and processes may run it, because the list query ends in ``for no key update … skip locked``.

    Args:
        db: a database, or a tenant's view of one; awaitable if it is asynchronous.
        list_query: returns rows with a key and a text, and takes ``limit``.
        set_query: takes the key and the embedding.
        embed: takes a list of texts and returns a vector for each: an array of shape ``(texts, dimension)``
            or a list. It may be async; otherwise it runs in a thread.
        batch: the number of texts of one call of ``embed``.
        workers: the number of batches at the same time, each on a connection of its own.
        rate: the calls of ``embed`` a second, of all workers together.
        attempts: how often a batch is tried. Then its texts are tried one by one.
        backoff: the longest wait before the second attempt, in seconds; it doubles each time, up to 60.
        max_failed: the number of texts that may fail; with one more, the error of ``embed`` is raised.
        dimension: the expected dimension; by default that of the column, or of the first vector.
        key: the column, or columns, of the list query by which the set query finds a row.
        text: the column of the text.
        embedding: the parameter of the set query for the vector.
        parameters: more parameters of the list query.
        progress: called with the report so far after each batch; True shows a counter on the terminal.

    Raises ``ContractError`` if the queries do not fit together, ``BindError`` if the vectors do not fit.
    """
    check(
        "fill",
        batch=batch,
        workers=workers,
        rate=rate,
        attempts=attempts,
        backoff=backoff,
        max_failed=max_failed,
        dimension=dimension,
        key=key,
        text=text,
        embedding=embedding,
        parameters=parameters,
        progress=progress,
        embed=embed,
    )
    begin = _begin(db)
    if _CLAIM.search(_COMMENT.sub("", list_query.sql)) is None:
        raise ContractError(
            f"fill: {list_query.name} does not keep its rows from other workers",
            hint=f"end {list_query.file} with 'for no key update skip locked'; with a join, "
            "'for no key update of t skip locked'",
        )
    job = EmbeddingJob(
        list_query,
        set_query,
        batch,
        rate,
        attempts,
        backoff,
        max_failed,
        dimension,
        (key,) if isinstance(key, str) else tuple(key),
        text,
        embedding,
        parameters or {},
        None if isinstance(progress, bool) else progress,
    )
    bar: AbstractContextManager[Progress | None] = nullcontext()
    if progress is True:
        from plainsql.vector.progress_bar import counter

        bar = counter(f"{set_query.name}")
    if hasattr(begin(), "__aenter__"):
        return _fill(job, begin, embed, workers, bar)
    if workers != 1 or inspect.iscoroutinefunction(embed):
        option = "embed" if workers == 1 else "workers"
        raise OptionError(
            f"fill(): {option}: expected {'a function that is not async' if workers == 1 else '1'} for a "
            f"synchronous database, got {'an async function' if workers == 1 else workers}",
            hint="use plainsql.connect, or run the program several times",
        )
    return _fill_sync(job, begin, embed, bar)


def _begin(db: Any) -> Callable[[], Any]:
    """Return a function that makes a transaction. A savepoint would not commit a batch."""
    transaction = getattr(db, "transaction", None)
    if transaction is None or "isolation" not in inspect.signature(transaction).parameters:
        raise OptionError(
            f"fill(): db: expected a database, got {type(db).__name__}",
            hint="each batch commits by itself: call it outside of a transaction",
        )
    # A row that was embedded since the statement began is left out in this isolation, and an error in others.
    return lambda: transaction(isolation="read committed")


# -- Asynchronous -------------------------------------------------------------------------------------------


async def _fill(
    job: EmbeddingJob,
    begin: Callable[[], Any],
    embed: Callable[[list[str]], Any],
    workers: int,
    bar: AbstractContextManager[Progress | None],
) -> Filled:
    with bar as shown:
        job.report = shown or job.report
        tasks = [asyncio.create_task(_work(job, begin, embed)) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        except Exception as error:
            _note(job, error)
            raise
        finally:
            # After an error, the others roll back before the caller goes on.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return job.filled()


async def _work(job: EmbeddingJob, begin: Callable[[], Any], embed: Callable[[list[str]], Any]) -> None:
    rounds = job.rounds()
    answer: int | RoundFailed | None = None
    while True:
        try:
            step = rounds.send(answer)
        except StopIteration:
            return
        if isinstance(step, Wait):
            answer = None
            await asyncio.sleep(step.seconds)
            continue
        try:
            async with begin() as tx:
                rows = await _round(job, tx, embed, step.size)
        except RoundFailed as failed:
            answer = failed
        else:
            answer = job.committed(rows)


async def _round(job: EmbeddingJob, tx: AsyncExecutor, embed: Callable[[list[str]], Any], size: int) -> int:
    steps, answer = job.steps(size), None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return int(end.value)
        if isinstance(step, ReadRows):
            answer = await job.list_query(tx, **step.parameters)
        elif isinstance(step, ReadDimension):
            answer = await column_dimensions(tx, tables=step.tables, column=step.column)
        elif isinstance(step, Embed):
            answer = await _call(embed, step.texts)
        else:
            answer = await job.set_query.batch(tx, step.sets)


async def _call(embed: Callable[[list[str]], Any], texts: list[str]) -> Any:
    is_async = inspect.iscoroutinefunction(embed)
    # A model computes for long, and a client of a service waits: neither may hold up the event loop.
    answer = embed(texts) if is_async else await asyncio.to_thread(_embedded, embed, texts)
    if not inspect.isawaitable(answer):
        return answer
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - of any model or service
        return Refused(error)


def _embedded(embed: Callable[[list[str]], Any], texts: list[str]) -> Any:
    """Return what the function returns, or ``Refused``."""
    try:
        return embed(texts)
    except Exception as error:  # noqa: BLE001 - of any model or service
        return Refused(error)


# -- Synchronous ------------------------------------------------------------------------------------------


def _fill_sync(
    job: EmbeddingJob,
    begin: Callable[[], Any],
    embed: Callable[[list[str]], Any],
    bar: AbstractContextManager[Progress | None],
) -> Filled:
    with bar as shown:
        job.report = shown or job.report
        try:
            _work_sync(job, begin, embed)
        except Exception as error:
            _note(job, error)
            raise
    return job.filled()


def _work_sync(job: EmbeddingJob, begin: Callable[[], Any], embed: Callable[[list[str]], Any]) -> None:
    rounds = job.rounds()
    answer: int | RoundFailed | None = None
    while True:
        try:
            step = rounds.send(answer)
        except StopIteration:
            return
        if isinstance(step, Wait):
            answer = None
            time.sleep(step.seconds)
            continue
        try:
            with begin() as tx:
                rows = _round_sync(job, tx, embed, step.size)
        except RoundFailed as failed:
            answer = failed
        else:
            answer = job.committed(rows)


def _round_sync(job: EmbeddingJob, tx: SyncExecutor, embed: Callable[[list[str]], Any], size: int) -> int:
    steps, answer = job.steps(size), None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return int(end.value)
        if isinstance(step, ReadRows):
            answer = job.list_query(tx, **step.parameters)
        elif isinstance(step, ReadDimension):
            answer = column_dimensions(tx, tables=step.tables, column=step.column)
        elif isinstance(step, Embed):
            answer = _embedded(embed, step.texts)
        else:
            answer = job.set_query.batch(tx, step.sets)


def _note(job: EmbeddingJob, error: Exception) -> None:
    """Say in a note how far the job came: the error is that of a server, or of the embedding function."""
    error.add_note(f"fill: {job.done} embeddings are stored; the next call goes on with what is left")
