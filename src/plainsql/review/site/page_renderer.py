"""The pages of a review, rendered from templates that escape everything they are given."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from plainsql.errors import SettingsError
from plainsql.plans.explain.observations import NAMES
from plainsql.review.changes.change_sheets import SEVERITIES
from plainsql.review.model.sheets import MigrationSheet, QueryPlanSheet, QuerySheet, Review, TableSheet
from plainsql.review.site.page_paths import migration_path, query_path, table_path
from plainsql.review.site.search_entries import search_script

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["ASSETS", "site_files"]

ASSETS: Final = ("review.css", "review.js", "theme.js")
_CODE: Final = re.compile(r"``(.+?)``|`([^`\n]+)`", re.DOTALL)
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_SHORT_HASH_CHARS: Final = 10


def site_files(review: Review) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the site: the path below its folder, with ``/``, and the content.

    The same review gives the same bytes.

    Raises ``SettingsError`` if the extra ``review`` is not installed.
    """
    renderer = _Renderer(review)
    assets = files("plainsql.review.site") / "assets"
    for name in ASSETS:
        yield f"assets/{name}", (assets / name).read_bytes()
    yield "assets/search.js", search_script(review).encode()
    for path, html in renderer.pages():
        yield path, html.encode()


class _Renderer:
    """The templates, and the review that they show."""

    def __init__(self, review: Review) -> None:
        self._review = review
        self._environment = _environment()
        self._environment.filters |= {
            "prose": _prose,
            "bytes": _bytes,
            "count": _count,
            "cost": _cost,
            "duration": _duration,
        }
        self._whole_tables = [table for table in review.tables if not table.parent]
        self._tables = {table.name: table for table in review.tables}
        self._queries = {query.name: query for query in review.queries}
        self._letters = {
            (table.name, query): uses for table in review.tables for query, uses in table.queries
        }
        self._siblings: dict[str, list[str]] = defaultdict(list)
        for query in review.queries:
            self._siblings[query.module].append(query.name)

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the text of each page."""
        review = self._review
        yield self._page("index.html", "overview.html", groups=_groups(review), **_overview(review))
        yield self._page("queries/index.html", "queries.html", modules=_by_module(review.queries))
        yield self._page("tables/index.html", "tables.html", schemas=_by_schema(self._whole_tables))
        yield self._page("matrix.html", "matrix.html", groups=_groups(review))
        yield self._page("findings.html", "findings.html", allowances=_allowances(review))
        yield self._page(
            "cache.html", "cache.html", reads=[query for query in review.queries if query.cached]
        )
        if review.changes is not None:
            yield self._page("changes.html", "changes.html", changes=review.changes, severities=SEVERITIES)
        for query in review.queries:
            yield self._page(
                query_path(query.name),
                "query.html",
                query=query,
                lines=self._query_lines(query),
                siblings=self._siblings[query.module],
            )
        for table in review.tables:
            yield self._page(
                table_path(table.name),
                "table.html",
                table=table,
                lines=self._lines(table.definition),
                partitions=[other for other in review.tables if other.parent == table.name],
                siblings=[other.name for other in self._whole_tables if other.schema == table.schema],
            )
        yield self._page("migrations/index.html", "migrations.html")
        for migration in review.migrations:
            yield self._page(
                migration_path(migration.name),
                "migration.html",
                migration=migration,
                lines=self._lines(migration.source),
                rollback=self._lines(migration.rollback),
            )

    def _page(self, path: str, template: str, **content: Any) -> tuple[str, str]:
        root = "../" * path.count("/")
        return path, self._environment.get_template(template).render(
            review=self._review,
            root=root,
            path=path,
            tables=self._tables,
            queries=self._queries,
            query_url=lambda name: root + query_path(name),
            table_url=lambda name: root + table_path(name),
            migration_url=lambda name: root + migration_path(name),
            letters=lambda table, name: self._letters.get((table.name, name), ""),
            changed={change.name for change in self._review.changes.queries} if self._review.changes else (),
            short=lambda commit: commit[:_SHORT_HASH_CHARS],
            **content,
        )

    def _query_lines(self, query: QuerySheet) -> Sequence[Any]:
        """Return the lines of a query without its description, which is above them."""
        from plainsql.review.site.sql_markup import description_lines

        lines = self._lines(
            query.source,
            parameters={parameter.name: f"#p-{parameter.name}" for parameter in query.parameters},
            optional=query.optional_lines,
        )
        return lines[description_lines(query.source) :]

    def _lines(self, text: str, **options: Any) -> Sequence[Any]:
        from plainsql.review.site.sql_markup import marked_lines

        return marked_lines(text, tables=self._tables, link=lambda name: f"../{table_path(name)}", **options)


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise SettingsError(
            "the review needs Jinja2, which is not installed", hint="pip install 'plainsql[review]'"
        ) from error
    return Environment(
        loader=PackageLoader("plainsql.review.site", "templates"),
        # Every name, comment and plan comes from files and databases: nothing of it is markup.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _prose(text: str) -> Markup:
    """Return a comment as paragraphs, with its code as code."""
    from markupsafe import Markup, escape

    def with_code(paragraph: str) -> Markup:
        parts = []
        position = 0
        for match in _CODE.finditer(paragraph):
            parts.append(escape(paragraph[position : match.start()]))
            parts.append(Markup("<code>{}</code>").format(match[1] or match[2]))
            position = match.end()
        parts.append(escape(paragraph[position:]))
        return Markup("").join(parts)

    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text)]
    return Markup("\n").join(Markup("<p>{}</p>").format(with_code(part)) for part in paragraphs if part)


def _bytes(size: int) -> str:
    value = float(size)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError(size)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _cost(number: float) -> str:
    return f"{number:,.2f}" if number < 1000 else f"{number:,.0f}"


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def _by_module(queries: Sequence[QuerySheet]) -> list[tuple[str, list[QuerySheet]]]:
    found: dict[str, list[QuerySheet]] = defaultdict(list)
    for query in queries:
        found[query.module].append(query)
    return sorted(found.items())


def _by_schema(tables: Sequence[TableSheet]) -> list[tuple[str, list[TableSheet]]]:
    found: dict[str, list[TableSheet]] = defaultdict(list)
    for table in tables:
        found[table.schema].append(table)
    return sorted(found.items())


def _groups(review: Review) -> list[tuple[str, list[QuerySheet], list[TableSheet]]]:
    """Return the queries by the first part of their names, each group with the tables that it uses."""
    groups: dict[str, list[QuerySheet]] = defaultdict(list)
    parents = {table.name: table.parent for table in review.tables}
    for query in review.queries:
        groups[query.name.partition(".")[0] if "." in query.name else ""].append(query)
    found = []
    for name, queries in sorted(groups.items()):
        used = {_whole(access.table, parents) for query in queries for access in query.accesses}
        found.append((name, queries, [table for table in review.tables if table.name in used]))
    return found


def _whole(table: str, parents: Mapping[str, str]) -> str:
    """Return the partitioned table that a partition belongs to in the end, and other tables as they are."""
    while parents.get(table):
        table = parents[table]
    return table


def _allowances(review: Review) -> list[tuple[QuerySheet, Any]]:
    return [(query, allowance) for query in review.queries for allowance in query.allowances]


def _overview(review: Review) -> dict[str, Any]:
    """Return the lists that the first page shows."""
    return {
        "unread": [(table, column) for table in review.tables for column in table.unread],
        "unwritten": [
            (table, column)
            for table in review.tables
            for column in table.unwritten
            if not (column.default or column.generated or table.hidden_writers)
        ],
        "unused": [(table, index) for table in review.tables for index in table.unused_indexes],
        "uncalled": [
            query for query in review.queries if not any(not caller.is_test for caller in query.callers)
        ],
        "observed": [
            (name, meaning, found)
            for name, meaning in NAMES.items()
            if (found := [query.name for query in review.queries if query.plans and _has(query.plans, name)])
        ],
        "changes": _recent_commits([*review.queries, *review.migrations]),
    }


def _has(plans: QueryPlanSheet, name: str) -> bool:
    return any(observation.name == name for observation in plans.observations)


def _recent_commits(sheets: Sequence[QuerySheet | MigrationSheet]) -> list[tuple[Any, int]]:
    """Return the newest of the last commits, each with the number of its files."""
    commits: dict[str, tuple[Any, int]] = {}
    for sheet in sheets:
        if sheet.change.commit:
            change, count = commits.get(sheet.change.commit, (sheet.change, 0))
            commits[sheet.change.commit] = (change, count + 1)
    return sorted(commits.values(), key=lambda item: (item[0].date, item[0].commit), reverse=True)[:6]
