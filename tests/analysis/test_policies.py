"""The settings that a table's policies require before they show any row."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser

_OWN = "tenant = (select nullif(current_setting('app.jwt_tenant', true), ''))"


def asked(connection: psycopg.Connection[Any], *policies: str, enabled: bool = True) -> dict[str, Any]:
    """Return the settings that a table with these policies requires."""
    connection.execute("drop table if exists letter")
    connection.execute("create table letter (tenant text not null, public boolean not null)")
    if enabled:
        connection.execute("alter table letter enable row level security")
    for number, policy in enumerate(policies):
        connection.execute(f"create policy p{number} on letter {policy}".encode())
    with Analyser(connection) as analyser:
        return dict(analyser.analyse("select l.tenant from letter as l").settings)


@pytest.mark.parametrize(
    ("policies", "settings"),
    [
        ([f"using ({_OWN})"], ("app.jwt_tenant",)),
        ([f"for select using ({_OWN})", f"for insert with check ({_OWN})"], ("app.jwt_tenant",)),
        (
            [f"using ({_OWN})", "using (current_setting('app.region', true) = 'eu')"],
            ("app.jwt_tenant", "app.region"),
        ),
        (["using (true)", f"as restrictive using ({_OWN})"], ("app.jwt_tenant",)),
        ([f"using ({_OWN})", "to pg_monitor using (true)"], ("app.jwt_tenant",)),
    ],
)
def test_tables_that_require_a_setting_are_found(
    connection: psycopg.Connection[Any], policies: list[str], settings: tuple[str, ...]
) -> None:
    assert asked(connection, *policies) == {"public.letter": settings}


@pytest.mark.parametrize(
    "policies",
    [
        [f"using ({_OWN})", "using (public)"],
        ["using (tenant = current_user)"],
        [],
    ],
)
def test_tables_that_may_show_something_without_one_do_not(
    connection: psycopg.Connection[Any], policies: list[str]
) -> None:
    assert asked(connection, *policies) == {}


def test_policies_that_are_not_enabled_require_nothing(connection: psycopg.Connection[Any]) -> None:
    assert asked(connection, f"using ({_OWN})", enabled=False) == {}
