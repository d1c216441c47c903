"""A pipeline: calls of different queries that are sent in one round trip, all done or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from plainsql.errors import TransactionError
from plainsql.query import Args, CompiledQuery, Query

__all__ = ["Pipeline", "PipelineResult"]

P = ParamSpec("P")
R = TypeVar("R")


class PipelineResult(Generic[R]):
    """The result of a call in a pipeline, once the pipeline was sent."""

    __slots__ = ("_name", "_result", "_state")

    def __init__(self, name: str) -> None:
        self._name = name
        self._state = "its block has not ended"
        self._result: R | None = None

    def result(self) -> R:
        """Return the result of the call.

        Raises ``TransactionError`` inside of the pipeline's block, and if the pipeline has failed.
        """
        if self._state:
            raise TransactionError(
                f"{self._name}: the pipeline has no result: {self._state}",
                hint="read results after the 'async with' block, which sends the pipeline",
            )
        return cast("R", self._result)


class Pipeline:
    """Calls that wait for the end of their block, where all are sent. They are done in order, all or none."""

    __slots__ = ("_calls", "_is_open", "_results")

    def __init__(self) -> None:
        self._is_open = True
        self._calls: list[tuple[CompiledQuery[Any, Any], Args]] = []
        self._results: list[PipelineResult[Any]] = []

    def add(self, query: Query[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> PipelineResult[R]:
        """Add a call of a query, with its parameters. Return the place of its result.

        Raises ``BindError`` for parameters that are missing, unknown or out of bounds.
        """
        if not self._is_open:
            raise TransactionError(
                "the pipeline has ended", hint="add calls inside of its 'async with' block"
            )
        return cast("PipelineResult[R]", cast("Any", query)(_Binder(self), *args, **kwargs))

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self._calls)} calls, {'open' if self._is_open else 'ended'}>"

    def _add(self, query: CompiledQuery[Any, Any], args: Args) -> PipelineResult[Any]:
        self._calls.append((query, args))
        place: PipelineResult[Any] = PipelineResult(query.name)
        self._results.append(place)
        return place

    def _end(self, state: str) -> None:
        self._is_open = False
        for place in self._results:
            place._state = state

    async def _send(
        self, run: Callable[[list[tuple[CompiledQuery[Any, Any], Args]]], Awaitable[list[Any]]]
    ) -> None:
        self._end("it has failed")
        if self._calls:
            for place, result in zip(self._results, await run(self._calls), strict=True):
                place._result, place._state = result, ""


class _Binder:
    """The executor for which a query's function puts the parameters in order."""

    __slots__ = ("run",)

    def __init__(self, pipeline: Pipeline) -> None:
        self.run = pipeline._add
