"""The fakes of both kinds of executor."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, Self, TypeVar

from plainsql.fakes.answers import Fake, Operation
from plainsql.fakes.given_parameters import given, given_sets
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery

__all__ = ["FakeExecutor", "FakeSyncExecutor"]

R = TypeVar("R")

Isolation = Literal["read committed", "repeatable read", "serializable"]


class FakeExecutor(Fake):
    """An executor that is awaited, with answers in place of a database.

    It is a tenant's view and a transaction of itself, and shares answers and calls with them. A transaction
    undoes nothing: an error that leaves its block passes on.
    """

    def run(self, query: CompiledQuery[Any, Any], args: Args, /) -> Coroutine[Any, Any, Any]:
        """Answer a call; call the query instead."""
        return self._run(query, args, given(query, args))

    async def _run(self, query: CompiledQuery[Any, Any], args: Args, parameters: Mapping[str, Any]) -> Any:
        return self._called(query, args, parameters)

    def stream(self, query: CompiledQuery[Any, Any], args: Args, /) -> AsyncIterator[Any]:
        """Yield the rows of an answer; call ``query.stream`` instead."""
        return self._stream(query, given(query, args))

    async def _stream(
        self, query: CompiledQuery[Any, Any], parameters: Mapping[str, Any]
    ) -> AsyncIterator[Any]:
        for row in self._rows(query, parameters):
            yield row

    def batch(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, list[Any]]:
        """Answer a call for each set of parameters; call ``query.batch`` instead."""
        return self._each(query, given_sets(query, sets), "batch")

    async def _each(
        self, query: CompiledQuery[Any, Any], sets: list[Mapping[str, Any]], operation: Operation
    ) -> list[Any]:
        return self._all(query, sets, operation)

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, None]:
        """Answer a call for each set of parameters; call ``query.execute_many`` instead."""
        return self._drop(self._each(query, given_sets(query, sets), "execute_many"))

    async def _drop(self, answers: Coroutine[Any, Any, object]) -> None:
        await answers

    async def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any] | AsyncIterable[Any],
        progress: Callable[[int], object] | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Answer a copy; call the query instead."""
        taken = [row async for row in rows] if isinstance(rows, AsyncIterable) else list(rows)
        return self._copied(query, taken, progress)

    def tenant(self, tenant_id: object, *, user_id: object = None) -> Self:
        """Return the fake as a tenant's view of the database: ``history`` has the tenant of each call."""
        return self._tenant(tenant_id, user_id)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, deferrable: bool = False
    ) -> AsyncIterator[Self]:
        """Enter a transaction: ``history`` says of each call whether it was in one."""
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        yield self._view(in_transaction=True)

    async def retry(
        self,
        work: Callable[[Self], Awaitable[R]],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` once, in a transaction."""
        check("retry", work=work, attempts=attempts, isolation=isolation, on_retry=on_retry)
        async with self.transaction(isolation=isolation) as transaction:
            return await work(transaction)


class FakeSyncExecutor(Fake):
    """``FakeExecutor`` for code that runs on ``plainsql.sync``."""

    def run(self, query: CompiledQuery[Any, Any], args: Args, /) -> Any:
        """Answer a call; call the query instead."""
        return self._called(query, args, given(query, args))

    def stream(self, query: CompiledQuery[Any, Any], args: Args, /) -> Iterator[Any]:
        """Yield the rows of an answer; call ``query.stream`` instead."""
        return self._stream(query, given(query, args))

    def _stream(self, query: CompiledQuery[Any, Any], parameters: Mapping[str, Any]) -> Iterator[Any]:
        yield from self._rows(query, parameters)

    def batch(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> list[Any]:
        """Answer a call for each set of parameters; call ``query.batch`` instead."""
        return self._all(query, given_sets(query, sets), "batch")

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None:
        """Answer a call for each set of parameters; call ``query.execute_many`` instead."""
        self._all(query, given_sets(query, sets), "execute_many")

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Callable[[int], object] | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Answer a copy; call the query instead."""
        return self._copied(query, list(rows), progress)

    def tenant(self, tenant_id: object, *, user_id: object = None) -> Self:
        """Return the fake as a tenant's view of the database: ``history`` has the tenant of each call."""
        return self._tenant(tenant_id, user_id)

    @contextmanager
    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False, deferrable: bool = False
    ) -> Iterator[Self]:
        """Enter a transaction: ``history`` says of each call whether it was in one."""
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        yield self._view(in_transaction=True)

    def retry(
        self,
        work: Callable[[Self], R],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` once, in a transaction."""
        check("retry", work=work, attempts=attempts, isolation=isolation, on_retry=on_retry)
        with self.transaction(isolation=isolation) as transaction:
            return work(transaction)
