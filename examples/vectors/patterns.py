"""The patterns, each with its exact answer: that of NumPy, or of the same statement without index scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from corpus import Text
from numpy.typing import NDArray
from queries import documents

import plainsql.sync

__all__ = ["EXACT", "LIMIT", "PATTERNS", "Library", "Pattern"]

LIMIT: Final = 10
EXACT: Final = "set enable_indexscan = off"
"""In a session with this setting, searches by distance are exact."""


class _HasId(Protocol):
    @property
    def id(self) -> int: ...


Search = Callable[[plainsql.sync.Database, Text], Sequence[_HasId]]
Exact = Callable[["Library", Text], Sequence[int]]


class Library:
    """Texts in memory, numbered from 1 as the rows of a new table are, for exact answers."""

    def __init__(self, rows: Sequence[Text]) -> None:
        self.rows = rows
        self._embeddings = np.stack([row.embedding for row in rows]).astype(np.float64)

    def distances(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """The cosine distance of each text, ``(len(rows),)``: all embeddings have length 1."""
        result: NDArray[np.float64] = 1 - self._embeddings @ embedding.astype(np.float64)
        return result

    def nearest(
        self, embedding: NDArray[np.float32], limit: int = LIMIT, kept: Callable[[Text], bool] | None = None
    ) -> list[int]:
        """The numbers of the nearest texts, of those that are ``kept``."""
        order = np.argsort(self.distances(embedding), kind="stable")
        found = (int(at) + 1 for at in order if kept is None or kept(self.rows[at]))
        return [number for number, _ in zip(found, range(limit), strict=False)]

    def best_by_terms(self, question: Text, limit: int = LIMIT) -> list[int]:
        """The numbers of the texts with the largest inner product of the terms, without those with 0."""
        scores = [
            sum(weight * row.weights.get(term, 0.0) for term, weight in question.weights.items())
            for row in self.rows
        ]
        order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
        return [at + 1 for at in order[:limit] if scores[at] > 0]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A search, and its exact answer; None is the one of the same statement without index scans."""

    name: str
    search: Search
    exact: Exact | None = None
    index: str = "documents_embedding_idx"


def nearest(library: Library, question: Text) -> Sequence[int]:
    """The nearest to the question."""
    return library.nearest(question.embedding)


def fitting(metadata: dict[str, Any]) -> tuple[Search, Exact]:
    """A search among the texts with these top-level metadata, and its exact answer."""

    def exact(library: Library, question: Text) -> Sequence[int]:
        return library.nearest(question.embedding, kept=lambda row: metadata.items() <= row.metadata.items())

    return (
        lambda db, q: documents.search_by_metadata(db, embedding=q.embedding, metadata=metadata, limit=LIMIT),
        exact,
    )


def binary(candidates: int) -> Pattern:
    """A search by bits."""
    return Pattern(
        f"binary, {candidates} candidates re-ranked",
        lambda db, q: documents.search_binary(db, embedding=q.embedding, candidates=candidates, limit=LIMIT),
        nearest,
        "documents_binary_idx",
    )


def subvector(candidates: int) -> Pattern:
    """A search by the first dimensions."""
    return Pattern(
        f"first 32 dimensions, {candidates} candidates re-ranked",
        lambda db, q: documents.search_subvector(
            db, embedding=q.embedding, candidates=candidates, limit=LIMIT
        ),
        nearest,
        "documents_subvector_idx",
    )


def pattern_of_metadata(name: str, metadata: dict[str, Any], index: str) -> Pattern:
    """A search among the texts with some metadata."""
    search, exact = fitting(metadata)
    return Pattern(name, search, exact, index)


PATTERNS: Final = (
    Pattern(
        "full precision", lambda db, q: documents.search(db, embedding=q.embedding, limit=LIMIT), nearest
    ),
    Pattern(
        "half precision",
        lambda db, q: documents.search_half(db, embedding=q.embedding, limit=LIMIT),
        nearest,
        "documents_half_idx",
    ),
    *(binary(candidates) for candidates in (40, 100, 400)),
    *(subvector(candidates) for candidates in (50, 200)),
    Pattern(
        "sparse",
        lambda db, q: documents.search_sparse(db, terms=q.terms, limit=LIMIT),
        lambda library, q: library.best_by_terms(q),
        "documents_terms_idx",
    ),
    Pattern(
        "hybrid, reciprocal ranks",
        lambda db, q: documents.search_hybrid_ranks(
            db, embedding=q.embedding, words=" or ".join(q.words[:3]), limit=LIMIT
        ),
        index="documents_words_idx",
    ),
    Pattern(
        "hybrid, weighted sum",
        lambda db, q: documents.search_hybrid_weighted(
            db, embedding=q.embedding, words=" or ".join(q.words[:3]), limit=LIMIT
        ),
        index="documents_words_idx",
    ),
    Pattern("diverse (MMR)", lambda db, q: documents.search_diverse(db, embedding=q.embedding, limit=LIMIT)),
    Pattern(
        "relevance of at least 0.75",
        lambda db, q: documents.search_relevant(db, embedding=q.embedding, limit=LIMIT, at_least=0.75),
        lambda library, q: [
            number
            for number in library.nearest(q.embedding)
            if library.distances(q.embedding)[number - 1] <= 0.5
        ],
    ),
    pattern_of_metadata("metadata, 30 % fit", {"kind": "guide"}, "documents_embedding_idx"),
    pattern_of_metadata("metadata, 3 % fit", {"kind": "guide", "language": "de"}, "documents_metadata_idx"),
    pattern_of_metadata("metadata, 0.5 % fit", {"source": {"shelf": 7}}, "documents_metadata_idx"),
)
