"""The session that reads production: read-only, with short waits, and values in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import msgspec
import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError, PlainsqlError
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.settings import SUPPORTED_SERVERS

__all__ = ["VALUE_FORMATS", "production_session", "set_all", "with_settings"]

VALUE_FORMATS: Final = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "",
}
"""The settings by which values become texts, and texts values: the same when they are read and loaded."""

_LIMITS: Final = {
    "default_transaction_read_only": "on",
    "lock_timeout": "2s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
}


@contextmanager
def production_session(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection in autocommit mode: no lock is held from one statement to the next.

    Raises ``ConnectError`` if the server cannot be reached, or is not one that plainsql reads.
    """
    try:
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="plainsql stats pull"
        )
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None
    with closing(connection):
        # Sessions of a pooler are not ours from one statement to the next.
        refuse_pooler(connection, "plainsql stats pull", hint="give --database the URL of PostgreSQL itself")
        major = connection.info.server_version // 10_000
        if major not in SUPPORTED_SERVERS:
            raise ConnectError(
                f"statistics are read from PostgreSQL {SUPPORTED_SERVERS[0]} to {SUPPORTED_SERVERS[-1]}, "
                f"got {major}"
            )
        set_all(connection, {**VALUE_FORMATS, **_LIMITS})
        try:
            yield connection
        except psycopg.errors.LockNotAvailable as error:
            raise PlainsqlError(
                f"a table is locked: {error.diag.message_primary}",
                detail="another session changes its structure",
                hint="try again when that has ended",
            ) from None


@contextmanager
def with_settings(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> Iterator[None]:
    """Have settings apply to the session in the block, and the earlier ones again afterwards."""
    query = "select x.name, pg_catalog.current_setting(x.name) from pg_catalog.unnest(%s::text[]) as x (name)"
    before = dict(connection.execute(query, [[*settings]]).fetchall())
    set_all(connection, settings)
    try:
        yield
    finally:
        if not connection.closed:
            set_all(connection, before)


def set_all(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Have settings apply to the session."""
    connection.execute(
        "select pg_catalog.set_config(x.key, x.value, false)"
        " from pg_catalog.jsonb_each_text(%s::jsonb) as x (key, value)",
        [msgspec.json.encode(settings).decode()],
    )
