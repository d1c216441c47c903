"""Leads: the people who contact the agency."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

import pytest
from asyncpg import CheckViolationError, UniqueViolationError

import plainsql
from plainsql.layers.realty import leads
from tests.layers.realty.agency import blocked


async def test_a_lead_is_found_by_id_and_by_telegram_chat(realty_db: plainsql.Database) -> None:
    lead = await leads.create(realty_db, name="Ana", email="ana@example.com", telegram_chat_id="by-chat")
    assert await leads.get_by_id(realty_db, id=lead.id) == lead
    assert await leads.get_by_telegram_chat_id(realty_db, telegram_chat_id="by-chat") == lead


async def test_an_unknown_lead_is_none(realty_db: plainsql.Database) -> None:
    assert await leads.get_by_id(realty_db, id=uuid.uuid4()) is None
    assert await leads.get_by_telegram_chat_id(realty_db, telegram_chat_id="nobody") is None
    assert await leads.get_by_phone(realty_db, phone="+000") is None


async def test_the_newest_lead_of_a_shared_phone_is_found(realty_db: plainsql.Database) -> None:
    await leads.create(realty_db, name="Rosa", phone="+51999000111")
    daughter = await leads.create(realty_db, name="Lucía", phone="+51999000111")
    assert await leads.get_by_phone(realty_db, phone="+51999000111") == daughter


async def test_a_telegram_chat_belongs_to_one_lead(realty_db: plainsql.Database) -> None:
    await leads.create(realty_db, telegram_chat_id="taken")
    with pytest.raises(UniqueViolationError):
        await leads.create(realty_db, telegram_chat_id="taken")


@pytest.mark.parametrize("column", ["name", "email", "phone", "telegram_chat_id"])
async def test_an_empty_text_is_refused(realty_db: plainsql.Database, column: str) -> None:
    with pytest.raises(CheckViolationError):
        await leads.create(realty_db, **{column: ""})


async def test_update_changes_only_the_given_columns(realty_db: plainsql.Database) -> None:
    lead = await leads.create(realty_db, name="Ana", email="ana@example.com", phone="+511")
    changed = await leads.update(realty_db, id=lead.id, name="Ana María", email=None)
    assert changed is not None
    assert (changed.name, changed.email, changed.phone) == ("Ana María", None, "+511")
    assert changed.created_at == lead.created_at
    assert changed.updated_at > lead.updated_at
    assert await leads.get_by_id(realty_db, id=lead.id) == changed


async def test_update_with_nothing_given_is_no_error(realty_db: plainsql.Database) -> None:
    lead = await leads.create(realty_db, name="Ana")
    changed = await leads.update(realty_db, id=lead.id)
    assert changed is not None
    assert changed.name == "Ana"
    assert await leads.update(realty_db, id=uuid.uuid4(), name="Nobody") is None


async def test_delete_returns_the_number_of_rows(realty_db: plainsql.Database) -> None:
    lead = await leads.create(realty_db, name="Ana")
    assert await leads.delete(realty_db, id=lead.id) == 1
    assert await leads.delete(realty_db, id=lead.id) == 0


async def test_count_counts_since_a_time(fresh_realty_db: plainsql.Database) -> None:
    assert await leads.count(fresh_realty_db) == 0
    await leads.create(fresh_realty_db, name="Ana")
    second = await leads.create(fresh_realty_db, name="Eva")
    assert await leads.count(fresh_realty_db) == 2
    assert await leads.count(fresh_realty_db, since=second.created_at) == 1


async def test_a_new_chat_makes_a_lead_with_its_name(realty_db: plainsql.Database) -> None:
    lead = await leads.get_or_create_from_telegram(realty_db, telegram_chat_id="new", name="Mateo")
    assert (lead.name, lead.telegram_chat_id) == ("Mateo", "new")
    nameless = await leads.get_or_create_from_telegram(realty_db, telegram_chat_id="nameless")
    assert nameless.name is None


async def test_a_known_chat_keeps_its_name_and_is_not_written(realty_db: plainsql.Database) -> None:
    lead = await leads.get_or_create_from_telegram(realty_db, telegram_chat_id="known", name="Mateo")
    async with realty_db.transaction(read_only=True) as tx:
        row_version = await tx.connection.fetchval("select xmin from realty.leads where id = $1", lead.id)
    assert await leads.get_or_create_from_telegram(realty_db, telegram_chat_id="known", name="M.") == lead
    async with realty_db.transaction(read_only=True) as tx:
        assert row_version == await tx.connection.fetchval(
            "select xmin from realty.leads where id = $1", lead.id
        )


async def test_fifty_concurrent_calls_create_one_lead(realty_db: plainsql.Database) -> None:
    found = await asyncio.gather(
        *(leads.get_or_create_from_telegram(realty_db, telegram_chat_id="crowd") for _ in range(50))
    )
    assert {lead.id for lead in found} == {found[0].id}


async def test_the_loser_of_a_race_gets_the_winners_lead(realty_db: plainsql.Database) -> None:
    # The loser's snapshot is older than the winner's commit: it cannot see the conflicting row.
    async with realty_db.transaction() as tx:
        winner = await leads.get_or_create_from_telegram(tx, telegram_chat_id="race", name="Winner")
        loser = asyncio.create_task(
            leads.get_or_create_from_telegram(realty_db, telegram_chat_id="race", name="Loser")
        )
        await blocked(realty_db)
    found = await loser
    assert (found.id, found.name) == (winner.id, "Winner")


async def test_a_winner_that_gives_up_leaves_the_lead_to_the_loser(realty_db: plainsql.Database) -> None:
    losers = []
    with suppress(RuntimeError):
        async with realty_db.transaction() as tx:
            await leads.get_or_create_from_telegram(tx, telegram_chat_id="given-up", name="Winner")
            call = leads.get_or_create_from_telegram(realty_db, telegram_chat_id="given-up", name="Loser")
            losers.append(asyncio.create_task(call))
            await blocked(realty_db)
            raise RuntimeError("the winner gives up")
    (found,) = await asyncio.gather(*losers)
    assert found.name == "Loser"
