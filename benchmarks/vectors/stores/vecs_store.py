"""vecs, which is synchronous: its own client, on psycopg2."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import vecs
from vecs import IndexArgsHNSW, IndexMeasure, IndexMethod

from benchmarks.vectors.stores.store import (
    DIMENSIONS,
    EF_CONSTRUCTION,
    LIMIT,
    Filter,
    M,
    Rows,
    Server,
    Store,
)

__all__ = ["Vecs"]

_THREADS = 5
"""The connections that its client keeps: there is no setting for their number."""


class Vecs(Store):
    title = "vecs"
    distribution = "vecs"
    table = "vecs.texts"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._client = vecs.create_client(server.url())
        self._threads = ThreadPoolExecutor(_THREADS)
        self._collection: Any = None
        self._ef = 0

    async def create(self) -> None:
        # It makes a GIN index of the metadata as well, which a filter by equality uses.
        self._collection = self._client.get_or_create_collection(name="texts", dimension=DIMENSIONS)

    def prepare(self, rows: Rows) -> Any:
        every = zip(rows.texts, rows.section.tolist(), rows.shelf.tolist(), rows.embeddings, strict=True)
        return [
            (str(number), embedding, {"text": text, "section": section, "shelf": shelf})
            for number, (text, section, shelf, embedding) in enumerate(every, rows.first)
        ]

    async def add(self, prepared: Any) -> None:
        self._collection.upsert(records=prepared, skip_adapter=True)

    async def index(self) -> None:
        self._collection.create_index(
            method=IndexMethod.hnsw,
            measure=IndexMeasure.cosine_distance,
            index_arguments=IndexArgsHNSW(m=M, ef_construction=EF_CONSTRUCTION),
        )

    async def ready(self, ef_search: int) -> None:
        self._ef = ef_search

    def question(self, embedding: Any) -> Any:
        return embedding

    def _query(self, question: Any, filtered: Filter) -> Any:
        return self._collection.query(
            data=question,
            limit=LIMIT,
            filters={filtered[0]: {"$eq": filtered[1]}} if filtered else None,
            measure=IndexMeasure.cosine_distance,
            include_value=True,
            include_metadata=True,
            ef_search=self._ef,
            skip_adapter=True,
        )

    async def search(self, question: Any, filtered: Filter) -> Any:
        return self._query(question, filtered)

    async def search_all(self, questions: Sequence[Any], filtered: Sequence[Filter]) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        calls = zip(questions, filtered, strict=True)
        return await asyncio.gather(
            *(loop.run_in_executor(self._threads, self._query, *call) for call in calls)
        )

    def ids(self, answer: Any) -> list[int]:
        return [int(record[0]) for record in answer]

    async def close(self) -> None:
        self._threads.shutdown()
        self._client.disconnect()
