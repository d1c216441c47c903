"""The requirements of a vector run, and the numbers that it measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.spread import Spread, ratio, spread
from benchmarks.vectors.stores.store import FILTERS
from benchmarks.vectors.vector_results import VectorResults

__all__ = ["SHARES", "Claim", "against", "claims", "missed", "shown_ratio"]

SHARES = {None: "all rows", "section": "1 % of the rows", "shelf": "0.1 % of the rows"}
"""Column of a filter → the rows that it leaves, in words."""

_SLOWDOWN, _RECALL, _MS, _FILTERED_RECALL, _SEARCH, _LOAD = 1.5, 0.95, 2.0, 0.99, 1.3, 1.5


class Claim(NamedTuple):
    """A required number."""

    required: str
    measured: str
    met: bool
    exact: bool
    """True if it does not depend on speed: a run that misses it fails."""


def claims(results: VectorResults) -> list[Claim]:
    """Return those that the run has numbers for."""
    return [*_together(results), *_alone(results), *_filtered(results), *_against_others(results)]


def against(results: VectorResults, store: str) -> tuple[Spread | None, Spread | None]:
    """Return plainsql's ratio to a store, round by round: of single searches, and of loading."""
    ours, theirs = results.find("plainsql", "one"), results.find(store, "one")
    searched = ratio(ours.rates, theirs.rates) if ours and theirs else None
    loaded = ratio(results.stores["plainsql"].load_rates, results.stores[store].load_rates)
    return searched, loaded


def shown_ratio(value: Spread | None) -> str:
    """Return a ratio with its quartiles."""
    if value is None:
        return ""
    return f"{value.median:.2f} ({value.low:.2f}\N{EN DASH}{value.high:.2f})"


def _together(results: VectorResults) -> Iterator[Claim]:
    single = results.find("plainsql", "one-shared")
    for way, name in (("at-once", "at once"), ("batch", "in one `.batch`")):
        found = results.find("plainsql", way)
        if single and found:
            searches = f"{results.at_once} searches {name}"
            yield Claim(
                f"{searches}: the rows of single searches, in all",
                f"{found.same:,} of {found.of:,}, in {len(found.rates)} rounds",
                found.same == found.of,
                exact=True,
            )
            slower = ratio(single.rates, found.rates)
            yield Claim(
                f"{searches}: at most {_SLOWDOWN} times the time of single ones",
                f"{shown_ratio(slower)} times",
                slower.median <= _SLOWDOWN,
                exact=False,
            )


def _alone(results: VectorResults) -> Iterator[Claim]:
    found = results.find("plainsql", "one")
    if found:
        yield Claim(
            f"recall@{results.limit} of at least {_RECALL} in at most {_MS:g} ms, the median",
            f"{found.recall:.3f} in {found.median_ms:.2f} ms, with `hnsw.ef_search = {results.ef_search}`",
            found.recall >= _RECALL and found.median_ms <= _MS,
            exact=False,
        )


def _filtered(results: VectorResults) -> Iterator[Claim]:
    for column, values in FILTERS.items():
        found = results.find("plainsql", "one", column)
        if found:
            wanted = min(results.limit, results.rows // values)
            yield Claim(
                f"a filter that leaves {SHARES[column]}: always {wanted} rows,"
                f" recall of at least {_FILTERED_RECALL}",
                f"{found.fewest_rows} rows at least, recall {found.recall:.3f}",
                found.fewest_rows >= wanted and found.recall >= _FILTERED_RECALL,
                exact=True,
            )


def _against_others(results: VectorResults) -> Iterator[Claim]:
    others = [name for name in results.stores if name != "plainsql"]
    rates = {name: found.rates for name in others if (found := results.find(name, "one"))}
    if rates:
        fastest = _fastest(rates)
        searched, _ = against(results, fastest)
        yield _of_ratio("search", _SEARCH, searched, results.stores[fastest].title)
    loads = {name: results.stores[name].load_rates for name in others}
    if loads:
        fastest = _fastest(loads)
        _, loaded = against(results, fastest)
        yield _of_ratio("load", _LOAD, loaded, results.stores[fastest].title)


def _fastest(rates: dict[str, list[float]]) -> str:
    return max(rates, key=lambda name: spread(rates[name]).median)


def _of_ratio(what: str, wanted: float, found: Spread | None, title: str) -> Claim:
    assert found is not None
    return Claim(
        f"{what}: at least {wanted} times as fast as the fastest other store",
        f"{shown_ratio(found)} times as fast as {title}",
        found.median >= wanted,
        exact=False,
    )


def missed(found: Sequence[Claim]) -> list[Claim]:
    """Return the claims that a run must hold and did not."""
    return [claim for claim in found if claim.exact and not claim.met]
