"""LlamaIndex's PGVectorStore: its asynchronous methods, on asyncpg."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore

from benchmarks.vectors.stores.store import (
    DIMENSIONS,
    EF_CONSTRUCTION,
    FILTERS,
    LIMIT,
    POOL_SIZE,
    Filter,
    M,
    Rows,
    Server,
    Store,
)

__all__ = ["LlamaIndex"]

_BATCH = 2048
"""The nodes of one call, as many as its VectorStoreIndex passes."""


class LlamaIndex(Store):
    title = "LlamaIndex PGVectorStore"
    distribution = "llama-index-vector-stores-postgres"
    table = "public.data_llama_texts"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._store: Any = None

    def _make(self, hnsw: dict[str, Any] | None) -> Any:
        return PGVectorStore(
            connection_string=self.server.url("psycopg2"),
            async_connection_string=self.server.url("asyncpg"),
            table_name="llama_texts",
            schema_name="public",
            embed_dim=DIMENSIONS,
            use_jsonb=True,
            # A filter by a number compares a float, and only an index on one serves it.
            indexed_metadata_keys={(column, "float") for column in FILTERS},
            hnsw_kwargs=hnsw,
            create_engine_kwargs={"pool_size": POOL_SIZE, "max_overflow": 0},
        )

    async def create(self) -> None:
        self._store = self._make(None)
        await self._store.async_add([])

    def prepare(self, rows: Rows) -> Any:
        every = zip(
            rows.texts, rows.section.tolist(), rows.shelf.tolist(), rows.embeddings.tolist(), strict=True
        )
        nodes = [
            TextNode(
                id_=str(number), text=text, metadata={"section": section, "shelf": shelf}, embedding=embedding
            )
            for number, (text, section, shelf, embedding) in enumerate(every, rows.first)
        ]
        return [nodes[start : start + _BATCH] for start in range(0, len(nodes), _BATCH)]

    async def add(self, prepared: Any) -> None:
        for nodes in prepared:
            await self._store.async_add(nodes)

    async def index(self) -> None:
        # The index is made when a store with these arguments is first used.
        await self._store.close()
        self._store = self._make({"hnsw_m": M, "hnsw_ef_construction": EF_CONSTRUCTION, "hnsw_ef_search": 40})
        await self._store.async_add([])

    async def ready(self, ef_search: int) -> None:
        self._store.hnsw_kwargs["hnsw_ef_search"] = ef_search

    def question(self, embedding: Any) -> Any:
        return embedding.tolist()

    async def search(self, question: Any, filtered: Filter) -> Any:
        filters = None
        if filtered:
            filters = MetadataFilters(filters=[MetadataFilter(key=filtered[0], value=filtered[1])])
        query = VectorStoreQuery(query_embedding=question, similarity_top_k=LIMIT, filters=filters)
        return await self._store.aquery(query)

    def ids(self, answer: Any) -> list[int]:
        return [*map(int, answer.ids)]

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()
