"""A stand-in for an embedding model: signed feature hashing of words, no download, no network, no NumPy.

It serves demonstrations and tests. Texts that share words, or parts of words, are near one another; that is
all it knows. It does not know that "cochera" and "estacionamiento" are the same thing, that "sin vista" is
the opposite of "con vista", or which word of a question matters most. What users search, a model must
embed.

The features of a text are its words, its pairs of neighbouring words and the trigrams of each word. Each is
hashed to one of the dimensions and to a sign, and the weights of one dimension are added: K. Weinberger, A.
Dasgupta, J. Langford, A. Smola and J. Attenberg, "Feature Hashing for Large Scale Multitask Learning", ICML
2009. The sign makes collisions cancel out on average, so that the inner product of two vectors estimates
that of the features.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from hashlib import blake2b
from itertools import pairwise
from typing import Final

__all__ = ["embed"]

_WORD: Final = re.compile(r"[a-z0-9]+")

# Spanish words that say nothing of the matter, without their accents. "no" and "sin" do; so do numbers.
_STOP_WORDS: Final = frozenset(
    """
    a al algo alguna algunas alguno algunos ante antes aquel aquella aquello asi aun aunque cada como con
    cual cuales cualquier cuando de del desde donde e el ella ellas ello ellos en entre era eran es esa esas
    ese eso esos esta estaba estan estar estas este esto estos fue fueron ha habia han hasta hay la las le
    les lo los mas me mi mis mucha muchas mucho muchos muy ni nos nosotros nuestra nuestras nuestro nuestros
    o os otra otras otro otros para pero poco por porque pues que quien quienes se sea sean segun ser si
    sido sobre son su sus tal tambien tan te tiene tienen toda todas todo todos tu tus u un una unas uno
    unos usted ustedes y ya yo
    """.split()  # noqa: SIM905
)

# A pair counts less than a word, because few texts share it; the trigrams of a word count half a word
# together, enough to bring "dormitorio" near "dormitorios".
_PAIR_WEIGHT: Final = 0.7
_TRIGRAMS_WEIGHT: Final = 0.5


def embed(text: str, *, dimensions: int = 1536) -> list[float]:
    """Return the hashed features of a Spanish text as a vector of length 1.

    The same text and dimensions give the same vector on every machine and in every process. Letter case,
    accents, punctuation and stop words make no difference; a word that occurs n times counts 1 + ln n.

    Args:
        text: any length; the description of a home takes 0.3 ms.
        dimensions: the length of the list, at least 1.

    Raises:
        ValueError: the text holds no word that counts (the cosine distance to nothing is undefined), or
            ``dimensions`` is not positive.
    """
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, got {dimensions}")
    vector = [0.0] * dimensions
    for feature, weight in _weights(_words(text)).items():
        number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
        vector[(number >> 1) % dimensions] += weight if number & 1 else -weight
    length = math.hypot(*vector)
    if not length:
        raise ValueError("the text holds no word to embed")
    return [value / length for value in vector]


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in folded if not unicodedata.combining(c))
    return [word for word in _WORD.findall(bare) if word not in _STOP_WORDS]


def _weights(words: list[str]) -> dict[str, float]:
    """The features of a text and their weights. Blanks in their names keep the three kinds apart."""
    weights: dict[str, float] = {}
    for word, count in Counter(words).items():
        often = 1.0 + math.log(count)
        weights[word] = often
        trigrams = [f" {word} "[start : start + 3] for start in range(len(word))]
        share = often * _TRIGRAMS_WEIGHT / math.sqrt(len(trigrams))
        for trigram in trigrams:
            weights[f"{trigram}  "] = weights.get(f"{trigram}  ", 0.0) + share
    for pair, count in Counter(pairwise(words)).items():
        weights["  ".join(pair)] = _PAIR_WEIGHT * (1.0 + math.log(count))
    return weights
