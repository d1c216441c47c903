"""The hashing embedder: deterministic, of length 1, near where words are shared."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.vector.hashing import embed

FOR_COCHERA = [
    (87, -0.169031),
    (168, -0.169031),
    (254, 0.169031),
    (532, -0.169031),
    (575, -0.169031),
    (797, -0.169031),
    (927, -0.894427),
    (993, -0.169031),
]
WISH = "departamento con vista al parque, dos dormitorios, cochera"


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def test_it_has_1536_dimensions_unless_told_and_length_1() -> None:
    assert len(embed(WISH)) == 1536
    assert len(embed(WISH, dimensions=64)) == 64
    assert math.hypot(*embed(WISH)) == pytest.approx(1)


def test_another_process_computes_the_same() -> None:
    code = f"from plainsql.vector.hashing import embed; print(repr(embed({WISH!r})))"
    # Another seed for Python's own hashes.
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == repr(embed(WISH))


def test_its_values_are_those_of_every_release() -> None:
    # Stored embeddings and questions must agree: changing these numbers makes stored ones worthless.
    vector = embed("cochera")
    found = [(index, round(value, 6)) for index, value in enumerate(vector) if value]
    assert found == FOR_COCHERA


def test_case_accents_punctuation_and_stop_words_make_no_difference() -> None:
    assert embed("¡HABITACIÓN con balcón!") == embed("habitacion, balcon")


@pytest.mark.parametrize("text", ["", "   ", "el de la", "¿…?"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no word"):
        embed(text)


def test_dimensions_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        embed(WISH, dimensions=0)


def test_the_more_words_are_shared_the_nearer() -> None:
    texts = [
        "Departamento de dos dormitorios con vista al parque. Incluye cochera.",
        "Departamento de tres dormitorios con vista al parque.",
        "Departamento de un dormitorio con vista a la calle.",
        "Oficina de planta libre en el centro financiero.",
    ]
    near = [cosine(embed(WISH), embed(text)) for text in texts]
    assert near == sorted(near, reverse=True)
    assert near[0] > 2 * near[2]


def test_forms_of_a_word_are_nearer_than_other_words() -> None:
    word = embed("dormitorio")
    assert cosine(word, embed("dormitorios")) > 0.1 > abs(cosine(word, embed("azotea")))


@given(st.text(alphabet="abcdefghij ñáé.,", min_size=1), st.integers(1, 300))
def test_every_text_gives_a_vector_of_length_1_or_is_refused(text: str, dimensions: int) -> None:
    try:
        vector = embed(text, dimensions=dimensions)
    except ValueError:
        return
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)


def test_three_thousand_descriptions_take_seconds() -> None:
    description = " ".join(f"{WISH} {number}" for number in range(6))
    start = time.process_time()
    for number in range(300):
        embed(f"{description} {number}")
    assert time.process_time() - start < 1.0
