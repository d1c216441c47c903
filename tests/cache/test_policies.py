"""The policies of headers and options of the cache."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from plainsql.cache import MISS, Cache, CachedQuery, Codec, MemoryStore, touched_rows
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import BindError
from tests.cache.conftest import Open
from tests.cache.model import ANY, BY_CONVERSATION, TABLE, Message, Table, eventually, reading, touched


async def test_that_nothing_is_there_is_stored_too(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    assert [await table.read(cache, conversation=9) for _ in range(2)] == [None, None]
    assert table.loads == 1
    await table.write(cache, 1, conversation=9)
    assert await table.read(cache, conversation=9) == 1


async def test_but_not_where_it_is_not_wanted(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", negative=False)
    assert [await table.read(cache, query, conversation=9) for _ in range(2)] == [None, None]
    assert table.loads == 2


async def test_a_ttl_ends(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", ttl=0.03)
    assert await table.read(cache, query) == 1
    table.versions[1] = 2  # without a notice
    async with asyncio.timeout(30):
        while await table.read(cache, query) != 2:  # noqa: ASYNC110 (time alone ends it)
            await asyncio.sleep(0.005)


async def test_a_stale_result_is_served_while_it_is_read_anew(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    # Due from the first moment on.
    query = reading("conversation_id", ttl=0.001, stale=60.0)
    await table.read(cache, query)
    await asyncio.sleep(0.01)
    assert await table.read(cache, query) == 1
    await eventually(lambda: cache.stats().refreshes > 0)
    assert table.loads >= 2


async def test_but_never_after_a_write(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", ttl=0.001, stale=60.0)
    for version in range(2, 12):
        await table.read(cache, query)
        await asyncio.sleep(0.002)
        await table.write(cache, version)
        assert await table.read(cache, query) == version


async def test_the_last_part_of_a_ttl_is_for_reading_anew(open_cache: Open, table: Table) -> None:
    cache = open_cache(early=1.0)
    await table.read(cache)
    await table.read(cache)
    await eventually(lambda: cache.stats().refreshes == 1)
    assert table.loads == 2


async def test_a_refresh_that_fails_is_nobodys_error(open_cache: Open, table: Table) -> None:
    cache = open_cache(early=1.0)
    await table.read(cache)

    async def fail() -> Message | None:
        raise ZeroDivisionError

    found = await cache.read(BY_CONVERSATION, (1,), fail)
    assert found is not None
    assert found.version == 1
    await eventually(lambda: not cache._reads._background)
    await table.read(cache)
    await eventually(lambda: cache.stats().refreshes == 1)


async def test_forget_drops_one_result(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", local=60.0)
    for conversation in (1, 2):
        table.versions[conversation] = 1
        await table.read(cache, query, conversation)
    table.versions = {1: 2, 2: 2}
    await cache.forget(query, (1,))
    assert await table.read(cache, query, 1) == 2
    assert await table.read(cache, query, 2) == 1


@pytest.mark.parametrize(("prefix", "ended"), [("", 2), ("shop", 2), ("shop.messages", 1), ("sho", 0)])
async def test_clear_ends_the_results_under_a_name(
    open_cache: Open, table: Table, prefix: str, ended: int
) -> None:
    cache, other = open_cache(), open_cache()
    queries = [reading("conversation_id", local=60.0), reading("conversation_id", name="shop.leads.get")]
    for query in queries:
        await table.read(cache, query)
    await cache.clear(prefix)
    for query in queries:
        await table.read(cache, query)
        await table.read(other, query)
    assert table.loads == 2 + ended


async def test_tenants_do_not_see_each_others_results(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", local=60.0)
    for version, tenant in enumerate("ab", 1):
        table.versions[1] = version
        assert await table.read(cache, query, scope=(tenant, "user", "role")) == version
    assert await table.read(cache, query, scope=("a", "user", "role")) == 1


async def test_a_deployment_with_other_columns_does_not_decode_the_old_ones(
    open_cache: Open, table: Table
) -> None:
    cache = open_cache()
    await table.read(cache, reading("conversation_id", shape="id int"))
    await table.read(cache, reading("conversation_id", shape="id int, name text"))
    assert table.loads == 2


# -- In the process


async def test_a_local_result_is_there_without_asking(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", local=60.0)
    assert cache.probe(query, (1,)) is MISS
    await table.read(cache, query)
    assert cache.probe(query, (1,)) == Message(1, 1)
    assert cache.probe(query, (2,)) is MISS
    assert cache.probe(BY_CONVERSATION, (1,)) is MISS
    assert cache.stats().local_hits == 1


@pytest.mark.parametrize("bound", [(), ("conversation_id",)])
async def test_an_own_write_is_seen_at_once(open_cache: Open, table: Table, bound: tuple[str, ...]) -> None:
    cache = open_cache()
    query = reading(*bound, local=60.0)
    for version in range(2, 5):
        await table.read(cache, query)
        await table.write(cache, version)
        assert await table.read(cache, query) == version


async def test_a_read_that_an_own_write_overtook_is_not_held(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    query = reading("conversation_id", local=60.0)
    table.gate.clear()
    slow = asyncio.ensure_future(table.read(cache, query))
    await table.seen.wait()
    await table.write(cache, 2)
    table.gate.set()
    await slow
    assert await table.read(cache, query) == 2
    assert cache.probe(query, (1,)) == Message(1, 2)


async def test_a_hit_that_an_own_write_overtook_is_not_held(
    open_cache: Open, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache()
    query = reading("conversation_id", local=60.0)
    await table.read(cache, reading("conversation_id"))
    lookup = cache._store.lookup

    async def overtaken(*args: Any, **options: Any) -> Any:
        found = await lookup(*args, **options)
        await table.write(cache, 2)
        return found

    with monkeypatch.context() as slow:
        slow.setattr(cache._store, "lookup", overtaken)
        assert await table.read(cache, query) == 1
    assert cache.probe(query, (1,)) is MISS


async def test_a_write_of_another_process_is_seen_when_the_local_time_is_over(
    open_cache: Open, table: Table
) -> None:
    reader, writer = open_cache(), open_cache()
    query = reading("conversation_id", local=0.05)
    await table.read(reader, query)
    await table.write(writer, 2)
    async with asyncio.timeout(30):
        while await table.read(reader, query) != 2:  # noqa: ASYNC110 (time alone ends it)
            await asyncio.sleep(0.005)


async def test_the_process_holds_so_many_values_and_not_more(open_cache: Open, table: Table) -> None:
    cache = open_cache(local_entries=10)
    query = reading("conversation_id", local=60.0)
    for conversation in range(50):
        await table.read(cache, query, conversation)
    assert cache.stats().entries == 10
    assert cache._tier._index[TABLE][0].keys() == {"conversation_id"}
    assert len(cache._tier._index[TABLE][1]) == 10
    cache._tier.drop(touched_rows(TABLE, {}))
    assert cache._tier._index[TABLE] == ({}, {})


# -- Values


class Rich(msgspec.Struct, frozen=True):
    id: uuid.UUID
    price: Decimal
    at: datetime
    tags: list[str]
    payload: dict[str, Any]


RICH = Rich(uuid.uuid4(), Decimal("1.50"), datetime(2026, 1, 1, tzinfo=UTC), ["a"], {"b": [1, None]})


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (Rich, RICH),
        (list[Rich], [RICH] * 100),
        (int | None, None),
        (list[int], []),
        (bytes, b"\0\1"),
        (str, "a" * 10_000),
    ],
)
def test_values_come_back_as_what_they_were(type: Any, value: Any) -> None:
    codec = Codec[Any](type)
    assert codec.decode(codec.encode(value)) == value


def test_large_values_are_compressed() -> None:
    codec = Codec[str](str)
    assert len(codec.encode("a" * 100_000)) < 2_000
    noise = random.Random(1).randbytes(10_000)
    assert len(Codec[bytes](bytes).encode(noise)) < 10_010


async def test_values_that_are_too_large_are_not_stored(open_cache: Open, table: Table) -> None:
    cache = open_cache(max_bytes=5)
    assert [await table.read(cache) for _ in range(2)] == [1, 1]
    assert table.loads == 2
    assert cache.stats().uncacheable == 2


async def test_what_cannot_be_stored_is_read(open_cache: Open) -> None:
    cache = open_cache()
    thing = object()
    query = CachedQuery[Any]("shop.things", CachedRead(60, (Dependency(TABLE),)), ("x",), Any)

    async def load() -> object:
        await asyncio.sleep(0)
        return thing

    assert await asyncio.gather(*(cache.read(query, (1,), load) for _ in range(3))) == [thing] * 3
    assert await cache.read(query, (object(),), load) is thing


async def test_the_store_in_the_process_holds_so_much_and_not_more(table: Table) -> None:
    store = MemoryStore(entries=10, bytes=1000)
    async with Cache(store) as cache:
        for conversation in range(200):
            table.versions[conversation] = conversation
            await table.read(cache, conversation=conversation)
        assert len(store._entries) <= 10
        assert store._bytes == sum(len(entry.data) for entry in store._entries.values()) <= 1000
        assert store._leases == {}
        assert await table.read(cache, conversation=199) == 199
        assert cache.stats().hits == 1


# -- The observer


async def test_an_audit_counts_hits_that_are_not_so(open_cache: Open, table: Table) -> None:
    cache = open_cache(audit_rate=1.0)
    await table.read(cache)
    await table.read(cache)
    await eventually(lambda: cache.stats().audited == 1)
    assert cache.stats().violations == 0
    table.versions[1] = 2  # without a notice
    await table.read(cache)
    await eventually(lambda: cache.stats().violations == 1)
    [found] = cache.stats().found
    assert (found.query, found.tables) == ("shop.messages.get", (TABLE,))


async def test_an_audit_does_not_count_what_changed_in_the_meantime(open_cache: Open, table: Table) -> None:
    cache = open_cache(audit_rate=1.0)
    await table.read(cache)
    table.gate.clear()
    table.seen.clear()
    await table.read(cache)
    mark = await cache.begin(touched(1))
    table.versions[1] = 2
    table.gate.set()
    await eventually(lambda: not cache._reads._background)
    await cache.publish(mark)
    assert cache.stats().violations == 0


async def test_rows_without_an_order_are_the_same_in_another_one(open_cache: Open) -> None:
    cache = open_cache(audit_rate=1.0)
    rows = [1, 2, 3]
    query = CachedQuery[list[int]]("shop.ids", CachedRead(60, (Dependency(TABLE),)), (), list[int])

    async def load() -> list[int]:
        rows.reverse()
        return list(rows)

    for _ in range(4):
        await cache.read(query, (), load)
    await eventually(lambda: cache.stats().audited == 3)
    assert cache.stats().violations == 0


# -- The end


async def test_after_the_end_reads_go_to_the_database(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    await table.read(cache)
    await cache.close()
    assert await table.read(cache) == 1
    assert table.loads == 2


async def test_closing_waits_for_what_is_under_way_and_leaves_no_task(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    table.gate.clear()
    read = asyncio.ensure_future(table.read(cache))
    await table.seen.wait()
    closing = asyncio.ensure_future(cache.close())
    await asyncio.sleep(0)
    table.gate.set()
    await closing
    assert await read == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_options_out_of_their_range_are_refused() -> None:
    wrong: list[dict[str, Any]] = [{"on_failure": "safe"}, {"jitter": 2}, {"early": -1}, {"audit_rate": 1.5}]
    for options in wrong:
        with pytest.raises(BindError, match=next(iter(options))):
            Cache(**options)


async def test_reads_of_everything_end_with_any_write(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    await table.read(cache, ANY)
    await cache.invalidate_rows(touched_rows(TABLE, {"conversation_id": 5}))
    await table.read(cache, ANY)
    assert table.loads == 2
