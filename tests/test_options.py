"""Options of public functions: what cannot be is refused by one error that names the option."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg_pool import ConnectionPool

import plainsql
from plainsql import crypto, embedded, migrate, sync
from plainsql.database import GuestExecutor
from plainsql.limits import Limits, SlidingWindow, SyncLimits
from plainsql.options import OPTIONS, check, nearest
from plainsql.otel import Telemetry
from plainsql.query.sql_calls import AsyncSql, SyncSql
from plainsql.redis_connection import RedisConnection
from plainsql.sessions import Sessions, SyncSessions
from plainsql.sync_redis_connection import SyncRedisConnection
from plainsql.values import SyncValues, Values
from plainsql.vector import fill, recall
from tests.database.ask import SELECT_1

NO_POOL = asyncpg.Pool.__new__(asyncpg.Pool)  # nothing is sent there
REDIS = "redis://127.0.0.1:1/0"  # nothing is sent there


@dataclass
class Function:
    """A public function, and a way to call it with the options of a test."""

    function: Any
    call: Callable[[Any, dict[str, Any]], Any]
    """Given a database and the options; what it returns may be awaited."""
    not_options: tuple[str, ...] = ()
    """Parameters that are data: what they may be is the function's own matter."""


async def enter(block: Any) -> None:
    async with block:
        pass


def call(function: Any, needed: dict[str, Any], given: dict[str, Any]) -> Any:
    return function(**(needed | given))


def of_any_kind(*queries: Any) -> Any:
    return queries


def limits() -> Any:
    return Limits(REDIS, prefix="test")


def embedded_server() -> Any:
    return embedded.EmbeddedServer.__new__(embedded.EmbeddedServer)


def on_a_server(name: str, _: object, given: dict[str, Any]) -> Any:
    return getattr(embedded_server(), name)(**given)


def sessions(given: dict[str, Any], kind: Any = Sessions) -> Any:
    """Return sessions, or values: both have a type."""
    needed: dict[str, Any] = {"redis": REDIS, "type": int, "prefix": "test"}
    return kind(**(needed | given))


def rotation(given: dict[str, Any]) -> Any:
    needed: dict[str, Any] = {"connection": None, "column": "s.t.c", "keys": [], "ring": None}
    return crypto.Rotation(**(needed | given))


async def work(_: object) -> None:
    pass


async def create(given: dict[str, Any]) -> None:
    await sessions({}).create("u", 1, **given)


def in_scripts(given: dict[str, Any], url: str) -> None:
    with sync.connect(url) as db, db.transaction(**given):
        pass


def in_sync_sql(given: dict[str, Any], url: str) -> None:
    with sync.connect(url) as db:
        run: Any = db.sql
        run("select 1", **({"type": int} | given))


def in_pool(given: dict[str, Any], url: str) -> None:
    with sync.Pool(url) as db, db.transaction(**given):
        pass


def close_pool(given: dict[str, Any], url: str) -> None:
    with sync.Pool(url) as db:
        db.close(**given)


def over_nothing(given: dict[str, Any]) -> None:
    source: Any = None
    sync.over(source, **given)


def over_connection(given: dict[str, Any], url: str) -> None:
    with psycopg.connect(url) as connection, sync.over(connection).transaction(**given):
        pass


def over_pool(given: dict[str, Any], url: str) -> None:
    with ConnectionPool(url, min_size=1, open=True) as pool, sync.over(pool).transaction(**given):
        pass


def of_sync(db: Any, name: str, needed: dict[str, Any], given: dict[str, Any]) -> None:
    with sync.connect(db.test_url) as session:
        getattr(session, name)(**(needed | given))


SYNC_DATABASES = (sync.Database, sync.TenantDatabase, sync.Pool, sync.TenantPool)
SYNC_EXECUTORS = (*SYNC_DATABASES, sync.Transaction, sync.GuestExecutor, sync.GuestPoolExecutor)

