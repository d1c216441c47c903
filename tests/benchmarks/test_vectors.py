"""The vector benchmark on a small set: its data, and the answers that it must find right."""

from __future__ import annotations

import dataclasses
import sysconfig
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import page
from benchmarks.vectors import vector_run
from benchmarks.vectors.corpus import TooFewTextsError, read_texts
from benchmarks.vectors.embeddings import embed
from benchmarks.vectors.stores.store import DIMENSIONS, FILTERS, LIMIT, make_rows
from benchmarks.vectors.vector_chart import draw_vectors
from benchmarks.vectors.vector_claims import claims, missed
from benchmarks.vectors.vector_data import VectorData, make_data
from benchmarks.vectors.vector_page import VECTORS, replaced_vectors
from benchmarks.vectors.vector_results import Searched, StoreResults, VectorResults
from benchmarks.vectors.vector_run import QUICK, run_vectors

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
FOLDERS = [LIBRARY / name for name in ("asyncio", "email", "logging", "multiprocessing", "unittest", "http")]

TINY = dataclasses.replace(
    QUICK, rows=1_000, questions=40, at_once=20, load_rounds=2, rounds=2, filter_rounds=2, settings=(10, 40)
)


@pytest.fixture(scope="module")
def data() -> VectorData:
    return make_data(FOLDERS, TINY.rows, TINY.questions)


@pytest.fixture(scope="module")
def results(data: VectorData) -> VectorResults:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_run, "make_data", lambda *_: data)  # made once for all tests
        return run_vectors(["plainsql", "vecs"], None, TINY, lambda _: None)


def test_the_same_texts_give_the_same_data() -> None:
    one, again = (make_data(FOLDERS[:1], 200, 10) for _ in range(2))
    assert again.digest == one.digest
    assert np.array_equal(again.rows.embeddings, one.rows.embeddings)
    assert np.array_equal(again.questions, one.questions)
    assert again.rows.texts == one.rows.texts
    assert len({*one.rows.texts}) == 200


def test_embeddings_are_of_length_one_and_near_for_related_texts(data: VectorData) -> None:
    assert data.rows.embeddings.shape == (TINY.rows, DIMENSIONS)
    assert np.allclose(np.linalg.norm(data.rows.embeddings, axis=1), 1, atol=1e-5)
    # Eight matters, each with words of its own: a text is nearer to those of its matter.
    related = [f"root{n % 8} stem{n % 8} leaf{n % 8} word{n % 11}" for n in range(80)]
    numbers, vectors = embed([*related, "xyzzy"], 8)
    assert numbers.tolist() == [*range(80)]  # the last has no word that others have
    assert vectors[0] @ vectors[8] > 0.9
    assert vectors[0] @ vectors[1] < 0.5


def test_too_few_texts_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('"""What this module does with several words of its own."""\n# short\n')
    assert read_texts([tmp_path], 1) == ["What this module does with several words of its own."]
    with pytest.raises(TooFewTextsError, match="expected 2 texts in the installed packages, got 1"):
        read_texts([tmp_path], 2)


def test_recall_counts_rows_at_the_distance_of_the_last() -> None:
    embeddings = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    data = VectorData(make_rows(["a"] * 4, embeddings), np.eye(4, dtype=np.float32)[:1], "")
    assert data.recall(0, None, [1], 1) == 1.0  # rows 0 and 1 are the same
    assert data.recall(0, None, [2, 3], 1) == 0.0
    assert data.recall(0, None, [0, 2], 3) == 2 / 3
    assert data.recall(0, "section", [1], 10) == 0.0  # row 0 alone passes the filter
    assert data.recall(0, "section", [0], 10) == 1.0


def test_searches_at_once_and_in_a_batch_have_the_rows_of_single_ones(results: VectorResults) -> None:
    for way in ("at-once", "batch"):
        found = results.find("plainsql", way)
        assert found
        assert (found.same, found.of) == (40, 40)
        assert found.recall > 0.9


def test_a_filter_leaves_all_its_rows_and_the_nearest_of_them(results: VectorResults) -> None:
    for column, values in FILTERS.items():
        found = results.find("plainsql", "one", column)
        assert found
        assert found.fewest_rows == min(LIMIT, TINY.rows // values)
        assert found.recall >= 0.99
        assert results.find("plainsql", "planned", column)


def test_a_run_has_its_settings_and_names_whom_it_is_without(results: VectorResults) -> None:
    assert [one.ef_search for one in results.settings] == [10, 40]
    assert results.settings[0].recall < results.settings[1].recall <= 1
    assert len(results.stores["plainsql"].load_rates) == 2
    assert results.missing == {"vecs": "its packages are not installed: make bench-vectors installs them"}
    found = claims(results)
    assert len(found) == 7
    assert missed(found) == []


def with_a_peer(results: VectorResults) -> VectorResults:
    peer = StoreResults("peer", "1.0", [rate / 2 for rate in results.stores["plainsql"].load_rates])
    single = results.find("plainsql", "one")
    assert single
    searched = Searched("peer", "one", None, [rate / 4 for rate in single.rates], recall=0.5)
    return msgspec.structs.replace(
        results, stores=results.stores | {"peer": peer}, searched=[*results.searched, searched]
    )


def test_the_ratio_is_to_the_fastest_other_store(results: VectorResults) -> None:
    search, load = claims(with_a_peer(results))[-2:]
    assert search.measured == "4.00 (4.00\N{EN DASH}4.00) times as fast as peer"
    assert load.measured == "2.00 (2.00\N{EN DASH}2.00) times as fast as peer"
    assert search.met
    assert load.met


def test_other_rows_and_too_few_rows_fail_the_run(results: VectorResults) -> None:
    searched = [
        msgspec.structs.replace(one, same=one.of - (one.way == "batch"), fewest_rows=0)
        for one in results.searched
    ]
    found = missed(claims(msgspec.structs.replace(results, searched=searched)))
    assert [claim.required.partition(":")[0] for claim in found] == [
        "20 searches in one `.batch`",
        "a filter that leaves 1 % of the rows",
        "a filter that leaves 0.1 % of the rows",
    ]


def test_the_page_and_the_chart_are_made_of_the_results(results: VectorResults, tmp_path: Path) -> None:
    text = replaced_vectors("before\n<!-- vectors: begin -->\nold\n<!-- vectors: end -->\nafter\n", results)
    assert text.startswith("before\n<!-- vectors: begin -->\n\nA quick run of ")
    assert (
        "| 20 searches at once: the rows of single searches, in all | 40 of 40, in 2 rounds | yes |" in text
    )
    assert "old" not in text
    pytest.importorskip("matplotlib")
    svg, png = draw_vectors(with_a_peer(results), tmp_path, "chart")
    assert svg.stat().st_size > 1000
    assert png.stat().st_size > 1000


def test_the_page_has_the_results_of_the_last_reference_run() -> None:
    written = page.PAGE.read_text(encoding="utf-8")
    reference = msgspec.json.decode(VECTORS.read_bytes(), type=VectorResults)
    assert replaced_vectors(written, reference) == written
