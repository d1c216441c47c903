"""The application's roles of layers without tenants have the least grants with which all queries run."""

from __future__ import annotations

from pathlib import Path

import psycopg

from plainsql import migrate
from plainsql.grants.held_privileges import compare_grants
from plainsql.grants.least_grants import least_grants
from plainsql.grants.needed_privileges import needed_privileges
from plainsql.grants.project_grants import query_texts
from plainsql.layers.files import sql_folder

MIGRATIONS = Path(__file__).parents[2] / "migrations"
LAYERS = ("marketplace", "realty")


def test_a_role_lacks_nothing_and_has_nothing_that_no_query_needs(fresh_database_url: str) -> None:
    migrate.apply(fresh_database_url, MIGRATIONS, layers=LAYERS)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        for layer in LAYERS:
            role = f"{layer}_app"
            needs = needed_privileges(connection, query_texts(sql_folder(layer)), role=role)
            found = compare_grants(connection, least_grants(needs, role), role)
            assert (found.missing, found.wider, found.powers, found.absent) == ((), (), (), ())
            assert not found.is_superuser
            (login,) = connection.execute(
                "select r.rolcanlogin from pg_roles as r where r.rolname = %s", (role,)
            ).fetchall()
            assert login == (False,)
