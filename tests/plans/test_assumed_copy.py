"""The copy of a project without statistics: a million rows in each table, read-only, dropped at the end."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from plainsql.analysis.scratch_database import scratch_database
from plainsql.analysis.scratch_records import OWN_PREFIX
from plainsql.embedded import EmbeddedServer
from plainsql.errors import ConnectError, SettingsError
from plainsql.plans.copy import PlanDatabase, open_plan_database
from plainsql.plans.explain.explained_query import explain_statement
from plainsql.schema.choice import schema_source
from plainsql.settings import Project
from plainsql.statements import parse
from tests.plans.conftest import MakeProject

ROLE = f"plans_{secrets.token_hex(4)}"
"""A role of the whole server, which can be created only once."""

SCHEMA = {
    "migrations/0001_shop.sql": f"""
create role {ROLE};
create table orders (
  id bigint primary key, customer text not null, placed timestamptz not null, note varchar(20), tags text[]
);
create index orders_customer_idx on orders (customer, placed desc) include (note);
create index orders_open_idx on orders (placed) where note is null;
create index orders_tags_idx on orders using gin (tags);
create index orders_placed_brin on orders using brin (placed);
create table events (at timestamptz not null, kind text) partition by range (at);
create table events_1 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2 partition of events default;
create table few (id int primary key);
insert into few values (1), (2);
grant select on few to {ROLE};
create table secure (id bigint primary key, tenant_id text not null, region text not null);
alter table secure enable row level security;
create policy own on secure using (tenant_id = current_setting('app.tenant', true));
create table regional (id bigint primary key, tenant_id text not null, region text not null);
alter table regional enable row level security;
create policy own on regional using (
  tenant_id = current_setting('app.tenant', true) and region = current_setting('app.region', true)
);
""",
    "migrations/0001_shop.rollback.sql": (
        f"drop table regional, secure, few, events, orders; drop role {ROLE};"
    ),
}


@pytest.fixture(scope="module")
def project(make_project: MakeProject) -> Project:
    return make_project(SCHEMA)


@pytest.fixture(scope="module")
def copy(project: Project) -> Generator[PlanDatabase]:
    with open_plan_database(project) as found:
        yield found


def plan(connection: psycopg.Connection[Any], statement: str) -> dict[str, Any]:
    row = connection.execute(f"explain (format json) {statement}".encode()).fetchone()
    assert row is not None
    found = row[0][0]["Plan"]
    assert isinstance(found, dict)
    return found


def database_of(url: str) -> str:
    return str(conninfo_to_dict(url.strip())["dbname"])


def own_databases(server: EmbeddedServer) -> set[str]:
    query = "select datname::text from pg_database where starts_with(datname, %s)"
    with closing(psycopg.connect(server.url())) as connection:
        return {name for (name,) in connection.execute(query, [OWN_PREFIX]).fetchall()}


def test_without_statistics_each_table_has_a_million_rows(copy: PlanDatabase) -> None:
    assert copy.stats is None
    assert copy.notes == (
        "no statistics of production: 1,000,000 rows are assumed in each table (plainsql stats pull)",
    )
    assert copy.assumed_tables >= {"public.orders", "public.events_1", "public.few"}
    with closing(copy.connect()) as connection:
        assert plan(connection, "select * from orders")["Plan Rows"] == 1_000_000
        assert plan(connection, "select * from events")["Plan Rows"] == 1_000_000
        assert plan(connection, "select * from few")["Plan Rows"] == 1_000_000
        by_key = plan(connection, "select * from orders where id = 1")
        # Two levels above the leaves.
        assert (by_key["Index Name"], by_key["Startup Cost"], by_key["Plan Rows"]) == ("orders_pkey", 0.42, 1)
        newest = plan(connection, "select * from orders where customer = 'x' order by placed desc limit 3")
        assert newest["Plans"][0]["Index Name"] == "orders_customer_idx"
        generic = plan(connection, "insert into orders (id, customer, placed) values (1, 'x', now())")
        assert generic["Node Type"] == "ModifyTable"


def test_the_copy_is_changed_by_no_statement(copy: PlanDatabase) -> None:
    with closing(copy.connect()) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("insert into few values (3)")
        counted = (
            "select count(*) from pg_stat_all_tables where n_mod_since_analyze > 0 and schemaname = 'public'"
        )
        assert connection.execute(counted).fetchone() == (0,)
        left = "select count(*) from pg_namespace where nspname like 'plainsql%'"
        assert connection.execute(left).fetchone() == (0,)


def test_the_written_pages_are_valid_for_postgresql(copy: PlanDatabase) -> None:
    with closing(copy.connect()) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute("create extension amcheck; create extension pageinspect")
        trees = connection.execute(
            """
            select bt_index_check(c.oid), (bt_metap(c.relname)).fastlevel from pg_class as c
            where c.relname ~ '^(orders|few)' and c.relkind = 'i' and c.relam = 403
            """
        ).fetchall()
        assert len(trees) == 4
        assert {height for _, height in trees} >= {2}
        pages = connection.execute(
            """
            select page_checksum(p.page, b), (page_header(p.page)).checksum
            from pg_class as c, generate_series(0, 3) as b, get_raw_page(c.relname, b) as p (page)
            where c.relname ~ '^(orders|few)' and c.relkind = 'i' and c.relam = 403
            """
        ).fetchall()
        assert len(pages) == 16
        assert all(checksum == expected for expected, checksum in pages)


def test_a_copy_is_made_while_the_scratch_database_is_in_use(project: Project, copy: PlanDatabase) -> None:
    with (
        scratch_database(schema_source(project), project=project),
        open_plan_database(project) as another,
        closing(another.connect(ROLE)) as connection,
    ):
        assert another.url != copy.url
        assert plan(connection, "select * from few")["Plan Rows"] == 1_000_000
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            plan(connection, "select * from orders")


def test_a_copy_is_dropped_at_its_end_and_after_a_kill(server: EmbeddedServer, project: Project) -> None:
    before = own_databases(server)
    with open_plan_database(project) as copy:
        name = database_of(copy.url)
        assert own_databases(server) - before >= {name}
    assert name not in own_databases(server)
    program = """
