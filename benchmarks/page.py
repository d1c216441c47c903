"""The results of docs/benchmarks.md, written from a run: ``python -m benchmarks.page [RESULTS]``.

Without a file, from ``benchmarks/results/reference.json``, whose chart the page shows. The text
between the two marks is replaced; the rest of the page stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.headlines import Headline, headlines
from benchmarks.results import Measured, Results, Series
from benchmarks.spread import Spread, ratio, spread, three_digits

__all__ = ["PAGE", "REFERENCE", "replaced"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
REFERENCE = ROOT / "benchmarks" / "results" / "reference.json"

_BEGIN, _END = "<!-- results: begin -->\n", "<!-- results: end -->\n"

_TIMED = ("plainsql", "asyncpg-pool", "asyncpg-no-reset", "psycopg")
"""The contenders whose latencies are on the page."""

_WORKING = ("plainsql", "plainsql-not-compiled", "asyncpg-pool", "asyncpg-no-reset", "psycopg")
"""The contenders whose work is on the page."""

_QUIET = 0.5
"""The load average at the start up to which a machine had nothing else to do."""


def replaced(page: str, results: Results) -> str:
    """Return the page with these results.

    Raises ``ValueError`` where the page has no marks.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no {_BEGIN.strip()} and {_END.strip()}, each in a line of its own")
    return before + begin + "\n".join(_lines(results)) + "\n" + end + after


def _lines(results: Results) -> Iterator[str]:
    machine = results.machine
    loop = results.measured[0].loop if results.measured else ""
    yield ""
    kind = "A quick run" if results.quick else "A full run"
    yield (
        f"{kind} of {results.date}: {machine.cpu}, {machine.cores} cores, {machine.system},"
        f" {machine.python}, PostgreSQL {machine.postgresql}, {loop}."
    )
    yield f"The load of the machine at its start was {machine.load}{_loaded(machine.load)}."
    if results.commit:
        yield f"The commit is `{results.commit[:12]}`{', with changes' if results.dirty else ''}."
    for name, text in results.compiled.items():
        yield f"The compiled part of `{name}`: {text}."
    sentences = _reset(results.measured)
    if sentences:
        yield ""
        yield from sentences
    found = [one for one in headlines(results.measured) if one.loop == loop]
    without = [one for one in found if ", not compiled, against" in one.text]
    compiled = [one for one in found if ", compiled, against" in one.text]
    others = [one for one in found if one not in without and one not in compiled]
    for heading, part in (("comparison", others), ("compiled part", compiled), ("without it", without)):
        if part:
            yield ""
            yield from _table(heading, part)
    timed = [one for one in results.measured if one.loop == loop and any(s.p50_ms for s in one.series)]
    if timed:
        yield ""
        yield from _latencies(timed, results)
    worked = [one for one in results.measured if one.loop == loop and any(s.cpu_us for s in one.series)]
    if worked:
        yield ""
        yield from _work(worked, results)
    yield ""


def _loaded(load: float | None) -> str:
    if load is None or load <= _QUIET:
        return ""
    return ": it had other work to do, so the ratios are rough and the times are too long"


def _reset(measured: Sequence[Measured]) -> list[str]:
    """Return the headline of a single read, divided into what the reset query takes and what is left."""
    for one in measured:
        ours, pool, bare = (one.rates(name) for name in ("plainsql", "asyncpg-pool", "asyncpg-no-reset"))
        if one.case == "point-read/1" and ours and pool and bare:
            return [
                f"One read at a time is {_times(ratio(ours, pool))} as fast as through asyncpg's pool.",
                f"{_times(ratio(bare, pool))} of it are its reset query, which plainsql proves needless.",
                f"Compared with that pool without it, plainsql is {_times(ratio(ours, bare))} as fast.",
            ]
    return []


def _times(value: Spread) -> str:
    return f"{_short(value.median)} times"


def _table(heading: str, part: Sequence[Headline]) -> Iterator[str]:
    yield f"| {heading} | ratio | quartiles |"
    yield "|---|--:|--:|"
    for one in part:
        low, high = _short(one.ratio.low), _short(one.ratio.high)
        yield f"| {one.text} | {_short(one.ratio.median)}\N{MULTIPLICATION SIGN} | {low}\N{EN DASH}{high} |"


def _latencies(timed: Sequence[Measured], results: Results) -> Iterator[str]:
    names = [name for name in _TIMED if name in results.names]
    yield f"| milliseconds of a call, p50 / p99 | {' | '.join(results.names[name] for name in names)} |"
    yield "|---|" + "--:|" * len(names)
    for one in timed:
        by_name = {series.contender: series for series in one.series}
        cells = [_latency(by_name[name]) if name in by_name else "-" for name in names]
        yield f"| {one.title} | {' | '.join(cells)} |"


def _work(worked: Sequence[Measured], results: Results) -> Iterator[str]:
    names = [name for name in _WORKING if name in results.names]
    yield f"| microseconds of the client's processor | {' | '.join(results.names[name] for name in names)} |"
    yield "|---|" + "--:|" * len(names)
    for one in worked:
        by_name = {series.contender: series.cpu_us for series in one.series}
        cells = [three_digits(spread(by_name[name]).median) if by_name.get(name) else "-" for name in names]
        yield f"| {one.title}, for one of the {one.unit} | {' | '.join(cells)} |"


def _latency(series: Series) -> str:
    p50, p99 = (
        three_digits(spread(times).median) if times else "-" for times in (series.p50_ms, series.p99_ms)
    )
    return f"{p50} / {p99}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main() -> int:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE
    results = msgspec.json.decode(file.read_bytes(), type=Results)
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
