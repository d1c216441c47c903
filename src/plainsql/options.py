"""The options of public functions: one table of their kinds, and one error for a value that does not fit.

::

    check("connect", max_size=max_size, cache=cache)

raises ``OptionError: connect(): max_size: expected …, got …``. The text never holds a value that may be a
secret: numbers and words of a choice are quoted, of all else the type alone.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from ssl import SSLContext
from typing import Any, Final

from plainsql.duration_text import seconds_of
from plainsql.errors import OptionError
from plainsql.option_values import Kind
from plainsql.option_values import item_shown as _item_shown
from plainsql.option_values import quoted as _quoted
from plainsql.option_values import shown as _shown
from plainsql.option_values import text_fault as _text_fault

__all__ = ["OPTIONS", "SETTING_NAME", "Kind", "check", "nearest", "refusal"]


def check(function: str, /, **given: object) -> None:
    """Raise ``OptionError`` for the first option that is not of its kind."""
    kinds = OPTIONS[function]
    for name, value in given.items():
        if not kinds[name].fits(value):
            raise refusal(function, name, value)


def refusal(function: str, name: str, value: object) -> OptionError:
    """Return the error of an option that is not of its kind."""
    kind = OPTIONS[function][name]
    got = (kind.got or _shown)(value)
    return OptionError(f"{function}(): {name}: expected {kind.expected}, got {got}", hint=kind.hint)


def nearest(name: str, known: object) -> str | None:
    """Return the known name that a misspelt one is likely to mean."""
    names = [str(one) for one in known] if isinstance(known, Mapping | list | tuple | frozenset | set) else []
    return next(iter(get_close_matches(name, sorted(names), 1, 0.75)), None)


# -- Kinds ----------------------------------------------------------------------------------------------


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return _is_whole(value)


def _or_none(kind: Kind) -> Kind:
    return kind._replace(
        expected=f"{kind.expected} or None", fits=lambda value: value is None or kind.fits(value)
    )


def _whole(low: int, high: int = 2**31 - 1) -> Kind:
    return Kind(f"an integer from {low} to {high}", lambda value: _is_whole(value) and low <= value <= high)


def _number(low: float, high: float) -> Kind:
    return Kind(
        f"a number from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high
    )


_LONGEST_S: Final = 2**31 / 1000 - 1
"""Seconds: a setting of the server in milliseconds holds no more (24.8 days)."""

# More than 68 years is a mistake, and a clock may not hold it.
_SECONDS: Final = Kind(
    "seconds above 0 and below 2**31", lambda value: _is_number(value) and 0 < value < 2**31
)
_SECONDS_FROM_0: Final = Kind(
    "seconds from 0 to 2**31", lambda value: _is_number(value) and 0 <= value <= 2**31
)
_NO_LIMIT: Final = _or_none(_SECONDS)._replace(hint="pass None for no limit")
_STATEMENT_TIMEOUT: Final = Kind(
    f"seconds above 0, at most {_LONGEST_S:.0f}, or None",
    lambda value: value is None or (_is_number(value) and 0 < value <= _LONGEST_S),
    hint="pass None for no limit",
)
_FLAG: Final = Kind("True or False", lambda value: isinstance(value, bool))
_TEXT: Final = Kind("a str", lambda value: isinstance(value, str) and _text_fault(value) is None)
_NAME: Final = Kind(
    "a non-empty str", lambda value: isinstance(value, str) and value != "" and _text_fault(value) is None
)
_PATH: Final = Kind("a path", lambda value: isinstance(value, str | PathLike) and "\0" not in str(value))
_SERVER: Final = Kind(
    "a running server (plainsql.embedded.start) or a URL",
    lambda value: _NAME.fits(value) or callable(getattr(value, "promote", None)),
)
_POSITION: Final = Kind(
    "a position in the write-ahead log, such as '0/3000148'",
    lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", value)),
)
_HOOK: Final = Kind(
    "a function that is not async, or None",
    lambda value: value is None or (callable(value) and not _is_async(value)),
    lambda value: "an async function" if _is_async(value) else type(value).__name__,
)
# Braces would choose the slot of a cluster.
_KEY_PART: Final = Kind(
    "a str of 1 to 512 characters without braces",
    lambda value: _NAME.fits(value) and len(value) <= 512 and not {"{", "}"} & {*value},
    lambda value: (
        _shown(value)
        if not _NAME.fits(value)
        else "braces"
        if len(value) <= 512
        else f"{len(value)} characters"
    ),
)
_NAMESPACE: Final = Kind(
    "a str of at most 128 printable characters without braces",
    lambda value: (
        isinstance(value, str) and len(value) <= 128 and value.isprintable() and not {"{", "}"} & {*value}
    ),
    _quoted,
)
_PREFIX: Final = _NAMESPACE._replace(
    expected="a non-empty str of at most 128 printable characters without braces",
    fits=lambda value: value != "" and _NAMESPACE.fits(value),
    hint="leave it out to use the application's name",
)
_NAMES: Final = Kind(
    "a list of str",
    lambda value: (
        isinstance(value, Sequence) and not isinstance(value, str) and all(_NAME.fits(one) for one in value)
    ),
)
_REPLICAS: Final = Kind(
    "a list of URLs (str), the name of what finds them (str) or None",
    lambda value: value is None or _NAME.fits(value) or _NAMES.fits(value),
    lambda value: _item_shown(value, _NAME.fits),
)
_ROWS: Final = Kind(
    "rows, as an iterable, an async one or a table in Arrow's format",
    lambda value: (
        hasattr(type(value), "__arrow_c_stream__")
        or (isinstance(value, Iterable | AsyncIterable) and not isinstance(value, str | bytes))
    ),
)
_CHANNEL: Final = Kind(
    "a non-empty str of at most 63 bytes",
    lambda value: _NAME.fits(value) and len(value.encode()) <= 63,
    lambda value: f"{len(value.encode())} bytes" if _NAME.fits(value) else _shown(value),
)
_TENANT: Final = Kind(
    "a tenant's id (str, int, UUID, …)",
    lambda value: (
        not (value is None or isinstance(value, bool | float | bytes | bytearray | list | dict | set | tuple))
        and _NAME.fits(str(value))
    ),
)


def _having(expected: str, *methods: str) -> Kind:
    return _or_none(
        Kind(expected, lambda value: all(callable(getattr(value, name, None)) for name in methods))
    )


_ANYTHING: Final = Kind("an object", lambda _: True)
"""Checked by the function itself, whose classes are not known here."""


def _is_async(value: object) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(value, "__call__", None))  # noqa: B004


def _choice(*words: str) -> Kind:
    *some, last = [repr(word) for word in words]
    return Kind(
        f"{', '.join(some)} or {last}" if some else last,
        lambda value: isinstance(value, str) and value in words,
        _quoted,
    )


def _is_setting_name(value: object) -> bool:
    if not isinstance(value, str):
        return False
    prefix, dot, rest = value.partition(".")
    return prefix.isidentifier() and dot == "." and all(part.isidentifier() for part in rest.split("."))


SETTING_NAME: Final = Kind("a name with a dot, like 'app.tenant'", _is_setting_name, _quoted)
"""The name of a setting that holds a tenant's or a user's id."""
_TENANT_SETTING: Final = _or_none(SETTING_NAME)._replace(expected=f"{SETTING_NAME.expected}, or None")


def _is_settings(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and _settings_fault(value) is None)


def _settings_fault(value: Mapping[Any, Any]) -> str | None:
    for name, setting in value.items():
        if not isinstance(name, str):
            return f"{type(name).__name__} for a name"
        if not name or _text_fault(name):
            return "a name that is none"
        if not isinstance(setting, str):
            return f"{type(setting).__name__} for {name!r}"
        if fault := _text_fault(setting):
            return f"{fault} for {name!r}"
    return None


_SETTINGS: Final = Kind(
    "a dict of str to str, or None",
    _is_settings,
    lambda value: (_settings_fault(value) if isinstance(value, Mapping) else None) or type(value).__name__,
    "write values as text: {'work_mem': '64MB'}",
)


# -- The table --------------------------------------------------------------------------------------------

# A connection of PostgreSQL is a process: more than this no server has.
_MOST_CONNECTIONS: Final = 262_143
# Rows of a portal are counted in 32 bits.
_MOST_ROWS: Final = 2**31 - 1

_POOLER: Final = _or_none(_choice("transaction", "session"))._replace(
    expected="'transaction', 'session' or None"
)
_CODECS: Final = Kind(
    "a dict of type names to plainsql.Codec, or None",
    lambda value: (
        value is None
        or (
            isinstance(value, Mapping)
            and all(_NAME.fits(name) and hasattr(codec, "decode_binary") for name, codec in value.items())
        )
    ),
)
_SSL_MODE: Final = _choice("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL: Final = Kind(
    "an ssl.SSLContext, a mode such as 'verify-full', or None",
    lambda value: value is None or isinstance(value, SSLContext) or _SSL_MODE.fits(value),
    _quoted,
)
_PASSWORD: Final = Kind(
    "a non-empty str, a function that returns one, or None",
    lambda value: value is None or _NAME.fits(value) or callable(value),
)
_CONNECT: Final = {
    "url": Kind(
        "a URL (str), or None",
        lambda value: value is None or (isinstance(value, str) and value.strip() != ""),
    ),
    "connect_timeout": _or_none(_SECONDS),
    "statement_timeout": _STATEMENT_TIMEOUT,
    "failover_timeout": _or_none(_SECONDS),
    "application_name": _or_none(_TEXT),
    "prefetch": _whole(1, _MOST_ROWS),
    "tenant_setting": _TENANT_SETTING,
    "user_setting": _TENANT_SETTING,
    "pooler": _POOLER,
    "search_path": _or_none(_TEXT),
    "database": _or_none(_NAME),
    "codecs": _CODECS,
}
_ON_REPLICAS: Final = {"max_lag": _SECONDS, "max_wait": _SECONDS_FROM_0}
_SYNC_CONNECT: Final = {
    **_CONNECT,
    "password": Kind(
        "a non-empty str, a function that returns one and is not async, or None",
        lambda value: _PASSWORD.fits(value) and not (callable(value) and _is_async(value)),
        lambda value: "an async function" if _is_async(value) else _shown(value),
    ),
    "on_connect": _HOOK,
    "ssl": _or_none(_SSL_MODE)._replace(
        hint="write sslrootcert, sslcert and sslkey into the URL: libpq takes no SSLContext"
    ),
    "redis": _or_none(_NAME._replace(expected="the URL of a Redis (str)")),
    "on_cache_failure": _choice("commit", "fail"),
    "cache_prefix": _or_none(_NAMESPACE),
    "replicas": _REPLICAS,
}

_ISOLATION: Final = _choice("read committed", "repeatable read", "serializable")
_TRANSACTION: Final = {"isolation": _or_none(_ISOLATION), "read_only": _FLAG, "deferrable": _FLAG}

# Of one connection to Redis and one answer: a limit of milliseconds is none that a network keeps.
_REDIS: Final = {"redis": _ANYTHING, "prefix": _or_none(_PREFIX), "deadline": _SECONDS}
# What the scripts calculate with is exact up to here.
_MOST_TOKENS: Final = 2**51 - 1
_PERIOD: Final = Kind(
    "seconds from 0.000001 to 2**31", lambda value: _is_number(value) and 1e-6 <= value < 2**31
)

_TTL: Final = Kind("seconds from 0.001 to 2**31", lambda value: _is_number(value) and 1e-3 <= value < 2**31)

_CACHE_TIMES: Final = Kind(
    "a dict of names of queries to times such as '30m', or 'off'",
    lambda value: (
        isinstance(value, Mapping)
        and all(
            isinstance(name, str) and isinstance(time, str) and (time == "off" or seconds_of(time))
            for name, time in value.items()
        )
    ),
)

_MIGRATIONS: Final = {"url": _NAME, "folder": _PATH, "layers": _or_none(_NAMES)}
_MIGRATION_MARK: Final = {
    **_MIGRATIONS,
    "dry_run": _FLAG,
    "wait": _SECONDS_FROM_0,
    "pooler": _POOLER,
    "on_progress": _HOOK,
}
_MIGRATION_RUN: Final = {
    **_MIGRATION_MARK,
    "to": _or_none(_NAME),
    "lock_timeout": _SECONDS_FROM_0,
    "lock_retries": _whole(0),
    "server_wait": _SECONDS_FROM_0,
}

_SHARE: Final = Kind("a number above 0, at most 1", lambda value: _is_number(value) and 0 < value <= 1)
_PARAMETERS: Final = Kind(
    "a dict of parameters", lambda value: isinstance(value, Mapping) and all(map(_NAME.fits, value))
)
_QUERY: Final = Kind("a query", lambda value: hasattr(value, "compiled") and hasattr(value, "file"))
_VECTORS: Final = Kind(
    "vectors, as a list or an array",
    lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping),
)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


_QUERY_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")

OPTIONS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "connect": {
        **_CONNECT,
        "password": _PASSWORD,
        "ssl": _SSL,
        "on_connect": Kind(
            "an async function, or None",
            lambda value: value is None or _is_async(value),
            lambda value: "a function that is not async" if callable(value) else type(value).__name__,
        ),
        "min_size": _whole(0, _MOST_CONNECTIONS),
        "max_size": _whole(1, _MOST_CONNECTIONS),
        "acquire_timeout": _NO_LIMIT,
        "max_waiting": _whole(0),
        "max_lifetime": _SECONDS_FROM_0,
        "max_idle": _SECONDS,
        "server_settings": _SETTINGS,
        "autobatch": _FLAG,
        "on_call": _HOOK,
        "redis": _ANYTHING,
        "cache": _FLAG,
        "on_cache_failure": _choice("commit", "fail"),
        "cache_audit": _number(0, 1),
        "cache_outbox": _FLAG,
        "cache_prefix": _or_none(_NAMESPACE),
        "cache_ttl": _or_none(_CACHE_TIMES),
        "replicas": _REPLICAS,
    },
    "replica": {**_ON_REPLICAS, "own_writes": _FLAG},
    "causal": {
        **_ON_REPLICAS,
        "token": _or_none(
            Kind(
                "the 8 bytes of a session's token",
                lambda value: isinstance(value, bytes) and len(value) == 8,
                lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else _shown(value),
            )
        ),
    },
    "sync.connect": _SYNC_CONNECT,
    "sync.Pool": {
        **_SYNC_CONNECT,
        "min_size": _whole(1, _MOST_CONNECTIONS),
        "max_size": _whole(1, _MOST_CONNECTIONS),
        "acquire_timeout": _NO_LIMIT,
        "max_waiting": _whole(1),
        "max_lifetime": _SECONDS_FROM_0,
        "max_idle": _SECONDS,
    },
    "over": {"prefetch": _CONNECT["prefetch"], "on_call": _HOOK, "codecs": _CODECS},
    "sync.over": {"prefetch": _CONNECT["prefetch"], "codecs": _CODECS},
    "transaction": _TRANSACTION,
    "retry": {
        "work": Kind("a function", callable),
        "attempts": _whole(1),
        "isolation": _or_none(_ISOLATION),
        "read_only": _FLAG,
        "on_retry": _HOOK,
    },
    "tenant": {
        "tenant_id": _TENANT,
        "user_id": _or_none(_TENANT._replace(expected="a user's id (str, int, UUID, …)")),
    },
    "lock": {"key": _NAME, "wait": _FLAG},
    "listen": {"channel": _CHANNEL, "heartbeat": _SECONDS},
    "close": {"timeout": _or_none(_SECONDS_FROM_0)},
    "check": {"layer": _or_none(_NAME), "migrations": _FLAG, "timeout": _SECONDS},
    "copy_in": {
        "table": _NAME,
        "rows": _ROWS,
        "columns": _or_none(_NAMES),
        "progress": _HOOK,
        "analyze": _FLAG,
    },
    "copy_out": {
        "query": Kind("a query", lambda value: hasattr(value, "compiled") and hasattr(value, "file")),
        "output": Kind(
            "a path, an object with write, or an async function",
            lambda value: _PATH.fits(value) or hasattr(value, "write") or callable(value),
        ),
        "parameters": Kind("a dict, or None", lambda value: value is None or isinstance(value, Mapping)),
        "format": _choice("csv", "text", "binary"),
        "header": _FLAG,
        "progress": _HOOK,
    },
    "Limits": {
        **_REDIS,
        "tag": _or_none(_KEY_PART),
        "without_redis": _choice("raise", "allow", "deny", "local"),
        "local_share": Kind(
            "a number above 0, at most 1", lambda value: _is_number(value) and 0 < value <= 1
        ),
    },
    "bucket": {
        "name": _KEY_PART,
        "rate": _whole(1, _MOST_TOKENS),
        "per": _PERIOD,
        "burst": _or_none(_whole(1, _MOST_TOKENS)),
        "starts": _choice("full", "empty"),
    },
    "window": {"name": _KEY_PART},
    "charge": {
        "n": _whole(1, _MOST_TOKENS),
        "limit": _whole(1, 100_000)._replace(hint="use a bucket for more: a window remembers each call"),
        "window": _PERIOD,
    },
    "wait": {"timeout": _or_none(_SECONDS_FROM_0)},
    "recall": {
        "parameters": _or_none(_PARAMETERS),
        "vectors": _or_none(_VECTORS),
        "vector": _or_none(_NAME),
        "column": _or_none(_NAME),
        "exact": _or_none(_QUERY),
        "sample": _whole(1, 100_000_000),
        "settings": _or_none(
            Kind(
                "a dict of settings, each with a list of values",
                lambda value: (
                    isinstance(value, Mapping)
                    and all(map(_NAME.fits, value))
                    and all(_is_list(each) and len(each) > 0 for each in value.values())
                ),
            )
        ),
        "filters": _or_none(
            Kind("a list of dicts", lambda value: _is_list(value) and all(map(_PARAMETERS.fits, value)))
        ),
        "selectivities": Kind(
            "a list of numbers above 0, at most 1",
            lambda value: _is_list(value) and all(map(_SHARE.fits, value)),
        ),
        "tenants": _or_none(
            Kind("a list of tenants' ids", lambda value: _is_list(value) and all(map(_TENANT.fits, value)))
        ),
        "role": _or_none(_NAME),
        "at_least": _or_none(_SHARE),
        "timeout": Kind(
            f"seconds above 0, at most {_LONGEST_S:.0f}",
            lambda value: _is_number(value) and 0 < value <= _LONGEST_S,
        ),
        "progress": _HOOK,
    },
    "fill": {
        "embed": Kind("a function of a list of texts", callable),
        "batch": _whole(1, 10_000),
        "workers": _whole(1, 1000),
        "rate": _or_none(_number(0.0001, 1_000_000)),
        "attempts": _whole(1, 1000),
        "backoff": _SECONDS_FROM_0,
        "max_failed": _whole(0, 1_000_000),
        "dimension": _or_none(_whole(1, 1_000_000_000)),
        "key": Kind(
            "the name of a column, or a list of them",
            lambda value: _NAME.fits(value) or (_NAMES.fits(value) and len(value) > 0),
        ),
        "text": _NAME,
        "embedding": _NAME,
        "parameters": _or_none(
            Kind(
                "a dict of parameters",
                lambda value: isinstance(value, Mapping) and all(map(_NAME.fits, value)),
            )
        ),
        "progress": Kind(
            "a function that is not async, True or False",
            lambda value: isinstance(value, bool) or (value is not None and _HOOK.fits(value)),
            _HOOK.got,
        ),
    },
    "sql": {
        "type": _ANYTHING,
        "returns": _choice("many", "one", "optional"),
        "query_name": _or_none(
            Kind(
                "a name such as 'reports.daily'",
                lambda value: isinstance(value, str) and _QUERY_NAME.fullmatch(value) is not None,
                _shown,
                "use lower-case letters, digits, underscores and dots",
            )
        ),
    },
    "Sessions": {**_REDIS, "type": _ANYTHING, "ttl": _TTL, "sliding": _FLAG},
    "create": {"ttl": _or_none(_TTL), "fence": _or_none(_TEXT)},
    "modify": {"change": Kind("a function", callable), "attempts": _whole(1)},
    "Values": {
        **_REDIS,
        "type": _ANYTHING,
        "ttl": _TTL,
        "lease": _SECONDS,
        "lease_wait": _SECONDS_FROM_0,
        "without_redis": _choice("raise", "load"),
    },
    "set": {"ttl": _or_none(_TTL)},
    "get_or_load": {"load": Kind("a function", callable), "ttl": _or_none(_TTL)},
    "RedisConnection": {"redis": _ANYTHING, "max_connections": _whole(1)},
    "migrate.status": _MIGRATIONS,
    "migrate.verify": {**_MIGRATIONS, "on_progress": _HOOK},
    "migrate.apply": {**_MIGRATION_RUN, "allow_edited": _FLAG},
    "migrate.rollback": {**_MIGRATION_RUN, "steps": _whole(1), "all": _FLAG, "confirm": _HOOK},
    "migrate.mark": {
        **_MIGRATION_MARK,
        "name": _or_none(_NAME),
        "to": _or_none(_NAME),
        "applied": _FLAG,
        "force": _FLAG,
        "confirm": _HOOK,
    },
    "migrate.new": {"folder": _PATH, "what": _NAME, "layer": _or_none(_NAME)},
    "embedded.start": {
        "folder": _or_none(_PATH),
        "keep": _FLAG,
        "scratch": _FLAG,
        "auth": _choice("trust", "scram"),
        "tcp": _FLAG,
        "preload": _NAMES,
        "settings": _SETTINGS,
        "replica_of": _or_none(_SERVER),
        "timeout": _SECONDS,
    },
    "promote": {"timeout": _SECONDS},
    "wait_for_replay": {"lsn": _or_none(_POSITION), "timeout": _SECONDS},
    "pause_replay": {"timeout": _SECONDS},
    "restart": {"timeout": _SECONDS},
    "embedded.stop": {"folder": _or_none(_PATH), "force": _FLAG},
    "embedded.status": {"folder": _or_none(_PATH)},
    "url": {"database": _NAME, "user": _or_none(_NAME), "password": _or_none(_TEXT), "tcp": _FLAG},
    "log_tail": {"lines": _whole(1)},
    "load": {"folder": _PATH},
    "Rotation": {
        "column": _NAME,
        "keys": _NAMES,
        "batch": _whole(1, _MOST_ROWS),
        "form": _or_none(_choice("exactly", "email", "phone")),
        "scope": _NAMES,
        "partly": _FLAG,
    },
    "Telemetry": {
        "tracer": _having("a tracer of OpenTelemetry", "start_span"),
        "meter": _having("a meter of OpenTelemetry", "create_histogram", "create_observable_up_down_counter"),
    },
}
"""By function, as a caller writes its name, and by option."""
