"""Values that are set, read and deleted; types, keys and times to live."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from plainsql.errors import BindError, RedisUnavailableError
from plainsql.values import Values
from plainsql.values.type_digest import type_digest
from tests.redis_server import redis_server
from tests.values.conftest import Rate


async def test_what_was_set_is_read_until_it_is_deleted(values: Values[Rate]) -> None:
    assert await values.get("USD") is None
    assert await values.get("USD", "none") == "none"
    await values.set("USD", Rate("USD", 0.92))
    assert await values.get("USD") == Rate("USD", 0.92)
    await values.set("USD", Rate("USD", 0.93))
    assert await values.get("USD") == Rate("USD", 0.93)
    assert await values.delete("USD")
    assert not await values.delete("USD")
    assert await values.get("USD") is None


async def test_a_value_expires_after_its_time_to_live(redis_url: str, prefix: str, redis: Redis) -> None:
    async with Values(redis_url, Rate, prefix=prefix, ttl=600, deadline=30) as values:
        await values.set("a", Rate("a"))
        await values.set("b", Rate("b"), ttl=60)
        await values.get_or_load("c", lambda: Rate("c"))
        await values.get_or_load("d", lambda: Rate("d"), ttl=60)
        await values.set("e", Rate("e"), ttl=0.001)
        times = [await redis.pttl(f"{prefix}:{{{key}}}") for key in "abcd"]
        for time, life in zip(times, [600, 60, 600, 60], strict=True):
            assert 0 <= life * 1000 - time < 30_000
        while await redis.exists(f"{prefix}:{{e}}"):
            pass
        assert await values.get("e") is None


async def test_none_is_a_value_of_an_optional_type(redis_url: str, prefix: str) -> None:
    values: Values[Rate | None] = Values(redis_url, Rate | None, prefix=prefix, deadline=30)
    async with values:
        assert await values.get("x", "missing") == "missing"
        await values.set("x", None)
        assert await values.get("x", "missing") is None

        def load() -> Rate:
            raise AssertionError("it is there")

        assert await values.get_or_load("x", load) is None


_NUMBER = UUID("6f1f9f5c-3f62-4f8b-9a7e-1f1f1f1f1f1f")


async def test_two_keys_never_mean_one_value(redis_url: str, prefix: str) -> None:
    keys: list[Any] = [
        *("a:b", "a", "a%:b", "a%3A:b", "{a}", "%7Ba%7D", 7, _NUMBER, "é", "a:lease", "a}:lease"),
        *(("a", "b"), ("a:b", "c"), ("a", "b:c"), ("a", "b", "c"), ("a%", "b"), ("a", 7)),
    ]
    async with Values(redis_url, int, prefix=prefix, deadline=30) as values:
        for number, key in enumerate(keys):
            await values.set(key, number)
        assert [await values.get(key) for key in keys] == [*range(len(keys))]
        assert await values.get(str(_NUMBER)) == keys.index(_NUMBER)


@pytest.mark.parametrize("key", [None, b"a", 1.5, True, "", "x" * 513, "\ud800", (), ("a", None), (("a",),)])
async def test_what_is_no_key_is_refused(values: Values[Rate], key: Any) -> None:
    for call in (
        values.get(key),
        values.set(key, Rate("a")),
        values.delete(key),
        values.get_or_load(key, lambda: Rate("a")),
    ):
        with pytest.raises(BindError, match=r"^key: expected"):
            await call


@pytest.mark.parametrize("value", [None, "s3cret", Rate(5), Rate("s3cret\ud800"), object()])  # type: ignore[arg-type]
async def test_a_value_of_another_type_is_refused_and_not_shown(values: Values[Rate], value: Any) -> None:
    for call in (values.set("a", value), values.get_or_load("a", lambda: value)):
        with pytest.raises(BindError, match=r"^value: ") as raised:
            await call
        assert "s3cret" not in str(raised.value)
    assert await values.get("a") is None
    assert await values.get_or_load("a", lambda: Rate("later")) == Rate("later")


class Color(Enum):
    RED = 1


def _struct(fields: list[Any], **config: Any) -> Any:
    return msgspec.defstruct("S", fields, module="m", **config)


_OTHERS: list[Any] = [
    *(int, float, str, bytes, bool, None, UUID, Color, list[int], list[str], set[int], tuple[int, int]),
    *(dict[str, int], int | None, Literal["a", "b"], Literal["a"], Rate, Rate | None, Any),
    _struct([("a", int)]),
    _struct([("b", int)]),
    _struct([("a", int), ("b", int)]),
    _struct([("a", int, 1)]),
    _struct([("a", int, 2)]),
    _struct([("a", int, 2)], omit_defaults=True),
    _struct([("a", list[int], msgspec.field(default_factory=list))]),
    _struct([("a", int)], tag="t"),
    _struct([("a", int)], array_like=True),
    _struct([("a", int)], rename="upper"),
    _struct([("s", _struct([("a", int)]))]),
    _struct([("s", _struct([("a", str)]))]),
]


def test_every_two_types_have_two_digests() -> None:
    assert len({type_digest(type_) for type_ in _OTHERS}) == len(_OTHERS)
    assert [type_digest(type_) for type_ in _OTHERS] == [type_digest(type_) for type_ in _OTHERS]


async def test_a_value_of_another_type_is_a_miss(redis_url: str, prefix: str, values: Values[Rate]) -> None:
    changed = msgspec.defstruct("Rate", [("currency", str), ("euros", float, 2.0)], module=Rate.__module__)
    async with Values(redis_url, changed, prefix=prefix, deadline=30) as newer:
        await values.set("USD", Rate("USD"))
        assert await newer.get("USD") is None
        assert await newer.get_or_load("USD", lambda: changed("USD")) == changed("USD")
        assert await values.get("USD") is None
        assert await values.delete("USD")
        assert await newer.get("USD") is None


async def test_what_others_wrote_there_is_a_miss(values: Values[Rate], redis: Redis, prefix: str) -> None:
    key = f"{prefix}:{{a}}"
    digest = type_digest(Rate)
    for spoil in (
        redis.rpush(key, "another program's"),
        redis.set(key, b""),
        redis.set(key, digest[:-1]),
        redis.set(key, digest),
        redis.set(key, digest + b"\xc1"),
        redis.set(key, digest + msgspec.msgpack.encode(7)),
    ):
        await redis.delete(key)
        await spoil
        assert await values.get("a") is None
        assert await values.get_or_load("a", lambda: Rate("a")) == Rate("a")
        assert await values.get("a") == Rate("a")


async def test_an_outage_is_an_error_or_a_load_without_redis(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "plainsql.values")
    with redis_server() as server:
        server.start()
        async with (
            Values(server.url, int, prefix="p") as strict,
            Values(server.url, int, prefix="p", without_redis="load") as lenient,
        ):
            await strict.set("a", 1)
            server.kill()
            for values in (strict, lenient):
                for call in (values.get("a"), values.set("a", 2), values.delete("a")):
                    with pytest.raises(RedisUnavailableError):
                        await call
            with pytest.raises(RedisUnavailableError):
                await strict.get_or_load("a", lambda: 3)
            assert await lenient.get_or_load("a", lambda: 4) == 4
            assert await lenient.get_or_load("a", lambda: 5) == 5
            with pytest.raises(ZeroDivisionError):
                await lenient.get_or_load("a", lambda: 1 // 0)
            server.start()
            assert await strict.get("a") is None
            while await strict.get("a") is None:
                await lenient.get_or_load("a", lambda: 6)
            assert await strict.get("a") == 6
    messages = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert messages == ["values are loaded without Redis", "values are stored in Redis again"]
