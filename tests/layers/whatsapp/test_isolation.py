"""No tenant sees another, in any query, as the application's role."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from asyncpg.exceptions import InvalidTextRepresentationError

from plainsql.layers.whatsapp import contacts
from plainsql.query import Args, one
from tests.layers.isolation import Isolation, open_isolation, queries_of
from tests.layers.whatsapp.tenants import ARGUMENTS, WHATSAPP, given

TABLES = sorted({name.partition(".")[0] for name in ARGUMENTS})


@pytest.fixture
async def isolation(plainsql_fresh_database_url: str) -> AsyncGenerator[Isolation]:
    async with open_isolation(plainsql_fresh_database_url, WHATSAPP) as isolation:
        yield isolation


async def test_every_query_of_the_layer_is_called(isolation: Isolation) -> None:
    isolation.check_every_query_has_arguments()
    assert len(isolation.queries) > 60


async def test_the_policies_alone_keep_tenants_apart(isolation: Isolation) -> None:
    isolation.check_policies()
    await isolation.check_tables()


async def test_the_application_is_granted_no_way_around_them(isolation: Isolation) -> None:
    isolation.check_privileges()


@pytest.mark.parametrize("module", TABLES)
async def test_no_query_reads_changes_counts_or_waits_for_another_tenants_rows(
    isolation: Isolation, module: str
) -> None:
    names = [name for name in queries_of("whatsapp") if name.startswith(f"{module}.")]
    assert names
    for name in names:
        await isolation.check_query(name)


async def test_a_tenant_that_is_no_uuid_is_an_error(isolation: Isolation) -> None:
    with pytest.raises(InvalidTextRepresentationError):
        await contacts.list(isolation.db.tenant("everybody"))


# -- Each of these defects fails a check

BREAKS = {
    "a dropped policy": "drop policy {0}_of_tenant on whatsapp.{0}",
    "a policy for all": "create policy everybody on whatsapp.{0} using (true) with check (true)",
    "policies switched off": "alter table whatsapp.{0} disable row level security",
}


@pytest.mark.parametrize("broken", BREAKS)
async def test_it_is_noticed_on_every_table(isolation: Isolation, broken: str) -> None:
    await isolation.check_tables()
    # The tables are checked in order: the last one broken is the first one found.
    for table in reversed(isolation.tables):
        isolation.admin.execute(BREAKS[broken].format(table).encode())
        with pytest.raises(AssertionError, match=f"^{table}: "):
            await isolation.check_tables()


@one[int](
    "whatsapp.contacts.count",
    "count.sql",
    1,
    "select count(*) from whatsapp.contacts",
    read_only=True,
    session_clean=True,
)
def count_of_all() -> Args:
    return ()


async def test_a_query_without_the_tenant_fails_the_checks_without_policies(
    isolation: Isolation,
) -> None:
    isolation.queries["contacts.count"] = count_of_all
    isolation.layer = replace(isolation.layer, arguments={"contacts.count": given()})
    await isolation.check_query("contacts.count")
    isolation.admin.execute(BREAKS["policies switched off"].format("contacts").encode())
    with pytest.raises(AssertionError, match=r"contacts\.count: 2 alone, 4 beside another tenant"):
        await isolation.check_query("contacts.count")
    with pytest.raises(AssertionError, match=r"contacts\.count: without a tenant it found"):
        await isolation.check_needs_a_tenant("contacts.count")


async def test_policies_that_do_not_bind_the_owner_are_noticed(isolation: Isolation) -> None:
    isolation.admin.execute(b"alter table whatsapp.media_files no force row level security")
    with pytest.raises(AssertionError, match="media_files: row-level security is not enabled and forced"):
        isolation.check_policies()


async def test_a_role_that_passes_by_policies_is_noticed(isolation: Isolation) -> None:
    with isolation.admin.transaction(force_rollback=True):
        isolation.admin.execute(b"grant truncate on whatsapp.messages to whatsapp_app")
        with pytest.raises(AssertionError, match="whatsapp_app may truncate messages"):
            isolation.check_privileges()


async def test_a_key_that_tenants_share_is_noticed(isolation: Isolation) -> None:
    # It allows no read, but reveals that another tenant has the number, and makes one wait for the other.
    isolation.admin.execute(
        b"create unique index on whatsapp.channels (phone_number_id) where phone_number_id = '109'"
    )
    with pytest.raises(AssertionError, match=r"channels\.create: waits for another tenant"):
        await isolation.check_query("channels.create")
