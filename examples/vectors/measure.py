"""The recall and the time of each pattern, as a table in Markdown.

python measure.py [ROWS] [QUESTIONS]        on a scratch server; 20,000 rows and 200 questions by default

The recall is the share of the exact answer that a search finds.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from corpus import COLUMNS, Text, texts
from patterns import EXACT, PATTERNS, Library, Pattern

import plainsql.embedded
import plainsql.sync
from plainsql import migrate

MIGRATIONS = Path(__file__).parent / "migrations"


def create(url: str, library: Library) -> None:
    """Create the table, fill it, then build its indexes: that takes less time than to index row by row."""
    migrate.apply(url, MIGRATIONS, to="0002")
    with plainsql.sync.connect(url) as db:
        db.copy_in("public.documents", (row.row() for row in library.rows), columns=COLUMNS)
    migrate.apply(url, MIGRATIONS)
    with plainsql.sync.connect(url) as db:
        # A new table has no statistics: the planner would take a worse plan for a search with a filter.
        db.sql("analyze public.documents")


def measure(
    pattern: Pattern,
    db: plainsql.sync.Database,
    exact_db: plainsql.sync.Database,
    library: Library,
    questions: list[Text],
) -> tuple[float, float]:
    """The mean recall, and the median time of a search in milliseconds."""
    recalls, times = [], []
    for question in questions:
        began = time.perf_counter()
        found = {row.id for row in pattern.search(db, question)}
        times.append((time.perf_counter() - began) * 1000)
        if pattern.exact is None:
            wanted = {row.id for row in pattern.search(exact_db, question)}
        else:
            wanted = {*pattern.exact(library, question)}
        if wanted:
            recalls.append(len(found & wanted) / len(wanted))
    return statistics.fmean(recalls), statistics.median(times)


def main(rows: int = 20_000, count: int = 200) -> None:
    library, questions = Library([*texts(rows)]), [*texts(count, seed=7)]
    with plainsql.embedded.start(scratch=True) as server:
        url = server.create_database("vectors")
        create(url, library)
        with (
            plainsql.sync.connect(url) as db,
            plainsql.sync.connect(url) as exact_db,
        ):
            exact_db.connection.execute(EXACT)
            print(f"| {rows:,} rows, {count} questions | recall@10 | ms | its index |")
            print("|---|---|---|---|")
            for pattern in PATTERNS:
                recall, ms = measure(pattern, db, exact_db, library, questions)
                size = db.sql(
                    "select pg_relation_size(:name::regclass)", type=int, returns="one", name=pattern.index
                )
                print(f"| {pattern.name} | {recall:.3f} | {ms:.2f} | {size / 1024**2:.1f} MB |", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
