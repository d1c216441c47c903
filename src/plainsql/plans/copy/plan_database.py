"""The copy: built in about a second from the scratch database and the statistics, and dropped afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.analysis.scratch_database import connect, copied_database, scratch_server
from plainsql.plans.copy.assumed_sizes import (
    ASSUMED_ROWS,
    PARTIAL_SHARE,
    index_size,
    table_pages,
    tree_height,
)
from plainsql.plans.copy.catalog_of_copy import CopiedIndex, CopiedTable, read_catalog
from plainsql.plans.copy.crafted_pages import (
    GinMetapage,
    write_all_visible,
    write_gin_metapage,
    write_thin_tree,
)
from plainsql.plans.copy.data_folder import data_folder
from plainsql.plans.copy.end_tuples import LEAF_BLOCK, make_end_indexes
from plainsql.plans.copy.extended_restoration import restore_extended
from plainsql.plans.copy.file_stretch import give_like, pages_of, stretch
from plainsql.plans.copy.notes import statistics_notes
from plainsql.plans.copy.page_checksum import PAGE_BYTES
from plainsql.plans.copy.restoration import RelationSize, Restored, restore_sizes, restore_statistics
from plainsql.plans.copy.time_shift import move_times
from plainsql.plans.statistics.production_session import VALUE_FORMATS, set_all
from plainsql.plans.statistics.production_statistics import (
    IndexStatistics,
    ProductionStatistics,
    TableStatistics,
    masked_columns,
)
from plainsql.plans.statistics.statistics_files import read_statistics
from plainsql.plans.statistics.statistics_folder import statistics_folder
from plainsql.schema.choice import schema_source
from plainsql.settings import Project
from plainsql.urls import read_url, write_url

__all__ = ["PlanDatabase", "open_plan_database"]

_HELPER: Final = "plainsql_plans"
"""The schema of the helper tables and of the extension, dropped at the end of the build."""
_SESSION: Final = {
    **VALUE_FORMATS,
    "track_counts": "off",  # autovacuum sees no change, and leaves the tables alone
    "session_replication_role": "replica",
}


@dataclass(frozen=True, slots=True)
class PlanDatabase:
    """A database for ``explain`` alone: it plans as production does, and holds no rows."""

    url: str
    """The URL of the database, on the embedded server."""
    stats: ProductionStatistics | None
    """The statistics that it was built from; None if all sizes are assumed."""
    notes: tuple[str, ...]
    """The limits of the plans, one sentence each: age, assumed and guessed sizes, missing statistics."""
    guessed_indexes: frozenset[str] = frozenset()
    """The indexes that production does not have, as ``schema.index``: their sizes are guessed."""
    assumed_tables: frozenset[str] = frozenset()
    """The tables without statistics, as ``schema.table``: a million rows are assumed."""
    restored: Restored = field(default_factory=Restored)
    """The differences between the statistics and the copy."""

    def notes_of(self, tables: Collection[str]) -> tuple[str, ...]:
        """Return the notes that concern these tables, as ``schema.table``, or the whole copy.

        The guessed indexes are left out.
        """
        notes = statistics_notes(self.stats, self.restored, sorted(self.assumed_tables), (), tables=tables)
        return tuple(notes)

    @property
    def masked_columns(self) -> frozenset[str]:
        """The columns whose texts are placeholders: estimates for ranges and prefixes of texts are wrong."""
        return frozenset() if self.stats is None else masked_columns(self.stats)

    def connect(self, role: str | None = None) -> psycopg.Connection[Any]:
        """Return a new connection in autocommit mode. Statements can be explained, and change nothing.

        Args:
            role: act as this role, with the planner's settings that it has in production.

        Raises ``ConnectError`` if the server cannot be reached.
        """
        connection = connect(self.url)
        if role is not None:
            own = self.stats.production.roles.get(role, {}) if self.stats else {}
            set_all(connection, {**own, "role": role})
        return connection


@contextmanager
def open_plan_database(project: Project, stats: Path | None = None) -> Iterator[PlanDatabase]:
    """Yield a database in which PostgreSQL plans the project's queries as production does.

    It is built on the embedded server and dropped at the end. The next build drops those of killed processes.

    Args:
        project: the project of the schema.
        stats: the folder of production's statistics; by default the one that the setting ``stats`` names.
            Without one, a million rows are assumed in each table.

    Raises ``ConnectError`` if another server is named for scratch databases, ``SettingsError`` if a file of
    statistics cannot be read, and the errors of ``scratch_database``.
    """
    folder = stats or statistics_folder(project)
    found = None if folder is None else read_statistics(folder)
    with ExitStack() as stack:
        _, admin = stack.enter_context(scratch_server(project=project))
        data = data_folder(admin, project)
        url = stack.enter_context(copied_database(schema_source(project), project=project))
        with closing(connect(url)) as connection:
            build = _Build(connection, data, found)
            build.run()
        yield PlanDatabase(
            write_url(read_url(url)),
            found,
            tuple(statistics_notes(found, build.restored, build.assumed, build.guessed)),
            frozenset(build.guessed),
            frozenset(build.assumed),
            build.restored,
        )


@dataclass(slots=True)
class _Build:
    """The state of one build."""

    connection: psycopg.Connection[Any]
    data: Path
    stats: ProductionStatistics | None
    restored: Restored = field(default_factory=Restored)
    assumed: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)

    def run(self) -> None:
        set_all(self.connection, _SESSION)
        self.connection.execute(
            sql.SQL("create schema {0}; create extension pg_buffercache schema {0}").format(
                sql.Identifier(_HELPER)
            )
        )
        tables = read_catalog(self.connection)
        known = self._known()
        if self.stats is not None:
            move_times(self.connection, tables, self.stats.schemas, self.stats.production.taken)
            self.restored = restore_statistics(self.connection, tables, self.stats.schemas)
            self.restored.gone += restore_extended(self.connection, tables, known)
        sizes = self._stretch_tables(tables, known)
        ends = make_end_indexes(self.connection, _HELPER, tables, known)
        found = self._index_sizes(tables, known, sizes)
        paths = {end: self._path_of(end.name) for end in ends}
        self._evict()
        leaves: dict[int, bytes] = {}
        for end, path in paths.items():
            start = LEAF_BLOCK * PAGE_BYTES
            leaves[end.target.oid] = path.read_bytes()[start : start + PAGE_BYTES]
            map_ = self._file(f"{end.table.path}_vm")
            write_all_visible(map_)
            give_like(self._file(end.table.path or ""), map_)
        for index, own in found:
            self._write_index(index, own, leaves.get(index.oid))
        self.connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(_HELPER)))
        self._set_settings()

    def _known(self) -> dict[tuple[str, str], TableStatistics]:
        if self.stats is None:
            return {}
        return {(s, name): table for s, own in self.stats.schemas.items() for name, table in own.items()}

    def _stretch_tables(
        self, tables: list[CopiedTable], known: Mapping[tuple[str, str], TableStatistics]
    ) -> dict[int, int]:
        """Give each table its size; return the pages of each by its oid."""
        sizes: dict[int, int] = {}
        assumed: list[RelationSize] = []
        for table in tables:
            found = known.get((table.schema, table.name))
            if found is not None:
                sizes[table.oid] = found.file_pages
            else:
                self.assumed.append(f"{table.schema}.{table.name}")
                rows = ASSUMED_ROWS // table.partitions
                pages = table_pages(table, rows) if table.path else 0
                size = RelationSize(schema=table.schema, name=table.name, pages=pages, rows=rows)
                size.all_visible = pages
                if table.path is None:
                    size.pages = -1  # as ANALYZE leaves it in a partitioned table
                assumed.append(size)
                sizes[table.oid] = pages
            if table.path is not None:
                stretch(self._file(table.path), sizes[table.oid])
        restore_sizes(self.connection, assumed)
        return sizes

    def _index_sizes(
        self,
        tables: list[CopiedTable],
        known: Mapping[tuple[str, str], TableStatistics],
        sizes: Mapping[int, int],
    ) -> list[tuple[CopiedIndex, IndexStatistics]]:
        """Return the size of each index: production's, or a guess, which is then in the catalog as well."""
        found: list[tuple[CopiedIndex, IndexStatistics]] = []
        guessed: list[RelationSize] = []
        for table in tables:
            own = known.get((table.schema, table.name))
            for index in table.indexes:
                production = own.indexes.get(index.name) if own else None
                if production is not None:
                    found.append((index, production))
                    continue
                rows = self._rows_of(table, index, own)
                size = index_size(index, rows, sizes[table.oid])
                if own is not None:
                    self.guessed.append(f"{index.schema}.{index.name}")
                guessed.append(
                    RelationSize(schema=index.schema, name=index.name, pages=size.pages, rows=size.rows)
                )
                guess = IndexStatistics(method=index.method, file_pages=size.pages, height=size.height)
                found.append((index, guess))
        restore_sizes(self.connection, guessed)
        return found

    def _rows_of(self, table: CopiedTable, index: CopiedIndex, own: TableStatistics | None) -> float:
        """Return the assumed rows of an index."""
        if own is None:
            return ASSUMED_ROWS // table.partitions * (PARTIAL_SHARE if index.is_partial else 1)
        if not index.is_partial:
            return max(0.0, own.rows)
        source = sql.Identifier(table.schema, table.name)
        query = sql.SQL("explain (format json) select from only {} where {}")
        plan = self.connection.execute(query.format(source, sql.SQL(index.condition))).fetchone()
        return float(plan[0][0]["Plan"]["Plan Rows"]) if plan else 0.0

    def _write_index(self, index: CopiedIndex, own: IndexStatistics, leaf: bytes | None) -> None:
        path = self._file(index.path)
        stretch(path, own.file_pages)
        pages = max(own.file_pages, pages_of(path))
        if index.method == "btree":
            height = own.height if own.height is not None else tree_height(pages)
            # A tree of one page has a metapage only.
            if pages >= 2:
                write_thin_tree(path, min(height, pages - 2), leaf)
        elif index.method == "gin" and own.gin is not None:
            write_gin_metapage(path, GinMetapage(*msgspec.structs.astuple(own.gin)))

    def _path_of(self, name: str) -> Path:
        query = "select pg_catalog.pg_relation_filepath(%s::regclass)"
        found = self.connection.execute(query, [f'"{_HELPER}"."{name}"']).fetchone()
        return self._file(found[0] if found else "")

    def _file(self, path: str) -> Path:
        return self.data / path

    def _evict(self) -> None:
        """Have no page of this database in the server's buffers: the server would not see what we write."""
        view, function = (
            sql.Identifier(_HELPER, "pg_buffercache"),
            sql.Identifier(_HELPER, "pg_buffercache_evict"),
        )
        own = (
            "(select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())"
        )
        evict = "select pg_catalog.count({}(b.bufferid)) from {} as b where b.reldatabase = "
        self.connection.execute(sql.SQL(evict + own).format(function, view))

    def _set_settings(self) -> None:
        """Give new sessions the planner's settings of production, and let them change nothing."""
        name = sql.Identifier(self.connection.info.dbname)
        settings = dict(self.stats.production.settings) if self.stats else {}
        current = dict(
            self.connection.execute(
                "select s.name, pg_catalog.current_setting(s.name) from pg_catalog.pg_settings as s"
                " where s.name = any(%s)",
                [[*settings]],
            ).fetchall()
        )
        changed = {key: value for key, value in settings.items() if current.get(key, value) != value}
        changed |= {
            key: value for key, value in settings.items() if "." in key
        }  # of a library: not loaded yet
        for key, value in {**changed, "default_transaction_read_only": "on"}.items():
            try:
                self.connection.execute(
                    sql.SQL("alter database {} set {} = {}").format(
                        name, sql.Identifier(key), sql.Literal(value)
                    )
                )
            except (psycopg.DataError, psycopg.ProgrammingError) as error:
                self.restored.refused.append(f"{key}: {error.diag.message_primary or error}")
