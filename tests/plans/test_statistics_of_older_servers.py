"""Statistics of PostgreSQL 14 to 17: the heights are right, and the copy plans with the same indexes.

``PLAINSQL_OTHER_SERVERS`` and ``PLAINSQL_OLD_SERVERS`` hold URLs of servers, separated by blanks.
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from plainsql.plans.copy import open_plan_database
from plainsql.plans.statistics.statistics_files import write_statistics
from plainsql.plans.statistics.statistics_pull import pull_statistics
from tests.plans import production
from tests.plans.conftest import MakeProject

SERVERS = " ".join(
    os.environ.get(name, "") for name in ("PLAINSQL_OTHER_SERVERS", "PLAINSQL_OLD_SERVERS")
).split()


def indexes(plan: dict[str, Any]) -> set[str]:
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    return found.union(*(indexes(each) for each in plan.get("Plans", ())))


@pytest.mark.skipif(
    not SERVERS, reason="set PLAINSQL_OLD_SERVERS and PLAINSQL_OTHER_SERVERS to URLs of servers"
)
@pytest.mark.parametrize("server_url", SERVERS)
def test_an_older_server_has_its_plans_on_the_copy(
    server_url: str, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(
        {
            "migrations/0001_crm.sql": production.MIGRATION,
            "migrations/0001_crm.rollback.sql": production.ROLLBACK,
        }
    )
    name = f"plans_{secrets.token_hex(4)}"
    with closing(psycopg.connect(server_url, autocommit=True)) as admin:
        admin.execute(f"create database {name}".encode())
        try:
            url = make_conninfo(server_url, dbname=name)
            production.create(url)
            found = pull_statistics(url, with_values=True)
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                expected = production.plans_of(connection)
                query = """
                select c.relname, (bt_metap(c.oid::regclass::text)).fastlevel from pg_class as c
                where c.relnamespace = 'crm'::regnamespace and c.relkind = 'i' and c.relam = 403
                """
                heights: dict[str, int] = dict(connection.execute(query).fetchall())
        finally:
            admin.execute(f"drop database {name} with (force)".encode())
    read = {
        name: index.height
        for table in found.schemas["crm"].values()
        for name, index in table.indexes.items()
        if index.method == "btree"
    }
    assert read == heights
    write_statistics(tmp_path, found)
    with open_plan_database(project, tmp_path) as copy, closing(copy.connect()) as connection:
        plans = production.plans_of(connection)
    assert any(f"production runs {found.production.server}" in note for note in copy.notes)
    other = [name for name in expected if indexes(plans[name]) != indexes(expected[name])]
    # The planner of 18 differs in a few.
    assert len(other) <= len(expected) // 10, other
