"""plainsql: a generated query, and COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plainsql
from benchmarks.queries import texts
from benchmarks.vectors.stores.store import EF_CONSTRUCTION, POOL_SIZE, Filter, M, Rows, Server, Store

__all__ = ["Plainsql"]

_COLUMNS = ("id", "body", "section", "shelf", "embedding")


class Plainsql(Store):
    title = "plainsql"
    distribution = "plainsql"
    table = "bench.texts"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._db: Any = None
        self._ef = 0

    async def create(self) -> None:
        self._db = await plainsql.connect(self.server.url(), min_size=POOL_SIZE, max_size=POOL_SIZE)

    def prepare(self, rows: Rows) -> Any:
        numbers = range(rows.first, rows.first + len(rows.texts))
        values = (rows.section.tolist(), rows.shelf.tolist(), rows.embeddings)
        return list(zip(numbers, rows.texts, *values, strict=True))

    async def add(self, prepared: Any) -> None:
        await self._db.copy_in(self.table, prepared, columns=_COLUMNS)

    async def index(self) -> None:
        await self._db.sql(
            "create index texts_embedding_idx on bench.texts using hnsw (embedding public.vector_cosine_ops)"
            f" with (m = {M}, ef_construction = {EF_CONSTRUCTION})"
        )

    async def ready(self, ef_search: int) -> None:
        self._ef = ef_search

    def question(self, embedding: Any) -> Any:
        return embedding

    async def search(self, question: Any, filtered: Filter) -> Any:
        if filtered:
            arguments: Any = dict([filtered])
            return await texts.nearest_of_few(self._db, embedding=question, **arguments)
        return await self.search_planned(question, filtered)

    async def search_planned(self, question: Any, filtered: Filter) -> Any:
        return await texts.nearest(self._db, **self._arguments(question, filtered))

    async def search_batch(self, questions: Sequence[Any], filtered: Sequence[Filter]) -> Sequence[Any]:
        found: Sequence[Any] = await texts.nearest.batch(
            self._db, [*map(self._arguments, questions, filtered)]
        )
        return found

    def _arguments(self, question: Any, filtered: Filter) -> Any:
        return {"embedding": question, "ef": self._ef} | dict([filtered] if filtered else [])

    def ids(self, answer: Any) -> list[int]:
        return [row.id for row in answer]

    async def close(self) -> None:
        if self._db is not None:
            await self._db.close()
