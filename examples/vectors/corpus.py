"""Generated documents and questions, the same on every machine, with embeddings and weighted terms.

A document has two topics, in some proportion. Its embedding is near the mixture of both, with more of the
variance in the first dimensions, as in Matryoshka models; its words are words of the topics. Every 40th
document is nearly a copy of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from plainsql.vector import SparseVector

__all__ = ["COLUMNS", "DIMENSION", "TERMS", "Text", "texts"]

DIMENSION: Final = 128
TERMS: Final = 4096
COLUMNS: Final = ("title", "body", "metadata", "embedding", "terms")

_TOPICS: Final = 80
_TERMS_OF_TOPIC: Final = 40
_COPY_EVERY: Final = 40
_KINDS: Final = (*("guide",) * 3, *("reference",) * 2, "news", "talk", "paper", "paper", "note")
_CONSONANTS: Final = "bkdfghlmnprtvwzs"


@dataclass(frozen=True, slots=True)
class Text:
    """A document, or a question."""

    title: str
    words: tuple[str, ...]
    """The words of the text, the most characteristic first."""
    metadata: dict[str, Any]
    embedding: NDArray[np.float32]
    """``(DIMENSION,)``, of length 1."""
    weights: dict[int, float]
    """The weights of its terms, of length 1."""

    @property
    def terms(self) -> SparseVector:
        """The weights as pgvector's sparse vector."""
        return SparseVector(self.weights, TERMS)

    def row(self) -> tuple[object, ...]:
        """The values of ``COLUMNS``."""
        return (self.title, " ".join(self.words), self.metadata, self.embedding, self.terms)


def texts(count: int, seed: int = 18) -> Iterator[Text]:
    """Yield ``count`` texts; those of another seed are others, about the same topics."""
    world = np.random.default_rng(1)  # the topics are the same whatever the seed
    spectrum = np.arange(1, DIMENSION + 1) ** -0.4
    centers = world.normal(size=(_TOPICS, DIMENSION)) * spectrum
    terms = world.permutation(TERMS)[: _TOPICS * _TERMS_OF_TOPIC].reshape(_TOPICS, _TERMS_OF_TOPIC)

    rng = np.random.default_rng(seed)
    earlier: list[Text] = []
    for number in range(count):
        if number and number % _COPY_EVERY == 0:
            source = earlier[number - _COPY_EVERY // 2]
            near = source.embedding + rng.normal(size=DIMENSION) * 0.004
            text = Text(f"{source.title} (copy)", source.words, source.metadata, _unit(near), source.weights)
        else:
            first, second = (int(topic) for topic in rng.choice(_TOPICS, size=2, replace=False))
            share = rng.uniform(0.5, 1)
            mixture = share * centers[first] + (1 - share) * centers[second]
            noise = rng.normal(size=DIMENSION) * spectrum * 0.8
            counts = rng.poisson(np.geomspace(3, 0.1, _TERMS_OF_TOPIC) * share, size=_TERMS_OF_TOPIC)
            others = rng.poisson(np.geomspace(2, 0.1, _TERMS_OF_TOPIC) * (1 - share), size=_TERMS_OF_TOPIC)
            found = {int(terms[first, at]): int(n) for at, n in enumerate(counts) if n}
            found |= {int(terms[second, at]): int(n) for at, n in enumerate(others) if n}
            found = found or {int(terms[first, 0]): 1}
            by_count = sorted(found, key=lambda term: (-found[term], term))
            text = Text(
                title=f"{_word(by_count[0])} {number}",
                words=tuple(_word(term) for term in by_count),
                metadata={
                    "kind": _KINDS[int(rng.integers(len(_KINDS)))],
                    "language": "de" if rng.random() < 0.1 else "en",
                    "year": int(rng.integers(2015, 2026)),
                    "source": {"shelf": int(rng.integers(200))},
                },
                embedding=_unit(mixture + noise),
                weights=_weights(found),
            )
        earlier.append(text)
        yield text


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _weights(counts: dict[int, int]) -> dict[int, float]:
    raw = {term: float(np.log1p(count)) for term, count in counts.items()}
    length = sum(weight * weight for weight in raw.values()) ** 0.5
    return {term: weight / length for term, weight in raw.items()}


def _word(term: int) -> str:
    return "".join(_CONSONANTS[term >> shift & 15] + vowel for shift, vowel in ((8, "a"), (4, "u"), (0, "o")))