FUNCTIONS: dict[str, list[Function]] = {
    "connect": [Function(plainsql.connect, lambda _, given: plainsql.connect(**given))],
    "over": [Function(plainsql.over, lambda db, given: plainsql.over(NO_POOL, **given), ("source",))],
    "sync.connect": [Function(sync.connect, lambda _, given: sync.connect(**given))],
    "sync.Pool": [Function(sync.Pool, lambda _, given: sync.Pool(**given))],
    "sync.over": [Function(sync.over, lambda _, given: over_nothing(given), ("source",))],
    "Telemetry": [Function(Telemetry, lambda _, given: Telemetry(**given))],
    "transaction": [
        Function(plainsql.Database.transaction, lambda db, given: enter(db.transaction(**given))),
        Function(
            plainsql.CausalSession.transaction, lambda db, given: enter(db.causal().transaction(**given))
        ),
        Function(
            GuestExecutor.transaction, lambda _, given: enter(plainsql.over(NO_POOL).transaction(**given))
        ),
        Function(sync.Database.transaction, lambda db, given: in_scripts(given, db.test_url)),
        *(
            Function(kind.transaction, lambda db, given: in_pool(given, db.test_url))
            for kind in (sync.Pool, sync.TenantPool)
        ),
        Function(sync.GuestExecutor.transaction, lambda db, given: over_connection(given, db.test_url)),
        Function(sync.GuestPoolExecutor.transaction, lambda db, given: over_pool(given, db.test_url)),
    ],
    "retry": [
        Function(plainsql.Database.retry, lambda db, given: call(db.retry, {"work": work}, given)),
        *(
            Function(kind.retry, lambda db, given: of_sync(db, "retry", {"work": len}, given))
            for kind in SYNC_DATABASES
        ),
    ],
    "tenant": [
        Function(plainsql.Database.tenant, lambda db, given: call(db.tenant, {"tenant_id": 1}, given)),
        *(
            Function(kind.tenant, lambda db, given: call(db.tenant, {"tenant_id": 1}, given))
            for kind in (sync.Database, sync.Pool)
        ),
    ],
    "replica": [
        Function(plainsql.Database.replica, lambda db, given: db.replica(**given)),
        *(
            Function(kind.replica, lambda db, given: of_sync(db, "replica", {}, given))
            for kind in SYNC_DATABASES
        ),
    ],
    "causal": [
        Function(plainsql.Database.causal, lambda db, given: db.causal(**given)),
        *(
            Function(kind.causal, lambda db, given: of_sync(db, "causal", {}, given))
            for kind in SYNC_DATABASES
        ),
    ],
    "lock": [Function(plainsql.Database.lock, lambda db, given: enter(call(db.lock, {"key": "k"}, given)))],
    "listen": [
        Function(plainsql.Database.listen, lambda db, given: call(db.listen, {"channel": "c"}, given)),
    ],
    "check": [
        Function(plainsql.Database.check, lambda db, given: db.check(**given)),
        *(
            Function(kind.check, lambda db, given: of_sync(db, "check", {}, given))
            for kind in (sync.Database, sync.Pool)
        ),
    ],
    "close": [
        Function(plainsql.Database.close, lambda db, given: db.close(**given)),
        Function(sync.Pool.close, lambda db, given: close_pool(given, db.test_url)),
    ],
    "copy_in": [
        Function(function, lambda db, given: call(db.copy_in, {"table": "t", "rows": []}, given))
        for function in (plainsql.Database.copy_in, plainsql.Transaction.copy_in, GuestExecutor.copy_in)
    ]
    + [
        Function(kind.copy_in, lambda db, given: of_sync(db, "copy_in", {"table": "t", "rows": []}, given))
        for kind in SYNC_EXECUTORS
    ],
    "copy_out": [
        Function(function, lambda db, given: db.copy_out(**({"query": SELECT_1, "output": "-"} | given)))
        for function in (plainsql.Database.copy_out, plainsql.Transaction.copy_out, GuestExecutor.copy_out)
    ]
    + [
        Function(
            kind.copy_out,
            lambda db, given: of_sync(db, "copy_out", {"query": SELECT_1, "output": "-"}, given),
        )
        for kind in SYNC_EXECUTORS
    ],
    "sql": [
        Function(AsyncSql.sql, lambda db, given: db.sql("select 1", **({"type": int} | given)), ("text",)),
        Function(SyncSql.sql, lambda db, given: in_sync_sql(given, db.test_url), ("text",)),
    ],
    "Limits": [
        Function(Limits, lambda _, given: call(Limits, {"redis": REDIS, "prefix": "test"}, given)),
        Function(SyncLimits, lambda _, given: call(SyncLimits, {"redis": REDIS, "prefix": "test"}, given)),
    ],
    "bucket": [
        Function(Limits.bucket, lambda _, given: call(limits().bucket, {"name": "b", "rate": 1}, given)),
    ],
    "window": [Function(Limits.window, lambda _, given: call(limits().window, {"name": "w"}, given))],
    "charge": [
        Function(
            SlidingWindow.charge,
            lambda _, given: limits().window("w").charge("s", **({"limit": 1, "window": 1} | given)),
            ("subject",),
        )
    ],
    "wait": [Function(Limits.wait, lambda _, given: limits().wait(**given), ("charges",))],
    "Sessions": [
        Function(
            Sessions,
            lambda _, given: sessions(given),
        ),
        Function(SyncSessions, lambda _, given: sessions(given, SyncSessions)),
    ],
    "Values": [
        Function(Values, lambda _, given: sessions(given, Values)),
        Function(SyncValues, lambda _, given: sessions(given, SyncValues)),
    ],
    "set": [
        Function(Values.set, lambda _, given: sessions({}, Values).set("k", 1, **given), ("key", "value")),
        Function(
            SyncValues.set, lambda _, given: sessions({}, SyncValues).set("k", 1, **given), ("key", "value")
        ),
    ],
    "get_or_load": [
        Function(
            Values.get_or_load,
            lambda _, given: sessions({}, Values).get_or_load("k", **({"load": int} | given)),
            ("key",),
        ),
        Function(
            SyncValues.get_or_load,
            lambda _, given: sessions({}, SyncValues).get_or_load("k", **({"load": int} | given)),
            ("key",),
        ),
    ],
    "create": [Function(Sessions.create, lambda _, given: create(given), ("user", "value", "name"))],
    "modify": [
        Function(
            Sessions.modify,
            lambda _, given: call(sessions({}).modify, {"session": None, "change": int}, given),
            ("session",),
        )
    ],
    "RedisConnection": [
        Function(RedisConnection, lambda _, given: call(RedisConnection, {"redis": REDIS}, given)),
        Function(SyncRedisConnection, lambda _, given: call(SyncRedisConnection, {"redis": REDIS}, given)),
    ],
    "migrate.status": [
        Function(migrate.status, lambda _, given: call(migrate.status, {"url": "-", "folder": "-"}, given))
    ],
    "migrate.apply": [
        Function(migrate.apply, lambda _, given: call(migrate.apply, {"url": "-", "folder": "-"}, given))
    ],
    "migrate.rollback": [
        Function(
            migrate.rollback, lambda _, given: call(migrate.rollback, {"url": "-", "folder": "-"}, given)
        )
    ],
    "migrate.mark": [
        Function(
            migrate.mark,
            lambda _, given: call(migrate.mark, {"url": "-", "folder": "-", "name": "-"}, given),
        )
    ],
    "migrate.verify": [
        Function(migrate.verify, lambda _, given: call(migrate.verify, {"url": "-", "folder": "-"}, given))
    ],
    "migrate.new": [
        Function(migrate.new, lambda _, given: call(migrate.new, {"folder": "-", "what": "-"}, given))
    ],
    "embedded.start": [Function(embedded.start, lambda _, given: embedded.start(**given))],
    "embedded.stop": [Function(embedded.stop, lambda _, given: embedded.stop(**given))],
    "embedded.status": [Function(embedded.status, lambda _, given: embedded.status(**given))],
    "url": [Function(embedded.EmbeddedServer.url, lambda _, given: embedded_server().url(**given))],
    "log_tail": [
        Function(embedded.EmbeddedServer.log_tail, lambda _, given: embedded_server().log_tail(**given)),
    ],
    **{
        name: [Function(getattr(embedded.EmbeddedServer, name), functools.partial(on_a_server, name))]
        for name in ("promote", "wait_for_replay", "pause_replay", "restart")
    },
    "fill": [
        Function(
            fill,
            lambda db, given: fill(db, *of_any_kind(SELECT_1, SELECT_1), **({"embed": len} | given)),
            ("db", "list_query", "set_query"),
        )
    ],
    "recall": [
        Function(recall, lambda _, given: recall(SELECT_1, "-", **given), ("query", "database")),
    ],
    "load": [Function(plainsql.load, lambda _, given: plainsql.load(**given))],
    "Rotation": [
        Function(
            crypto.Rotation,
            lambda _, given: rotation(given),
            ("connection", "ring", "failures", "_table", "_name", "_primary", "_key_types"),
        ),
        Function(
            crypto.Rotation.prepare,
            lambda _, given: rotation({}).prepare(**given),
        ),
    ],
}

