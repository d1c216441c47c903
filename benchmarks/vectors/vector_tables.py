"""The tables of a vector run, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.spread import spread, three_digits
from benchmarks.vectors.stores.store import FILTERS
from benchmarks.vectors.vector_claims import SHARES, against, claims, shown_ratio
from benchmarks.vectors.vector_results import VectorResults

__all__ = ["VectorTable", "tables"]


class VectorTable(NamedTuple):
    """A table: the first column is text, unless all are; the others are numbers."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    is_text: bool = False


def tables(results: VectorResults) -> Iterator[VectorTable]:
    """Yield the requirements, then the stores, their filters, and the settings."""
    rows = [(claim.required, claim.measured, "yes" if claim.met else "no") for claim in claims(results)]
    yield VectorTable(("required", "measured", "met"), rows, is_text=True)
    yield _speeds(results)
    yield _filters(results)
    yield VectorTable(
        ("`hnsw.ef_search`, plainsql", f"recall@{results.limit}", "median ms", "p95 ms"),
        [
            (str(one.ef_search), f"{one.recall:.3f}", f"{one.median_ms:.2f}", f"{one.p95_ms:.2f}")
            for one in results.settings
        ],
    )


def _speeds(results: VectorResults) -> VectorTable:
    heads = (
        "store",
        "search, median ms",
        "p95 ms",
        "plainsql's ratio",
        f"{results.at_once} at once, searches/s",
        "load, rows/s",
        "plainsql's ratio",
        "index, s",
    )
    rows = []
    for name, store in results.stores.items():
        one, many = results.find(name, "one"), results.find(name, "at-once")
        searched, loaded = against(results, name)
        rows.append(
            (
                f"{store.title} {store.version}",
                f"{one.median_ms:.2f}" if one else "-",
                f"{one.p95_ms:.2f}" if one else "-",
                "" if name == "plainsql" else shown_ratio(searched),
                three_digits(spread(many.rates).median) if many else "-",
                f"{spread(store.load_rates).median:,.0f}",
                "" if name == "plainsql" else shown_ratio(loaded),
                f"{store.index_seconds:.0f}",
            )
        )
    return VectorTable(heads, rows)


def _filters(results: VectorResults) -> VectorTable:
    kinds: tuple[str | None, ...] = (None, *FILTERS)
    heads = ("recall, rows (fewest), median ms", *(SHARES[kind] for kind in kinds))
    rows = []
    lines = [(name, "one", store.title) for name, store in results.stores.items()]
    lines.insert(1, ("plainsql", "planned", "plainsql, its plan left to PostgreSQL"))
    for name, way, title in lines:
        cells = []
        for kind in kinds:
            one = results.find(name, way, kind)
            cells.append(
                f"{one.recall:.3f}, {one.mean_rows:.1f} ({one.fewest_rows}), {one.median_ms:.2f}"
                if one
                else "-"
            )
        rows.append((title, *cells))
    return VectorTable(heads, rows)
