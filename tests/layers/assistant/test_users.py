"""Users of the assistant."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from asyncpg import CheckViolationError, InvalidParameterValueError, UniqueViolationError

import plainsql
from plainsql.database import TenantDatabase
from plainsql.layers.assistant import users
from tests.layers.assistant.desk import blocked


async def test_a_user_is_found_by_id_and_by_telegram_account(tenant: TenantDatabase) -> None:
    user = await users.create(
        tenant, telegram_id=7, username="eva", language_code="pt-br", timezone="America/Lima"
    )
    assert await users.get_by_id(tenant, id=user.id) == user
    assert await users.get_by_telegram_id(tenant, telegram_id=7) == user
    assert (user.is_active, user.preferences) == (True, {})
    assert await users.get_by_id(tenant, id=0) is None
    assert await users.get_by_telegram_id(tenant, telegram_id=8) is None


async def test_a_telegram_account_belongs_to_one_user_of_a_tenant(
    app_db: plainsql.Database, tenant: TenantDatabase
) -> None:
    await users.create(tenant, telegram_id=7)
    with pytest.raises(UniqueViolationError):
        await users.create(tenant, telegram_id=7)
    await users.create(app_db.tenant(uuid.uuid4().hex), telegram_id=7)


async def test_a_time_zone_must_exist(tenant: TenantDatabase) -> None:
    with pytest.raises(InvalidParameterValueError, match="Mars"):
        await users.create(tenant, timezone="Mars/Olympus")


async def test_update_changes_only_the_given_columns(tenant: TenantDatabase) -> None:
    user = await users.create(tenant, telegram_id=7, username="eva", first_name="Eva")
    changed = await users.update(tenant, id=user.id, first_name="Evita", username=None)
    assert changed is not None
    assert (changed.first_name, changed.username, changed.telegram_id) == ("Evita", None, 7)
    assert changed.updated_at > user.updated_at
    assert await users.update(tenant, id=user.id) is not None
    assert await users.update(tenant, id=0, first_name="Nobody") is None


async def test_inactive_users_are_not_listed_as_active(tenant: TenantDatabase) -> None:
    eva = await users.create(tenant, first_name="Eva")
    ana = await users.create(tenant, first_name="Ana", is_active=False)
    assert [user.id for user in await users.list_active(tenant)] == [eva.id]
    assert [user.id for user in await users.list(tenant)] == [ana.id, eva.id]
    assert await users.count(tenant) == 2
    assert await users.count(tenant, since=ana.created_at) == 1


async def test_the_first_message_enters_a_user_and_the_next_finds_it(tenant: TenantDatabase) -> None:
    user = await users.get_or_create_from_telegram(
        tenant, telegram_id=7, username="eva", first_name="Eva", last_name="Luna", language_code="es"
    )
    assert (user.username, user.last_name, user.language_code) == ("eva", "Luna", "es")
    again = await users.get_or_create_from_telegram(tenant, telegram_id=7, first_name="E.")
    assert again == user


async def test_a_hundred_concurrent_first_messages_create_one_user(tenant: TenantDatabase) -> None:
    found = await asyncio.gather(
        *(
            users.get_or_create_from_telegram(tenant, telegram_id=7, first_name=f"Eva {number}")
            for number in range(100)
        )
    )
    assert len({user.id for user in found}) == 1
    assert await users.count(tenant) == 1


async def test_a_first_message_waits_for_one_that_is_being_entered(
    tenant: TenantDatabase, owner_db: plainsql.Database
) -> None:
    async with tenant.transaction() as tx:
        user = await users.get_or_create_from_telegram(tx, telegram_id=7, first_name="Eva")
        second = asyncio.create_task(users.get_or_create_from_telegram(tenant, telegram_id=7))
        await blocked(owner_db)
    assert (await second).id == user.id


async def test_a_deleted_user_who_comes_back_gets_a_new_row(tenant: TenantDatabase) -> None:
    user = await users.get_or_create_from_telegram(tenant, telegram_id=7, first_name="Eva")
    await users.soft_delete(tenant, id=user.id)
    again = await users.get_or_create_from_telegram(tenant, telegram_id=7, first_name="Eva")
    assert again.id != user.id
    with pytest.raises(UniqueViolationError):
        await users.restore(tenant, id=user.id)


async def test_preferences_are_merged_name_by_name(tenant: TenantDatabase) -> None:
    user = await users.create(tenant, preferences={"theme": "light", "tone": "formal", "digest": {"at": 8}})
    changed = await users.update_preferences(
        tenant, id=user.id, preferences={"theme": "dark", "tone": None, "digest": {"on": True}}
    )
    assert changed is not None
    assert changed.preferences == {"theme": "dark", "digest": {"on": True}}
    assert await users.update_preferences(tenant, id=0, preferences={}) is None


async def test_concurrent_changes_of_preferences_are_all_kept(tenant: TenantDatabase) -> None:
    user = await users.create(tenant)
    await asyncio.gather(
        *(
            users.update_preferences(tenant, id=user.id, preferences={f"name {number}": number})
            for number in range(20)
        )
    )
    kept = await users.get_by_id(tenant, id=user.id)
    assert kept is not None
    assert kept.preferences == {f"name {number}": number for number in range(20)}


async def test_preferences_are_an_object(tenant: TenantDatabase) -> None:
    user = await users.create(tenant)
    with pytest.raises(InvalidParameterValueError):
        await users.update_preferences(tenant, id=user.id, preferences=[1])
    with pytest.raises(CheckViolationError):
        await users.update(tenant, id=user.id, preferences=[1])