# The parameters of these are data, each checked at its use; or only the library makes
# them.
NO_OPTIONS = {
    "plainsql": {
        *(
            "Call",
            "Codec",
            "Composite",
            "Database",
            "Json",
            "Row",
            "Transaction",
            "UNSET",
            "UnsetType",
            "sync",
        ),
        *("AsyncExecutor", "SyncExecutor", "TenantDatabase", "Check", "Health", "json_default", "to_json"),
        *("Page", "PageRequest", "AsyncTransactional", "SyncTransactional", "CausalSession", "ReplicaView"),
    },
    "plainsql.database": {
        *("CausalSession", "ReplicaStats", "ReplicaView"),
        *(
            "Call",
            "Connecting",
            "Database",
            "GuestExecutor",
            "Isolation",
            "Notification",
            "OnCall",
            "PoolStats",
        ),
        *("TenantDatabase", "Transaction"),
    },
    "plainsql.sync": {
        *("Database", "GuestExecutor", "GuestPoolExecutor", "Isolation", "PoolStats"),
        *("CausalSession", "PoolCausalSession", "PoolReplicaView", "ReplicaView"),
        *("TenantDatabase", "TenantPool", "Transaction"),
    },
    "plainsql.limits": {
        *("Charge", "Decision", "SlidingWindow", "Subject", "TokenBucket", "WithoutRedis"),
        *("SyncSlidingWindow", "SyncTokenBucket"),
    },
    "plainsql.sessions": {"Fence", "Session"},
    "plainsql.values": {"Key", "WithoutRedis"},
    "plainsql.crypto": {
        *("KEYS_VARIABLE", "Encrypted", "KeyRing", "Secret", "encrypt", "encrypt_searchable", "new_key"),
        "search_digests",
    },
    "plainsql.migrate": {
        "Mark",
        "Folder",
        "Migration",
        "MigrationStatus",
        "Progress",
        "Run",
        "SchemaDifference",
        "Status",
        "Step",
        "Verification",
        "read_folder",
    },
    "plainsql.embedded": {
        *("EmbeddedServer", "Status", "project_folder", "scratch_folder", "start_or_scratch"),
    },
    "plainsql.otel": set[str](),
    "plainsql.vector": {
        *("Failure", "Filled", "HalfVector", "SparseVector", "Vector"),
        *("RecallCase", "RecallMeasurement", "RecallReport"),
    },
}
# Methods of what is returned, with no option but data.
NO_OPTIONS_METHODS = {
    *("run", "fresh", "batch", "execute_many", "stream", "consume", "check", "charge", "is_limited"),
    *("remaining", "get", "get_named", "update", "delete", "list_by_user", "expire_all", "fence", "acquire"),
    *("stats", "aclose", "pending", "copy_rows"),
    "wait",  # of a bucket and a window: their `charge` and the `wait` of `Limits`
}