import sys
from pathlib import Path
from plainsql.plans.copy import open_plan_database
from plainsql.settings import Project
with open_plan_database(Project.load(Path(sys.argv[1]))) as copy:
    print(copy.url, flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", program, str(project.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        name = database_of(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
    assert name in own_databases(server)
    with open_plan_database(project):
        assert name not in own_databases(server)


def test_a_copy_needs_the_embedded_server(
    server: EmbeddedServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(psycopg.connect(server.url(), autocommit=True)) as admin:
        # Such a role does not see the server's folder, as that of a server on another machine.
        admin.execute("drop role if exists plans_stranger; create role plans_stranger login createdb")
        monkeypatch.setenv("PLAINSQL_SCRATCH_URL", server.url(user="plans_stranger"))
        before = own_databases(server)
        with pytest.raises(ConnectError) as caught, open_plan_database(project):
            pass
        assert str(caught.value) == (
            "the copy for plans needs the embedded server: its files are written\n"
            "DETAIL: PLAINSQL_SCRATCH_URL names another server\n"
            "HINT: leave out PLAINSQL_SCRATCH_URL"
        )
        assert own_databases(server) <= before
        scratch = admin.execute(
            "select datname from pg_database where datdba = 'plans_stranger'::regrole"
        ).fetchall()
        for (name,) in scratch:
            admin.execute(f'drop database "{name}"'.encode())
        admin.execute("drop role plans_stranger")


def test_a_named_folder_of_statistics_must_exist(project: Project) -> None:
    (project.root / "pyproject.toml").write_text('[tool.plainsql]\nstats = "production"\n')
    try:
        with pytest.raises(SettingsError) as caught, open_plan_database(Project.load(project.root)):
            pass
    finally:
        (project.root / "pyproject.toml").write_text("[tool.plainsql]\n")
    assert "there is no folder 'production'\nHINT: write it: plainsql stats pull" in str(caught.value)


def test_row_security_is_planned_when_no_role_has_the_rights(copy: PlanDatabase) -> None:
    secure, regional = (
        parse(
            f"-- returns: many value\nselect s.id from {table} as s limit :limit\n", name="it", path="it.sql"
        )
        for table in ("secure", "regional")
    )
    with closing(copy.connect()) as connection:
        found = None
        for statement in (secure, secure, regional):
            found = explain_statement(connection, statement, tenant={"app.tenant": "ten3"}, own=True)
            assert found.plans.role == "a role with row-level security"
            generic = found.plans.variants[0].generic
            assert "tenant_id = " in " ".join(
                each.text for node in generic.walk() for each in node.conditions
            )
        assert found is not None
        assert found.plans.notes[-1] == "the policies read app.region as well, which these plans leave unset"
        assert explain_statement(connection, secure, own=True).plans.settings == {"app.tenant": "text"}
        with pytest.raises(
            SettingsError, match=r"^--tenant: the policies read app\.tenant, and .* app\.jwt_"
        ) as e:
            explain_statement(
                connection, secure, tenant={"app.jwt_tenant": "3", "app.jwt_user": ""}, own=True
            )
        assert e.value.hint == 'name the setting in [tool.plainsql]: tenant_setting = "app.tenant"'
        with pytest.raises(
            SettingsError, match=r"^--role: the copy has no role nobody: .*\nHINT: .* --database"
        ):
            explain_statement(connection, secure, role="nobody", own=True)
        roles = "select r.rolname::text from pg_roles as r where starts_with(r.rolname, 'plainsql_plans')"
        assert connection.execute(roles).fetchall() == []
        assert connection.execute("show transaction_read_only").fetchone() == ("on",)
