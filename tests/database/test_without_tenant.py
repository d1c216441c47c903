"""A call without a tenant on tables that row-level security closes is refused, with the reason."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import TenantError
from plainsql.query import Args, many
from tests import shop


@many[int](
    "t.letters",
    "t.sql",
    1,
    "select n from shop.letters order by n",
    read_only=True,
    session_clean=True,
    row_security={"shop.letters": ("app.jwt_tenant",)},
)
def letters() -> Args:
    return ()


@many[int](
    "t.others",
    "t.sql",
    1,
    "select n from shop.letters order by n",
    read_only=True,
    session_clean=True,
    row_security={"shop.letters": ("app.region",)},
)
def by_another_setting() -> Args:
    return ()


async def test_it_is_refused_with_the_table_the_setting_and_what_to_do(tenant_db: plainsql.Database) -> None:
    with pytest.raises(TenantError) as raised:
        await letters(tenant_db)
    assert str(raised.value) == (
        "t.letters: no tenant is set, and row-level security lets nothing of shop.letters through\n"
        "DETAIL: its policies read the setting 'app.jwt_tenant'\n"
        "HINT: call it on db.tenant(tenant_id), or on a transaction of that"
    )
    assert await letters(tenant_db.tenant("a")) == [1]


async def test_every_way_to_call_is_refused(tenant_db: plainsql.Database) -> None:
    with pytest.raises(TenantError):
        await letters.batch(tenant_db, [{}])
    with pytest.raises(TenantError):
        await letters.execute_many(tenant_db, [{}])
    with pytest.raises(TenantError):
        _ = [row async for row in letters.stream(tenant_db)]
    with pytest.raises(TenantError):
        await tenant_db.copy_out(letters, lambda _: None)  # type: ignore[arg-type, return-value]
    for call in (letters, letters.stream):
        with pytest.raises(TenantError):  # noqa: PT012
            async with tenant_db.transaction() as tx:
                if call is letters:
                    await letters(tx)
                else:
                    _ = [row async for row in letters.stream(tx)]


async def test_a_tenant_that_was_set_by_hand_counts(tenant_url: str) -> None:
    async with plainsql.connect(tenant_url) as db, db.transaction() as tx:
        await tx.connection.execute("select set_config('app.jwt_tenant', 'b', true)")
        assert await letters(tx) == [2]
    async with plainsql.connect(tenant_url, server_settings={"app.jwt_tenant": "a"}) as db:
        assert await letters(db) == [1]


async def test_a_session_begun_with_a_tenant_has_it_after_anothers_call(tenant_url: str) -> None:
    async with plainsql.connect(tenant_url, max_size=1, server_settings={"app.jwt_tenant": "a"}) as db:
        assert await letters(db) == [1]
        assert await letters(db.tenant("b")) == [2]
        assert await letters(db) == [1]


async def test_a_tenant_that_was_set_by_hand_counts_in_its_transaction_only(
    tenant_db: plainsql.Database,
) -> None:
    async with tenant_db.transaction() as tx:
        await tx.connection.execute("select set_config('app.jwt_tenant', 'b', true)")
        assert await letters(tx) == [2]
    with pytest.raises(TenantError):
        await letters(tenant_db)


def _setting_a_tenant(clean: bool, local: bool) -> Any:
    @many[str](
        "t.set",
        "t.sql",
        1,
        f"select set_config('app.jwt_tenant', 'b', {local})",
        session_clean=clean,
        row_security=None,
    )
    def set_tenant() -> Args:
        return ()

    return set_tenant


@pytest.mark.parametrize(("clean", "local"), [(False, False), (False, True), (True, True)])
async def test_a_query_that_sets_a_tenant_opens_no_table_to_later_calls(
    tenant_url: str, clean: bool, local: bool
) -> None:
    async with plainsql.connect(tenant_url, max_size=1) as db:
        async with db.transaction() as tx:
            await _setting_a_tenant(clean, local)(tx)
            assert await letters(tx) == [2]
        with pytest.raises(TenantError):
            await letters(db)
        await _setting_a_tenant(False, False)(db)
        with pytest.raises(TenantError):
            await letters(db)


async def test_a_query_that_sets_a_role_opens_no_table_to_later_calls(fresh_shop_url: str) -> None:
    tenant_url = shop.admit_tenants(fresh_shop_url)
    owner = await asyncpg.connect(fresh_shop_url)
    await owner.execute(
        f"""
        grant pg_monitor to {shop.TENANT_ROLE} with inherit false, set true;
        grant usage on schema shop to pg_monitor;
        grant select on shop.letters to pg_monitor;
        create policy keeper on shop.letters to pg_monitor using (true);
        """
    )
    await owner.close()

    @many[str]("t.role", "t.sql", 1, "select set_config('role', 'pg_monitor', true)")
    def set_role() -> Args:
        return ()

    async with plainsql.connect(tenant_url, max_size=1) as db:
        async with db.transaction() as tx:
            await set_role(tx)
            assert await letters(tx) == [1, 2, 3]
        with pytest.raises(TenantError):
            await letters(db)


async def test_who_passes_by_the_policies_is_served(shop_url: str) -> None:
    async with plainsql.connect(shop_url) as db:
        assert await letters(db) == [1, 2, 3]
        async with db.transaction() as tx:
            assert await letters(tx) == [1, 2, 3]


async def test_policies_that_ask_for_something_else_are_not_ours_to_judge(fresh_shop_url: str) -> None:
    tenant_url = shop.admit_tenants(fresh_shop_url)
    async with plainsql.connect(fresh_shop_url) as owner, owner.acquire() as connection:
        await connection.execute(
            "alter policy own on shop.letters using (current_setting('app.region', true) = 'eu')"
        )
    async with plainsql.connect(tenant_url) as db:
        assert await by_another_setting(db) == []
    async with plainsql.connect(tenant_url, tenant_setting="app.region") as db:
        with pytest.raises(TenantError):
            await by_another_setting(db)


async def test_a_policy_that_lets_a_role_through_is_seen(fresh_shop_url: str) -> None:
    tenant_url = shop.admit_tenants(fresh_shop_url)
    async with plainsql.connect(fresh_shop_url) as owner, owner.acquire() as connection:
        await connection.execute(f"create policy keeper on shop.letters to {shop.TENANT_ROLE} using (n = 2)")
        async with plainsql.connect(tenant_url) as db:
            assert await letters(db) == [2]
        await connection.execute("drop policy keeper on shop.letters")
        await connection.execute("create policy keeper on shop.letters to pg_monitor using (true)")
        async with plainsql.connect(tenant_url) as db:
            with pytest.raises(TenantError):
                await letters(db)
