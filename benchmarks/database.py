"""The one server of a run, with the data that every contender finds there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from benchmarks.data import DIMENSIONS, NOTES_PER_TENANT, PASSAGES, TENANTS, VISITED, make_passages
from plainsql import embedded

__all__ = ["SETTINGS", "Place", "open_database"]

# Contenders are compared, not disks: a scratch server has no fsync. What would make noise of its own is off.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "300",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
}

_ROLE = "bench_app"
"""Not a superuser, not an owner: row-level security holds for every contender."""

_FILL = f"""
create role {_ROLE} login;
grant usage on schema bench to {_ROLE};
grant select, insert, update, truncate on all tables in schema bench to {_ROLE};
insert into bench.leads (id, name, email, score, created_at)
select
  n,
  'Lead ' || n,
  'lead' || n || '@example.com',
  n % 1000,
  timestamptz '2026-01-01 00:00+00' + n * interval '1 second'
from generate_series(1, :'leads'::integer) as n;
insert into bench.notes (tenant_id, id, title, body, created_at)
select
  ('00000000-0000-0000-0000-' || lpad(to_hex(t), 12, '0'))::uuid,
  n,
  'Note ' || n || ' of tenant ' || t,
  repeat('text ', 20),
  timestamptz '2026-01-01 00:00+00' + n * interval '1 minute'
from generate_series(1, {len(TENANTS)}) as t
cross join generate_series(1, {NOTES_PER_TENANT}) as n;
insert into bench.visits (id, visits)
select n, 0 from generate_series(1, least({VISITED}, :'leads'::integer)) as n;
insert into bench.vectors (id, embedding)
select n, (
  select array_agg((n * 31 + k * 17) % 1024 / 1024.0 order by k) from generate_series(1, {DIMENSIONS}) as k
)::real[]::public.vector
from generate_series(1, :'vectors'::integer) as n;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The database of the benchmarks."""

    url: str
    """For the application's role."""
    host: str
    """The folder of the Unix socket."""
    port: int
    user: str
    database: str
    leads: int
    """The number of rows of bench.leads; their ids are 1..leads."""
    vectors: int
    """The number of rows of bench.vectors."""
    version: str
    pid: int
    """The id of the process that starts all other processes of the server."""


@contextmanager
def open_database(leads: int, *, passages: int = PASSAGES, vectors: int = 100) -> Iterator[Place]:
    """Start the server and fill it: 1,000,000 leads take some ten seconds."""
    with embedded.start(scratch=True, settings=SETTINGS) as server:
        server.create_database("bench")
        for migration in sorted(
            (entry for entry in files("benchmarks").joinpath("migrations").iterdir()),
            key=lambda entry: entry.name,
        ):
            if migration.name.endswith(".sql") and not migration.name.endswith(".rollback.sql"):
                server.execute(migration.read_text(encoding="utf-8"), "bench")
        server.execute(_FILL, "bench", leads=str(leads), vectors=str(vectors))
        _fill_passages(server.url("bench"), min(leads, passages))
        server.execute("vacuum (analyze, freeze)", "bench")
        yield Place(
            url=server.url("bench", _ROLE),
            host=str(server.socket.parent),
            port=int(server.socket.name.rpartition(".")[2]),
            user=_ROLE,
            database="bench",
            leads=leads,
            vectors=vectors,
            version=server.version,
            pid=server.pid or 0,
        )


def _fill_passages(url: str, count: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy("copy bench.passages from stdin") as copy:
            for row in make_passages(count):
                copy.write_row(row)
        # After the rows: an index that grows with them takes several times as long.
        connection.execute("set maintenance_work_mem = '256MB'")
        connection.execute("create index on bench.passages using hnsw (embedding vector_cosine_ops)")
