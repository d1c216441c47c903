"""LangChain's PGVectorStore: its asynchronous methods, on asyncpg."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

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

__all__ = ["LangChain"]


class _Given(Embeddings):
    """The embeddings are there already, and go to the methods that take them."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError


class LangChain(Store):
    title = "LangChain PGVectorStore"
    distribution = "langchain-postgres"
    table = "public.langchain_texts"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        # Its own loop in a thread, as from a connection string, would cost a change of threads for each call.
        self._pool = create_async_engine(server.url("asyncpg"), pool_size=POOL_SIZE, max_overflow=0)
        self._engine = PGEngine.from_engine(self._pool)
        self._store: Any = None

    async def create(self) -> None:
        name = self.table.partition(".")[2]
        await self._engine.ainit_vectorstore_table(
            name,
            DIMENSIONS,
            id_column=Column("langchain_id", "BIGINT", nullable=False),
            metadata_columns=[Column(column, "INTEGER", nullable=False) for column in FILTERS],
            store_metadata=False,
        )
        async with self._pool.begin() as connection:
            for column in FILTERS:
                await connection.execute(text(f"create index on {self.table} ({column})"))
        await self.ready(40)

    def prepare(self, rows: Rows) -> Any:
        both = zip(rows.section.tolist(), rows.shelf.tolist(), strict=True)
        return (
            [*rows.texts],
            rows.embeddings.tolist(),
            [{"section": section, "shelf": shelf} for section, shelf in both],
            [*range(rows.first, rows.first + len(rows.texts))],
        )

    async def add(self, prepared: Any) -> None:
        texts, embeddings, metadatas, ids = prepared
        await self._store.aadd_embeddings(texts, embeddings, metadatas=metadatas, ids=ids)

    async def index(self) -> None:
        await self._store.aapply_vector_index(HNSWIndex(m=M, ef_construction=EF_CONSTRUCTION))

    async def ready(self, ef_search: int) -> None:
        self._store = await PGVectorStore.create(
            engine=self._engine,
            embedding_service=_Given(),
            table_name=self.table.partition(".")[2],
            metadata_columns=[*FILTERS],
            index_query_options=HNSWQueryOptions(ef_search=ef_search),
        )

    def question(self, embedding: Any) -> Any:
        return embedding.tolist()

    async def search(self, question: Any, filtered: Filter) -> Any:
        return await self._store.asimilarity_search_with_score_by_vector(
            question, k=LIMIT, filter=dict([filtered]) if filtered else None
        )

    def ids(self, answer: Any) -> list[int]:
        return [int(document.id) for document, _ in answer]

    async def close(self) -> None:
        await self._engine.close()
