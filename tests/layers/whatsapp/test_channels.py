"""Channels: from pending to active and back, and their access tokens."""

from __future__ import annotations

import uuid
from typing import Any
from uuid import UUID

import psycopg
import pytest
from asyncpg import CheckViolationError, ForeignKeyViolationError, UniqueViolationError
from asyncpg.exceptions import InsufficientPrivilegeError

from plainsql.errors import EncryptionError
from plainsql.layers.whatsapp import channels
from tests.layers.whatsapp.business import Business, open_channel

TOKEN = "EAAJB-the-token-that-nobody-sees"


async def pending(business: Business, **values: Any) -> channels.Channel:
    return await channels.create(
        business.db,
        **{
            "tenant_id": business.id,
            "id": uuid.uuid4(),
            "organization_id": uuid.uuid4(),
            "phone_number_id": uuid.uuid4().hex,
            "business_account_id": "1029384756",
            "access_token": TOKEN,
            **values,
        },
    )


async def token_of(business: Business, id: UUID) -> str:
    row = await channels.get_access_token(business.db, id=id)
    assert row is not None
    return row.access_token


async def test_a_channel_is_found_by_id_and_by_the_number_a_webhook_names(business: Business) -> None:
    channel = await pending(business, phone_number_id="109876", display_name="Tienda")
    assert (channel.status, channel.is_verified, channel.messages_per_second) == ("pending", False, 80)
    assert channel.tenant_id == business.id
    assert await channels.get_by_id(business.db, id=channel.id) == channel
    assert await channels.get_by_phone_number_id(business.db, phone_number_id="109876") == channel
    assert await channels.get_by_phone_number_id(business.db, phone_number_id="1") is None


async def test_a_number_is_one_channel_of_a_tenant(business: Business) -> None:
    channel = await pending(business)
    with pytest.raises(UniqueViolationError, match="channels_phone_number_id_key"):
        await pending(business, phone_number_id=channel.phone_number_id)


async def test_a_channel_for_another_tenant_is_refused(business: Business) -> None:
    with pytest.raises(InsufficientPrivilegeError):
        await pending(business, tenant_id=uuid.uuid4())


@pytest.mark.parametrize(
    "values",
    [{"phone_number_id": ""}, {"business_account_id": ""}, {"messages_per_second": 100}],
    ids=lambda values: next(iter(values)),
)
async def test_nonsense_is_refused(business: Business, values: dict[str, object]) -> None:
    with pytest.raises(CheckViolationError):
        await pending(business, **values)
    with pytest.raises(CheckViolationError):
        await channels.update(business.db, id=business.channel.id, status="broken")


async def test_verifying_makes_a_pending_channel_active(business: Business) -> None:
    channel = await pending(business)
    verified = await channels.verify(business.db, id=channel.id)
    assert verified is not None
    assert (verified.status, verified.is_verified) == ("active", True)
    assert verified.updated_at > channel.updated_at


async def test_verifying_does_not_wake_a_suspended_channel(business: Business) -> None:
    channel = await pending(business)
    await channels.suspend(business.db, id=channel.id)
    verified = await channels.verify(business.db, id=channel.id)
    assert verified is not None
    assert (verified.status, verified.is_verified) == ("suspended", True)


async def test_a_suspended_channel_comes_back_as_what_it_was(business: Business) -> None:
    unverified = await pending(business)
    for id, status in ((business.channel.id, "active"), (unverified.id, "pending")):
        await channels.suspend(business.db, id=id)
        resumed = await channels.resume(business.db, id=id)
        assert resumed is not None
        assert resumed.status == status
        assert await channels.resume(business.db, id=id) is None


async def test_only_what_is_verified_and_active_is_listed_as_active(business: Business) -> None:
    organization = uuid.uuid4()
    await pending(business, organization_id=organization)
    suspended = await open_channel(business.db, business.id, organization_id=organization)
    await channels.suspend(business.db, id=suspended.id)
    unverified = await pending(business, organization_id=organization)
    await channels.update(business.db, id=unverified.id, status="active")
    active = await open_channel(business.db, business.id, organization_id=organization)
    assert await channels.list_active(business.db, organization_id=organization) == [active]
    assert {channel.id for channel in await channels.list_active(business.db)} == {
        active.id,
        business.channel.id,
    }
    assert len(await channels.list_by_organization(business.db, organization_id=organization)) == 4
    assert await channels.list_by_organization(business.db, organization_id=uuid.uuid4()) == []


async def test_update_changes_only_the_given_columns(business: Business) -> None:
    changed = await channels.update(
        business.db, id=business.channel.id, display_name="Sucursal", messages_per_second=250
    )
    assert changed is not None
    assert (changed.display_name, changed.messages_per_second) == ("Sucursal", 250)
    assert changed.phone_number_id == business.channel.phone_number_id
    assert await token_of(business, changed.id) == "a token"
    assert await channels.update(business.db, id=uuid.uuid4(), display_name="?") is None


async def test_a_channel_with_messages_is_not_removed(business: Business) -> None:
    await business.queued()
    with pytest.raises(ForeignKeyViolationError):
        await channels.delete(business.db, id=business.channel.id)
    unused = await pending(business)
    assert await channels.delete(business.db, id=unused.id) == 1
    assert await channels.delete(business.db, id=unused.id) == 0


async def test_the_access_token_comes_back_and_can_be_replaced(business: Business) -> None:
    channel = await pending(business)
    assert await token_of(business, channel.id) == TOKEN
    rotated = await channels.rotate_access_token(
        business.db, tenant_id=business.id, id=channel.id, access_token="another"
    )
    assert rotated is not None
    assert await token_of(business, channel.id) == "another"


async def test_the_access_token_is_stored_encrypted_and_stays_in_its_row(
    business: Business, plainsql_database_url: str
) -> None:
    channel, other = await pending(business), await pending(business)
    with psycopg.connect(plainsql_database_url, autocommit=True) as admin:
        (row,) = admin.execute(
            "select access_token from whatsapp.channels where id = %s", [channel.id]
        ).fetchall()
        assert TOKEN.encode() not in row[0]
        admin.execute("update whatsapp.channels set access_token = %s where id = %s", [row[0], other.id])
    with pytest.raises(EncryptionError):
        await channels.get_access_token(business.db, id=other.id)


async def test_no_list_and_no_repr_shows_the_access_token(business: Business) -> None:
    channel = await pending(business)
    assert not hasattr(channel, "access_token")
    assert TOKEN not in repr(await channels.get_access_token(business.db, id=channel.id))


async def test_rotating_for_another_tenant_changes_nothing(business: Business) -> None:
    assert (
        await channels.rotate_access_token(
            business.db, tenant_id=uuid.uuid4(), id=business.channel.id, access_token="theirs"
        )
        is None
    )
    assert await token_of(business, business.channel.id) == "a token"
