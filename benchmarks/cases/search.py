"""The ten passages nearest to a vector, with a filter, by some concurrent tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["Search", "SearchBurst"]

_COMPARED = 60
_LIMIT = 10
_RECALL = 0.8


class Search(Case):
    unit = "calls"

    def __init__(self, tasks: int) -> None:
        self.name = f"search/{tasks}"
        self.title = f"vector search, {tasks} task{'s' if tasks > 1 else ''}"
        self.tasks = tasks
        self._answers = _Answers()

    async def check(self, contender: Contender, admin: Admin) -> str | None:
        searches = [(*data.search(number), _LIMIT) for number in range(_COMPARED)]
        found = await asyncio.gather(*(contender.search(*search) for search in searches))
        return _compare(found, await self._answers.get(searches, admin))

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        numbers = data.random_ids(units, data.SEARCHES, seed)
        return Work(contender.search, [(*data.search(number), _LIMIT) for number in numbers], units)


class SearchBurst(Case):
    """Sixty searches that begin together; `plainsql-one-by-one` makes one after another."""

    unit = "searches"
    name = f"search-burst/{_COMPARED}"
    title = f"{_COMPARED} vector searches at once"
    at_once = True
    least = _COMPARED

    def __init__(self) -> None:
        self._answers = _Answers()

    async def check(self, contender: Contender, admin: Admin) -> str | None:
        searches = [(*data.search(number), _LIMIT) for number in range(_COMPARED)]
        found = await contender.search_all(searches)
        return _compare(found, await self._answers.get(searches, admin))

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        bursts = max(1, units // _COMPARED)
        numbers = data.random_ids(bursts * _COMPARED, data.SEARCHES, seed)
        searches = [(*data.search(number), _LIMIT) for number in numbers]
        calls = [(searches[start : start + _COMPARED],) for start in range(0, len(searches), _COMPARED)]
        return Work(contender.search_all, calls, len(searches))


class _Answers:
    """The rows of single searches, and the exact ones: read once, and compared with each contender's."""

    def __init__(self) -> None:
        self._known: list[tuple[list[int], list[int]]] = []

    async def get(
        self, searches: Sequence[tuple[Any, ...]], admin: Admin
    ) -> list[tuple[list[int], list[int]]]:
        if not self._known:
            alone, exact = [
                [await self._search(search, indexes, admin) for search in searches]
                for indexes in ("on", "off")
            ]
            self._known = list(zip(alone, exact, strict=True))
        return self._known

    async def _search(self, search: tuple[Any, ...], indexes: str, admin: Admin) -> list[int]:
        embedding, below, limit = search
        async with admin.transaction():
            await admin.execute(f"set local enable_indexscan = {indexes}")
            await admin.execute("set local hnsw.iterative_scan = strict_order")
            rows = await admin.fetch(data.SEARCH, data.vector_text(embedding), below, limit)
        return [row["id"] for row in rows]


def _compare(found: Sequence[Any], answers: list[tuple[list[int], list[int]]]) -> str:
    """Compare the rows and their order with those of single searches, and those with the exact answer."""
    hits = wanted = 0
    for rows, (alone, exact) in zip(found, answers, strict=True):
        ids = [data.values(row, ("id", "distance"))[0] for row in rows]
        expect(ids, alone, "the rows of a single search")
        hits, wanted = hits + len({*alone} & {*exact}), wanted + len(exact)
    recall = hits / wanted
    expect(recall >= _RECALL, True, f"a recall of {_RECALL}")
    return f"recall {recall:.2f}, the rows of single searches"
