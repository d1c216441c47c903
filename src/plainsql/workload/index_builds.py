"""The indexes of a database, and the progress of those that are being built, on PostgreSQL 14 to 18."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import psycopg

__all__ = ["EndedBuild", "Index", "IndexBuild", "ended_builds", "read_builds", "read_indexes"]

# Without pg_read_all_stats only the process and the database of another role's build are visible. The name of
# an index that is not committed yet is not visible; a plain CREATE INDEX reports no index.
_BUILDS: Final = """
select
  p.pid,
  p.relid::bigint,
  nullif(p.index_relid::bigint, 0),
  case when t.oid is not null then format('%I.%I', tn.nspname, t.relname) end,
  case when x.oid is not null then format('%I.%I', xn.nspname, x.relname) end,
  tn.nspname,
  lower(p.command),
  p.phase,
  p.lockers_done,
  p.lockers_total,
  nullif(p.current_locker_pid, 0)::integer,
  p.blocks_done,
  p.blocks_total,
  p.tuples_done,
  p.tuples_total,
  extract(epoch from clock_timestamp() - a.query_start)::float8
from pg_stat_progress_create_index as p
left join pg_stat_activity as a on a.pid = p.pid
left join pg_class as t on t.oid = p.relid
left join pg_namespace as tn on tn.oid = t.relnamespace
left join pg_class as x on x.oid = p.index_relid
left join pg_namespace as xn on xn.oid = x.relnamespace
where p.datname = current_database()
order by p.pid
"""

_INDEXES: Final = """
with
-- A plain REINDEX locks its index until it commits, and the function of the size would wait for that.
locked as materialized (
  select l.relation
  from pg_locks as l
  where l.mode = 'AccessExclusiveLock' and l.granted and l.locktype = 'relation'
)
select
  i.indexrelid::bigint,
  i.indrelid::bigint,
  n.nspname,
  t.relname,
  x.relname,
  m.amname,
  case
    when exists (select from locked as l where l.relation = x.oid)
      then x.relpages * current_setting('block_size')::bigint
    -- Null if another session has dropped it meanwhile.
    else coalesce(pg_relation_size(x.oid), 0)
  end,
  coalesce(pg_stat_get_numscans(x.oid), 0),
  i.indisvalid,
  pg_get_indexdef(x.oid),
  format('%I.%I', n.nspname, x.relname),
  pg_relation_filenode(x.oid)
from pg_index as i
inner join pg_class as x on x.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
inner join pg_namespace as n on n.oid = t.relnamespace
inner join pg_am as m on m.oid = x.relam
where
  x.relkind = 'i'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, t.relname, x.relname
