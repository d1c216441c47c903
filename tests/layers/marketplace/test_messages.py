"""Messages: saved once, counted once, processed once."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import ForeignKeyViolationError

import plainsql
from plainsql.layers.marketplace import buyers, conversations, messages
from tests.layers.marketplace.stall import Stall, execute, open_stall, pages

NEVER = 2**40


async def test_append_keeps_count_and_time(stall: Stall) -> None:
    said = await messages.append(stall.db, conversation_id=stall.talk.id, content="¿Sigue disponible?")
    assert (said.message_type, said.buyer_id) == ("USER_MESSAGE", stall.buyer.id)
    assert (said.is_read, said.is_processed, said.claims) == (False, False, 0)
    answer = await messages.append(
        stall.db, conversation_id=stall.talk.id, content="Sí", message_type="BOT_MESSAGE"
    )
    assert (answer.buyer_id, answer.is_read, answer.is_processed) == (None, True, True)
    _, talk, _ = await stall.now()
    assert (talk.message_count, talk.last_message_at) == (2, answer.created_at)


async def test_concurrent_messages_all_count_and_the_last_time_stays(stall: Stall) -> None:
    said = await asyncio.gather(
        *(messages.append(stall.db, conversation_id=stall.talk.id, content=str(n)) for n in range(40))
    )
    _, talk, _ = await stall.now()
    assert talk.message_count == 40
    assert talk.last_message_at == max(message.created_at for message in said)


async def test_five_concurrent_deliveries_are_saved_and_counted_once(stall: Stall) -> None:
    key = uuid.uuid4().hex
    said = await asyncio.gather(
        *(
            messages.append(stall.db, conversation_id=stall.talk.id, content="hola", wallapop_message_id=key)
            for _ in range(5)
        )
    )
    assert len({message.id for message in said}) == 1
    _, talk, _ = await stall.now()
    assert talk.message_count == 1


async def test_a_message_that_is_delivered_again_stays_as_it_is(stall: Stall) -> None:
    key = uuid.uuid4().hex
    given: Any = {"conversation_id": stall.talk.id, "content": "hola", "wallapop_message_id": key}
    said = await messages.append(stall.db, **given)
    done = await messages.mark_processed(stall.db, id=said.id, intent="greeting")
    assert await messages.append(stall.db, **given) == done


async def test_append_never_sets_the_time_back(stall: Stall) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await execute(
        stall.db,
        "update marketplace.conversations set last_message_at = $1 where id = $2",
        later,
        stall.talk.id,
    )
    await messages.append(stall.db, conversation_id=stall.talk.id, content="hola")
    _, talk, _ = await stall.now()
    assert (talk.message_count, talk.last_message_at) == (1, later)


async def test_append_refuses_an_unknown_conversation(stall: Stall) -> None:
    with pytest.raises(ForeignKeyViolationError):
        await messages.append(stall.db, conversation_id=NEVER, content="hola")


async def test_history_is_newest_first_and_recent_oldest_first(stall: Stall) -> None:
    other = await stall.talk_with()
    await messages.append(stall.db, conversation_id=other.id, content="elsewhere")
    async with stall.db.transaction() as tx:
        for n in range(7):
            await messages.append(tx, conversation_id=stall.talk.id, content=str(n))
    history = [
        m.content
        async for m in pages(messages.history, stall.db, "created_at", "id", conversation_id=stall.talk.id)
    ]
    assert history == ["6", "5", "4", "3", "2", "1", "0"]
    recent = await messages.recent(stall.db, conversation_id=stall.talk.id, limit=3)
    assert [m.content for m in recent] == ["4", "5", "6"]


async def test_export_streams_from_a_time_on_oldest_first(stall: Stall) -> None:
    await messages.append(stall.db, conversation_id=stall.talk.id, content="before")
    first = await messages.append(stall.db, conversation_id=stall.talk.id, content="first")
    await messages.append(stall.db, conversation_id=stall.talk.id, content="second")
    said = [m.content async for m in messages.export.stream(stall.db, since=first.created_at)]
    assert said == ["first", "second"]


async def test_mark_read_reads_up_to_a_time(stall: Stall) -> None:
    db, talk = stall.db, stall.talk.id
    said = [await messages.append(db, conversation_id=talk, content=str(n)) for n in range(5)]
    assert await messages.count_unread(db, conversation_id=talk) == 5
    assert await messages.mark_read(db, conversation_id=talk, until=said[2].created_at) == 3
    assert await messages.count_unread(db, conversation_id=talk) == 2
    assert await messages.mark_read(db, conversation_id=talk) == 2
    assert await messages.mark_read(db, conversation_id=talk) == 0


# -- The queue


async def fill(db: plainsql.Database, count: int) -> list[int]:
    stall = await open_stall(db)
    said = [await messages.append(db, conversation_id=stall.talk.id, content=str(n)) for n in range(count)]
    return [message.id for message in said]


async def test_a_claim_takes_the_oldest_and_marks_them(fresh_db: plainsql.Database) -> None:
    ids = await fill(fresh_db, 5)
    before = datetime.now(UTC)
    first = await messages.claim_unprocessed(fresh_db, limit=2, seconds=60)
    assert [message.id for message in first] == ids[:2]
    for message in first:
        assert message.claims == 1
        assert message.claimed_until is not None
        assert message.claimed_until > before + timedelta(seconds=50)
    second = await messages.claim_unprocessed(fresh_db, limit=10)
    assert [message.id for message in second] == ids[2:]
    assert await messages.claim_unprocessed(fresh_db) == []


async def test_concurrent_claims_never_share_a_message(fresh_db: plainsql.Database) -> None:
    ids = await fill(fresh_db, 60)
    claimed: list[int] = []

    async def work() -> None:
        while batch := await messages.claim_unprocessed(fresh_db, limit=3):
            claimed.extend(message.id for message in batch)

    await asyncio.gather(*(work() for _ in range(8)))
    # A worker that found only rows being claimed by others has ended: no row is lost, another worker has it.
    claimed += [message.id for message in await messages.claim_unprocessed(fresh_db, limit=200)]
    assert sorted(claimed) == ids


async def test_a_claim_does_not_wait_for_another(fresh_db: plainsql.Database) -> None:
    ids = await fill(fresh_db, 4)
    async with fresh_db.transaction() as tx:
        assert [m.id for m in await messages.claim_unprocessed(tx, limit=2)] == ids[:2]
        assert [m.id for m in await messages.claim_unprocessed(fresh_db, limit=10)] == ids[2:]


async def test_the_messages_of_a_dead_worker_are_free_again(fresh_db: plainsql.Database) -> None:
    (id,) = await fill(fresh_db, 1)
    await messages.claim_unprocessed(fresh_db)
    assert await messages.claim_unprocessed(fresh_db) == []
    await execute(fresh_db, "update marketplace.messages set claimed_until = now() - interval '1 second'")
    (again,) = await messages.claim_unprocessed(fresh_db)
    assert (again.id, again.claims) == (id, 2)


async def test_processed_is_noted_once(fresh_db: plainsql.Database) -> None:
    (id,) = await fill(fresh_db, 1)
    await messages.claim_unprocessed(fresh_db)
    given: dict[str, Any] = {"id": id, "intent": "offer", "entities": {"price": 80}, "sentiment": "neutral"}
    done = await messages.mark_processed(fresh_db, **given)
    assert done is not None
    assert (done.is_processed, done.claimed_until, done.intent) == (True, None, "offer")
    assert done.entities == {"price": 80}
    assert await messages.mark_processed(fresh_db, **given) is None
    await execute(fresh_db, "update marketplace.messages set claimed_until = null")
    assert await messages.claim_unprocessed(fresh_db) == []


async def test_messages_of_the_bot_are_not_in_the_queue(fresh_db: plainsql.Database) -> None:
    stall = await open_stall(fresh_db)
    await messages.append(fresh_db, conversation_id=stall.talk.id, content="hola", message_type="BOT_MESSAGE")
    await messages.append(
        fresh_db, conversation_id=stall.talk.id, content="RESERVED", message_type="SYSTEM_MESSAGE"
    )
    assert await messages.claim_unprocessed(fresh_db) == []


async def test_create_update_and_delete_leave_the_conversation(stall: Stall) -> None:
    db, at = stall.db, datetime(2020, 1, 1, tzinfo=UTC)
    message = await messages.create(
        db, conversation_id=stall.talk.id, content="hloa", buyer_id=stall.buyer.id, created_at=at
    )
    assert (message.created_at, message.is_read, message.is_processed) == (at, True, True)
    changed = await messages.update(db, id=message.id, content="hola", entities={"a": [1, None]})
    assert changed is not None
    assert (changed.content, changed.entities, changed.created_at) == ("hola", {"a": [1, None]}, at)
    assert await messages.get_by_id(db, id=message.id) == changed
    assert await messages.delete(db, id=message.id) == 1
    _, talk, _ = await stall.now()
    assert talk == stall.talk


async def test_a_buyer_is_deleted_with_their_messages(stall: Stall) -> None:
    said = await messages.append(stall.db, conversation_id=stall.talk.id, content="hola")
    assert await buyers.delete(stall.db, id=stall.buyer.id) == 1
    assert await messages.get_by_id(stall.db, id=said.id) is None
    assert await conversations.get_by_id(stall.db, id=stall.talk.id) is None