NUMBERS: list[Any] = [
    *(True, False, float("nan"), float("inf"), -float("inf"), -1, 10**400),
    *("5", b"5", [], Decimal(1)),
]
FLAGS: list[Any] = [0, 1, "off", "True", None, [], 1.0]
TEXTS: list[Any] = [5, b"x", True, [], {}, object(), "a\0b", "\ud800"]
BY_ANNOTATION: dict[str, list[Any]] = {"bool": FLAGS, "int": NUMBERS, "float": NUMBERS, "str": TEXTS}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    return {name: one for name, one in found.items() if one.kind is not one.VAR_KEYWORD}


def cases() -> list[Any]:
    return [
        pytest.param(name, function, option, id=f"{name}-{number}-{option}")
        for name, functions in FUNCTIONS.items()
        for number, function in enumerate(functions)
        for option in parameters(function.function)
        if option not in function.not_options
    ]


@pytest.fixture
async def options_db(database_url: str) -> AsyncGenerator[Any]:
    async with plainsql.connect(database_url) as db:
        db.test_url = database_url  # type: ignore[attr-defined]
        yield db


def unfit(function: Function, name: str, option: str) -> list[Any]:
    """Return the values that an option cannot have, by its annotation and its kind."""
    if option in ("redis", "type"):
        return []
    annotation = re.sub(r"\[.*\]", "", str(parameters(function.function)[option].annotation))
    types = {part.strip("' ") for part in annotation.split("|")}
    given: list[Any] = []
    for type_, values in BY_ANNOTATION.items():
        if type_ in types:
            given += values
    kind = OPTIONS[name][option]
    if "PathLike" in annotation or "Path" in types:
        given = [5, True, [], b"x", "a\0b"]
    else:
        more = [5, -1, 0, "", "nonsense", 1.5, [5], {"a": 5}, b"x", object(), float("nan"), None]
        given += [value for value in more if not kind.fits(value)]
    if option == "url" and (
        "connect" in name or name == "sync.Pool"
    ):  # another error says what is wrong with a URL
        given = [value for value in given if not isinstance(value, str)]
    if option == "replicas":  # none of them
        given = [value for value in given if value != []]
    if option == "cache":  # None is its former value, which works with a warning
        given = [value for value in given if value is not None]
    if "None" in types:
        given = [value for value in given if value is not None]
    return given


async def called(function: Function, db: Any, given: dict[str, Any]) -> None:
    done = function.call(db, given)
    if isinstance(done, Awaitable):
        await done


