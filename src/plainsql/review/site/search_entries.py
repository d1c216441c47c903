"""The index of the search box, as a script: a page that is opened from a file cannot fetch data."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from plainsql.review.model.sheets import Review
from plainsql.review.site.page_paths import migration_path, query_path, table_path

__all__ = ["search_script"]

Entry = tuple[str, str, str, str, str]
"""The kind, the name, a line about it, its page, and more words that find it."""


def search_script(review: Review) -> str:
    """Return the script that defines the index.

    It is data in a string of its own: characters that end a script or a line of it are escaped.
    """
    data = msgspec.json.encode([*_entries(review)]).decode()
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return f"window.plainsqlSearch = {data};\n"


def _entries(review: Review) -> Iterator[Entry]:
    for query in review.queries:
        tables = {access.table for access in query.accesses}
        words = " ".join([query.path, *sorted(tables), *(note.name for note in query.notes)])
        yield "query", query.name, query.summary, query_path(query.name), words
    for table in review.tables:
        columns = " ".join(column.name for column in table.columns)
        yield "table", table.name, table.comment or table.kind, table_path(table.name), columns
        for index in table.indexes:
            yield "index", index.name, f"on {table.name}", f"{table_path(table.name)}#indexes", ""
    for migration in review.migrations:
        yield (
            "migration",
            migration.name,
            _first_comment(migration.source),
            migration_path(migration.name),
            " ".join([migration.path, *migration.tables]),
        )


def _first_comment(source: str) -> str:
    for line in source.splitlines():
        text = line.strip().removeprefix("--").strip()
        if line.startswith("--") and text and not text.startswith(("transactional:", "depends:")):
            return text
    return ""
