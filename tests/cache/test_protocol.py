"""Overwritten results are never served, in any order of a read, its fill and a write."""

from __future__ import annotations

import asyncio

import pytest

from plainsql.cache import touched_rows
from tests.cache.conftest import Open
from tests.cache.model import ANY, BY_CONVERSATION, TABLE, Table, reading, touched


async def test_the_second_read_asks_nobody_but_the_store(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    assert [await table.read(cache) for _ in range(3)] == [1, 1, 1]
    assert table.loads == 1
    assert cache.stats().hits == 2


async def test_the_next_read_sees_a_write(open_cache: Open, table: Table) -> None:
    reader, writer = open_cache(), open_cache()
    for version in range(2, 6):
        await table.read(reader)
        await table.write(writer, version)
        assert await table.read(reader) == version


async def test_a_write_leaves_the_reads_of_other_partitions_alone(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    table.versions[2] = 1
    await table.read(cache, conversation=1)
    await table.read(cache, conversation=2)
    await table.write(cache, 2, conversation=2)
    loads = table.loads
    assert await table.read(cache, conversation=1) == 1
    assert table.loads == loads
    assert await table.read(cache, conversation=2) == 2


async def test_a_write_ends_reads_of_the_whole_table(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    await table.read(cache, ANY)
    await table.write(cache, 2)
    assert await table.read(cache, ANY) == 2


async def test_a_write_that_does_not_know_the_column_ends_all_reads_by_it(
    open_cache: Open, table: Table
) -> None:
    cache = open_cache()
    await table.read(cache)
    async with cache.writing(touched_rows(TABLE, {"id": 7})):
        table.versions[1] = 2
    assert await table.read(cache) == 2


async def test_a_row_that_moves_ends_the_reads_of_both_sides(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    await table.read(cache, conversation=1)
    await table.read(cache, conversation=2)
    async with cache.writing(touched(1, 2)):
        del table.versions[1]
        table.versions[2] = 1
    assert await table.read(cache, conversation=1) is None
    assert await table.read(cache, conversation=2) == 1


async def test_a_read_over_two_tables_ends_with_either(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    from plainsql.cache import CachedQuery
    from plainsql.dependencies import CachedRead, Dependency
    from tests.cache.model import Message

    both = CachedQuery[Message | None](
        "shop.both",
        CachedRead(60, (Dependency(TABLE, "conversation_id", "id"), Dependency("shop.leads"))),
        ("id",),
        Message | None,
    )
    await table.read(cache, both)
    await table.read(cache, both)
    assert table.loads == 1
    for number, name in enumerate((TABLE, "shop.leads"), 2):
        async with cache.writing(touched_rows(name, {})):
            table.versions[1] = number
        assert await table.read(cache, both) == number


async def test_reads_during_a_write_go_to_the_database_and_store_nothing(
    open_cache: Open, table: Table
) -> None:
    reader, writer = open_cache(), open_cache()
    await table.read(reader)
    mark = await writer.begin(touched(1))
    assert await table.read(reader) == 1
    table.versions[1] = 2
    assert await table.read(reader) == 2, "after the commit, before the versions are new"
    assert reader.stats().fills == 1
    await writer.publish(mark)
    assert await table.read(reader) == 2
    assert reader.stats().fills == 2


async def test_each_of_several_writers_keeps_its_marker(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    first, second = await cache.begin(touched(1)), await cache.begin(touched(1))
    await cache.publish(first)
    await table.read(cache)
    assert cache.stats().fills == 0
    await cache.publish(second)
    await table.read(cache)
    assert cache.stats().fills == 1


async def test_a_column_first_read_by_during_a_write_is_not_stored_under(
    open_cache: Open, table: Table
) -> None:
    # The writer could not know of reads by conversation.
    reader, writer = open_cache(), open_cache()
    mark = await writer.begin(touched())
    await table.read(reader)
    table.versions[1] = 2
    assert await table.read(reader) == 2
    await writer.publish(mark)
    mark = await writer.begin(touched(1))
    by_another = reading("other", name="shop.messages.by_other")
    await table.read(reader, by_another)
    table.versions[1] = 3
    assert await table.read(reader, by_another) == 3
    await writer.publish(mark)


async def test_a_slow_fill_does_not_store_what_was_overwritten(open_cache: Open, table: Table) -> None:
    reader, writer = open_cache(), open_cache()
    table.gate.clear()
    slow = asyncio.ensure_future(table.read(reader))
    await table.seen.wait()
    await table.write(writer, 2)
    table.gate.set()
    assert await slow == 1, "it began before the write"
    assert await table.read(reader) == 2
    assert await table.read(writer) == 2


async def test_a_read_begun_after_a_write_does_not_get_an_earlier_result(
    open_cache: Open, table: Table
) -> None:
    reader, writer = open_cache(), open_cache()
    table.gate.clear()
    slow = asyncio.ensure_future(table.read(reader))
    await table.seen.wait()
    await table.write(writer, 2)
    late = asyncio.ensure_future(table.read(reader))
    await asyncio.sleep(0)
    table.gate.set()
    assert await slow == 1
    assert await late == 2


async def test_nor_that_of_one_that_met_a_writer_under_way(open_cache: Open, table: Table) -> None:
    reader, writer = open_cache(), open_cache()
    table.gate.clear()
    mark = await writer.begin(touched(1))
    slow = asyncio.ensure_future(table.read(reader))
    await table.seen.wait()
    table.versions[1] = 2
    await writer.publish(mark)
    late = asyncio.ensure_future(table.read(reader))
    await asyncio.sleep(0)
    table.gate.set()
    assert await slow == 1
    assert await late == 2


async def test_the_marker_of_a_writer_that_died_ends_in_a_miss(open_cache: Open, table: Table) -> None:
    reader, writer = open_cache(), open_cache(marker_ttl=0.05)
    await table.read(reader)
    # Neither published nor renewed.
    mark = await writer.begin(touched(1))
    assert mark.renewal is not None
    mark.renewal.cancel()
    table.versions[1] = 2
    while reader.stats().fills < 2:
        assert await table.read(reader) == 2
        await asyncio.sleep(0.005)


async def test_a_marker_stands_as_long_as_its_writer_waits(open_cache: Open, table: Table) -> None:
    reader, writer = open_cache(), open_cache(marker_ttl=0.15)
    mark = await writer.begin(touched(1))
    for _ in range(20):
        await asyncio.sleep(0.02)
        await table.read(reader)
    assert reader.stats().fills == 0
    await writer.publish(mark)


async def test_a_write_that_is_rolled_back_ends_nothing_for_long(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    with pytest.raises(ZeroDivisionError):
        async with cache.writing(touched(1)):
            raise ZeroDivisionError
    assert [await table.read(cache) for _ in range(2)] == [1, 1]
    assert table.loads == 1


async def test_touch_ends_what_plainsql_has_not_written(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    table.versions[2] = 1
    await table.read(cache, conversation=1)
    await table.read(cache, conversation=2)
    table.versions |= {1: 2, 2: 2}
    await cache.invalidate(TABLE, conversation_id=1)
    assert await table.read(cache, conversation=1) == 2
    assert await table.read(cache, conversation=2) == 1
    await cache.invalidate(TABLE)
    assert await table.read(cache, conversation=2) == 2


async def test_a_thousand_concurrent_misses_are_one_read(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    assert await asyncio.gather(*(table.read(cache) for _ in range(1000))) == [1] * 1000
    assert table.loads == 1


async def test_of_several_processes_too(open_cache: Open, table: Table) -> None:
    caches = [open_cache(lease_wait=30.0) for _ in range(4)]
    reads = [table.read(cache) for _ in range(250) for cache in caches]
    assert await asyncio.gather(*reads) == [1] * 1000
    assert table.loads == 1


async def test_who_waits_for_another_process_reads_itself_when_it_takes_too_long(
    open_cache: Open, table: Table
) -> None:
    slow, other = open_cache(), open_cache(lease_wait=0.02)
    table.gate.clear()
    held = asyncio.ensure_future(table.read(slow))
    await table.seen.wait()
    table.seen.clear()
    waiting = asyncio.ensure_future(table.read(other))
    await table.seen.wait()
    table.gate.set()
    assert [await held, await waiting] == [1, 1]


async def test_no_two_callers_have_the_same_object(open_cache: Open) -> None:
    from plainsql.cache import CachedQuery
    from plainsql.dependencies import CachedRead, Dependency

    cache = open_cache()
    lists = CachedQuery[list[int]]("shop.ids", CachedRead(60, (Dependency(TABLE),), local=60), (), list[int])

    async def load() -> list[int]:
        await asyncio.sleep(0)
        return [1]

    found = await asyncio.gather(*(cache.read(lists, (), load) for _ in range(10)))
    found += [await cache.read(lists, (), load) for _ in range(3)]
    found.append(cache.probe(lists, ()))  # type: ignore[arg-type]
    assert found == [[1]] * 14
    assert len({id(one) for one in found}) == 14


async def test_an_error_of_the_database_is_the_callers_and_is_not_stored(open_cache: Open) -> None:
    cache = open_cache()
    answers = iter([ZeroDivisionError(), None])

    async def load() -> None:
        if error := next(answers):
            raise error

    with pytest.raises(ZeroDivisionError):
        await cache.read(BY_CONVERSATION, (1,), load)
    assert await cache.read(BY_CONVERSATION, (1,), load) is None
    assert await cache.read(BY_CONVERSATION, (1,), load) is None


async def test_a_read_that_joins_while_another_process_loads_is_not_forgotten(
    open_cache: Open, table: Table
) -> None:
    slow, other = open_cache(), open_cache(lease_wait=60.0)
    table.gate.clear()
    held = asyncio.ensure_future(table.read(slow))
    await table.seen.wait()
    reads = []
    for _ in range(20):
        reads += [asyncio.ensure_future(table.read(other)) for _ in range(3)]
        await asyncio.sleep(0.005)
    table.gate.set()
    async with asyncio.timeout(30):
        assert await asyncio.gather(held, *reads) == [1] * 61
    assert table.loads == 1


async def test_a_version_does_not_come_back_though_a_call_does(open_cache: Open, table: Table) -> None:
    # A reply was lost, and the client has sent the command again.
    cache = open_cache()
    store, call = cache._store, BY_CONVERSATION.call(BY_CONVERSATION.key((1,), ()), (1,))
    first = await store.lookup(call, "token", keep=60, lease=60)
    assert await store.fill(call, "token", first.versions, BY_CONVERSATION.codec.encode(None), 60)
    assert (await store.lookup(call, "other", keep=60, lease=60)).state == "hit"
    await table.write(cache, 2)
    second = await store.lookup(call, "token", keep=60, lease=60)
    assert second.state == "fill"
    assert second.versions != first.versions
    await store.release(call, "token")


async def test_a_lease_is_given_back_by_its_owner_alone(open_cache: Open) -> None:
    cache = open_cache()
    store, call = cache._store, BY_CONVERSATION.call(BY_CONVERSATION.key((1,), ()), (1,))
    look = await store.lookup(call, "owner", keep=60, lease=60)
    await store.release(call, "another")
    assert await store.fill(call, "another", look.versions, b"x", 60), "current, but nothing is stored"
    assert (await store.lookup(call, "third", keep=60, lease=60)).state == "busy"
    await store.release(call, "owner")
    assert (await store.lookup(call, "third", keep=60, lease=60)).state == "fill"
    await store.release(call, "third")