@pytest.mark.parametrize(("name", "function", "option"), cases())
async def test_an_option_that_cannot_be_is_refused_by_name(
    options_db: Any, name: str, function: Function, option: str
) -> None:
    values = unfit(function, name, option)
    assert values or option in ("redis", "type"), f"no case for {name}({option}=)"
    for value in values:
        with pytest.raises(plainsql.OptionError) as raised:
            await called(function, options_db, {option: value})
        assert raised.value.message.startswith(f"{name}(): {option}: expected "), repr(value)
        assert isinstance(raised.value, plainsql.SettingsError)
        assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(("name", "function", "option"), cases())
def test_a_default_is_one_that_may_be_given(name: str, function: Function, option: str) -> None:
    parameter = parameters(function.function)[option]
    if parameter.default is not inspect.Parameter.empty:
        check(name, **{option: parameter.default})


def test_every_option_of_every_public_function_is_in_the_table() -> None:
    assert set(FUNCTIONS) == set(OPTIONS)
    for name, functions in FUNCTIONS.items():
        options = {
            option
            for function in functions
            for option in parameters(function.function)
            if option not in function.not_options
        }
        if name == "charge":  # of buckets, too
            options |= {"n"}
        assert options == set(OPTIONS[name]), name


def test_every_public_function_is_here() -> None:
    here = {
        getattr(one.function, "__qualname__", "") for functions in FUNCTIONS.values() for one in functions
    }
    for module, left_out in NO_OPTIONS.items():
        names = import_module(module).__all__
        for name in names:
            value = getattr(import_module(module), name)
            if isinstance(value, type) and issubclass(value, BaseException):
                continue
            assert name in left_out or value.__qualname__ in here, f"{module}.{name} has no cases"
            if not isinstance(value, type) or name.startswith(("Async", "Sync")):
                continue
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if method.startswith("_") or not function.__module__.startswith(module):
                    continue
                keywords = [
                    one.name
                    for one in parameters(function).values()
                    if one.kind is one.KEYWORD_ONLY or isinstance(one.default, bool | int | float)
                ]
                known = method in NO_OPTIONS_METHODS or function.__qualname__ in here
                assert known or not keywords, f"{module}.{name}.{method} has no cases for {keywords}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_size": 3, "max_size": 2}, "connect(): min_size: expected at most max_size, which is 2, got 3"),
        ({"cache": 1}, "connect(): cache: expected True or False, got 1"),
        ({"on_cache_failure": "off"}, "connect(): on_cache_failure: expected 'commit' or 'fail', got 'off'"),
        ({"autobatch": "off"}, "connect(): autobatch: expected True or False, got str"),
        ({"prefetch": 0}, "connect(): prefetch: expected an integer from 1 to 2147483647, got 0"),
        (
            {"acquire_timeout": 0},
            "connect(): acquire_timeout: expected seconds above 0 and below 2**31 or None, got 0",
        ),
        ({"cache_audit": 2}, "connect(): cache_audit: expected a number from 0 to 1, got 2"),
        (
            {"server_settings": {"work_mem": 64}},
            "connect(): server_settings: expected a dict of str to str, or None, got int for 'work_mem'",
        ),
        ({"server_settings": {"a.b": "s3cr3t\0"}}, "got a str with a zero byte for 'a.b'"),
        ({"statement_timeout": "5s"}, "at most 2147483, or None, got str"),
        ({"statement_timeout": 10**400}, "got an integer of 1329 bits"),
        ({"pooler": "s" * 500}, "got '" + "s" * 40 + "…'"),
        ({"url": b"postgresql://u:s3cr3t@h"}, "connect(): url: expected a URL (str), or None, got bytes"),
        ({"tenant_setting": "a.b", "user_setting": "a.b"}, "connect(): user_setting: expected another one"),
        ({"tenant_setting": "x"}, "connect(): tenant_setting: expected a name with a dot, like 'app.tenant'"),
        ({"cache_outbox": True, "cache": False}, "connect(): cache_outbox: expected a cache"),
        (
            {"on_call": work},
            "connect(): on_call: expected a function that is not async, or None, got an async",
        ),
    ],
)
def test_the_error_says_what_was_expected_and_what_came(given: dict[str, Any], message: str) -> None:
    with pytest.raises(plainsql.OptionError) as raised:
        plainsql.connect(**given)
    assert message in raised.value.message
    assert "s3cr3t" not in str(raised.value)


def test_a_misspelt_name_is_known_again() -> None:
    assert nearest("sslmod", OPTIONS) is None
    assert nearest("migrate.aply", OPTIONS) == "migrate.apply"
