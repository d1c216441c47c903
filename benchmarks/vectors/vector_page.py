"""The vector results of docs/benchmarks.md: ``python -m benchmarks.vectors.vector_page [RESULTS]``.

Without a file, from ``benchmarks/results/vectors.json``. The text between the two marks is replaced; the rest
of the page stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.page import PAGE
from benchmarks.vectors.vector_results import VectorResults
from benchmarks.vectors.vector_tables import VectorTable, tables

__all__ = ["VECTORS", "replaced_vectors"]

VECTORS = Path(__file__).parents[1] / "results" / "vectors.json"

_BEGIN, _END = "<!-- vectors: begin -->\n", "<!-- vectors: end -->\n"
_QUIET = 0.5
"""The load average at the start up to which a machine had nothing else to do."""


def replaced_vectors(page: str, results: VectorResults) -> str:
    """Return the page with these results. Raises ``ValueError`` where it has no marks."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no {_BEGIN.strip()} and {_END.strip()}, each in a line of its own")
    return before + begin + "\n".join(_lines(results)) + "\n" + end + after


def _lines(results: VectorResults) -> Iterator[str]:
    machine = results.machine
    yield ""
    yield (
        f"{'A quick run' if results.quick else 'A full run'} of {results.date}: {machine.cpu},"
        f" {machine.cores} cores, {machine.system}, {machine.python}, PostgreSQL {machine.postgresql}."
    )
    busy = machine.load is not None and machine.load > _QUIET
    yield (
        f"The load of the machine at its start was {machine.load}"
        f"{': it had other work to do, so times are too long and ratios rough' if busy else ''}."
    )
    if results.commit:
        yield f"The commit is `{results.commit[:12]}`{', with changes' if results.dirty else ''}."
    yield f"plainsql's compiled part: {results.compiled}."
    yield (
        f"The data: {results.rows:,} rows and {results.questions} questions of {results.dimensions}"
        f" dimensions, digest `{results.digest}`."
    )
    yield f"Every index: {results.index}; every search: `hnsw.ef_search = {results.ef_search}`."
    for name, reason in results.missing.items():
        yield f"Without {name}: {reason}."
    for table in tables(results):
        yield ""
        yield from _markdown(table)
    yield ""


def _markdown(table: VectorTable) -> Iterator[str]:
    yield f"| {' | '.join(table.heads)} |"
    yield "|---|" + ("---|" if table.is_text else "--:|") * (len(table.heads) - 1)
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def main() -> int:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS
    results = msgspec.json.decode(file.read_bytes(), type=VectorResults)
    PAGE.write_text(replaced_vectors(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