"""

Unit = Literal["blocks", "rows", "transactions"]


class IndexBuild(msgspec.Struct, frozen=True, kw_only=True):
    """One ``create index`` or ``reindex`` that runs now."""

    pid: int
    table: str | None
    """``schema.table``; None if this role may not see it."""
    index: str | None
    """``schema.index``; None if its name is not visible: always for a plain ``create index``."""
    command: str | None
    phase: str | None
    done: int
    total: int
    """The work of the phase; 0 if it is not known."""
    unit: Unit | None
    """The unit of ``done`` and ``total``: a waiting phase waits for transactions of other sessions."""
    waits_for: int | None
    """The process of the session that the build waits for."""
    elapsed_s: float | None
    hidden: bool
    """True if this role sees only that there is a build."""
    table_oid: int | None = None
    index_oid: int | None = None
    schema: str | None = None

    @property
    def name(self) -> str:
        """The index, else its table, else its process."""
        if self.index is not None:
            return self.index
        return f"an index of {self.table}" if self.table is not None else f"process {self.pid}"

    @property
    def activity(self) -> str:
        """The phase, and what it waits for."""
        if self.hidden:
            return "hidden"
        waits = f", waits for process {self.waits_for}" if self.waits_for is not None else ""
        return f"{self.phase}{waits}"

    @property
    def line(self) -> str:
        """The build in one line: its name, phase, progress and time."""
        parts = [f"{self.name}: {self.activity}"]
        if (part := self.fraction) is not None:
            parts.append(f"{part:.0%} ({self.done:,} of {self.total:,} {self.unit})")
        if self.elapsed_s is not None and not self.hidden:
            parts.append(f"{self.elapsed_s:.1f} s")
        return ", ".join(parts)

    @property
    def fraction(self) -> float | None:
        """The part of the phase that is done, 0 to 1, if it is known."""
        return min(self.done / self.total, 1.0) if self.total else None


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """One index of a table."""

    schema: str
    table: str
    index: str
    method: str
    bytes: int
    scans: int
    """The number of scans since the statistics were reset."""
    state: Literal["valid", "building", "invalid", "unknown"]
    """``invalid``: its build has failed. ``unknown``: the same, or a hidden build is building it."""
    definition: str | None
    name: str
    """``schema.index``, quoted as SQL needs it."""
    oid: int
    table_oid: int
    valid: bool
    file: int | None
    """The number of its file, which another build changes."""


class EndedBuild(msgspec.Struct, frozen=True, kw_only=True):
    """One build that does not run any more."""

    pid: int
    table: str | None
    index: str | None
    result: Literal["built", "invalid", "unknown"]
    """``unknown``: no new index is visible; it was rolled back, or its transaction is still open."""

    @property
    def name(self) -> str:
        """The index, else its table, else its process."""
        if self.index is not None:
            return self.index
        return f"an index of {self.table}" if self.table is not None else f"process {self.pid}"


def read_builds(
    connection: psycopg.Connection[Any], schemas: Sequence[str] | None = None
) -> list[IndexBuild]:
    """Return the builds that run in the connected database, those that are hidden from the role as well.

    Args:
        connection: in autocommit mode: the server keeps what it has shown until the transaction ends.
        schemas: only the builds on tables of these, and hidden ones, which may be such; all for None.
    """
    builds = [_build(row) for row in connection.execute(_BUILDS)]
    return [each for each in builds if schemas is None or each.hidden or each.schema in schemas]


def read_indexes(connection: psycopg.Connection[Any], builds: Iterable[IndexBuild]) -> list[Index]:
    """Return the indexes of the connected database by name; ``builds`` are those that run."""
    running = [*builds]
    building = {build.index_oid for build in running}
    hidden = any(build.hidden for build in running)
    found = []
    for row in connection.execute(_INDEXES):
        oid, table_oid, schema, table, index, method, size, scans, valid, definition, name, file = row
        is_building = row[0] in building
        unfinished: Literal["invalid", "unknown"] = "unknown" if hidden else "invalid"
        found.append(
            Index(
                schema=schema,
                table=table,
                index=index,
                method=method,
                bytes=size,
                scans=scans,
                state="building" if is_building else "valid" if valid else unfinished,
                definition=definition,
                name=name,
                oid=oid,
                table_oid=table_oid,
                valid=valid,
                file=file,
            )
        )
    return found


def ended_builds(
    ended: Sequence[IndexBuild], before: Sequence[Index], now: Sequence[Index]
) -> list[EndedBuild]:
    """Return the results of builds that do not run any more, by the indexes before they ended, and now."""
    earlier = {index.oid: index for index in before}
    results = []
    for build in ended:
        found = next((each for each in now if _is_of(each, build, earlier)), None)
        result: Literal["built", "invalid", "unknown"] = "unknown"
        if found is not None:
            old = earlier.get(found.oid)
            if not found.valid:
                result = "invalid"
            elif old is None or not old.valid or old.file != found.file:
                result = "built"
            earlier[found.oid] = found
        name = found.name if found is not None else build.index
        results.append(EndedBuild(pid=build.pid, table=build.table, index=name, result=result))
    return results


def _is_of(index: Index, build: IndexBuild, earlier: Mapping[int, Index]) -> bool:
    """Report whether a build has built an index; of a plain ``create index`` only the table is known."""
    if build.index_oid is not None:
        return index.oid == build.index_oid
    return index.table_oid == build.table_oid and index.oid not in earlier


def _build(row: Sequence[Any]) -> IndexBuild:
    (pid, table_oid, index_oid, table, index, schema, command, phase, *numbers, elapsed_s) = row
    lockers_done, lockers_total, locker, blocks_done, blocks_total, rows_done, rows_total = numbers
    done, total = 0, 0
    unit: Unit | None = None
    if phase is not None and phase.startswith("waiting"):
        done, total, unit = lockers_done, lockers_total, "transactions"
    elif rows_total:  # first: IVFFlat reports the blocks of the phase before as well
        done, total, unit = rows_done, rows_total, "rows"
    elif blocks_total:
        done, total, unit = blocks_done, blocks_total, "blocks"
    return IndexBuild(
        pid=pid,
        table=table,
        index=index,
        command=command,
        phase=phase,
        done=done or 0,
        total=total or 0,
        unit=unit,
        waits_for=locker if unit == "transactions" else None,
        elapsed_s=elapsed_s,
        hidden=table_oid is None,
        table_oid=table_oid,
        index_oid=index_oid,
        schema=schema,
    )
