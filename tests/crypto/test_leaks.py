"""The plain text is looked for wherever it must not be."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from plainsql import BindError, EncryptionError
from plainsql.crypto import KEYS_VARIABLE, Secret
from tests.crypto.conftest import NEW
from tests.scenario.executors import Side

PLAIN = "EAAG-do-not-show-this"


def all_of(error: BaseException) -> str:
    """Everything that a log may hold of an error."""
    return "".join(
        [
            *traceback.format_exception(error),
            str(error),
            repr(error),
            repr(error.__dict__),
            repr(error.args),
            *getattr(error, "__notes__", []),
        ]
    )


async def test_not_in_logs_at_any_level(vault: Side, q: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    row = {"tenant_id": uuid4(), "id": uuid4()}
    made = await vault.call(q.channels.create, **row, phone="1", access_token=PLAIN)
    read = await vault.call(q.channels.get, **row)
    logging.getLogger("app").info("made %s, read %r", made, [read])
    assert PLAIN not in caplog.text
    assert "Secret" in caplog.text


async def test_not_in_an_error_of_the_server_nor_in_its_notes(vault: Side, q: Any) -> None:
    row = {"tenant_id": uuid4(), "id": uuid4(), "phone": "1", "access_token": PLAIN}
    await vault.call(q.channels.create, **row)
    with pytest.raises((asyncpg.UniqueViolationError, psycopg.errors.UniqueViolation)) as caught:
        await vault.call(q.channels.create, **row)
    assert "vault.channels.create" in all_of(caught.value)
    assert PLAIN not in all_of(caught.value)


async def test_not_in_an_error_that_shows_the_failing_row(vault: Side, q: Any) -> None:
    row: dict[str, Any] = {"tenant_id": uuid4(), "id": uuid4(), "phone": None, "access_token": PLAIN}
    refused = (asyncpg.NotNullViolationError, psycopg.errors.NotNullViolation, BindError)
    with pytest.raises(refused) as caught:
        await vault.call(q.channels.create, **row)
    if isinstance(
        caught.value, BindError
    ):  # generated code knows that phone cannot be null, and sends nothing
        assert PLAIN not in all_of(caught.value)
        return
    error: Any = caught.value
    detail = str(error.detail if vault.name == "asyncpg" else error.diag.message_detail)
    assert "Failing row contains" in detail
    assert PLAIN.encode().hex() not in all_of(caught.value) + detail
    assert PLAIN not in all_of(caught.value) + detail


@pytest.mark.parametrize("value", [PLAIN.encode(), [PLAIN], PLAIN + "\ud800"])
async def test_not_in_the_error_of_an_argument_that_does_not_fit(vault: Side, q: Any, value: object) -> None:
    row = {"tenant_id": uuid4(), "id": uuid4(), "phone": "1"}
    with pytest.raises(TypeError) as caught:
        await vault.call(q.channels.create, **row, access_token=value)
    assert PLAIN not in all_of(caught.value)
    assert caught.value.__context__ is None or PLAIN not in all_of(caught.value.__context__)


async def test_not_in_the_variables_of_a_frame_if_given_as_a_secret(vault: Side, q: Any) -> None:
    secret = Secret(PLAIN)
    row = {"tenant_id": uuid4(), "id": uuid4(), "phone": "1", "access_token": secret}
    await vault.call(q.channels.create, **row)
    with pytest.raises((asyncpg.UniqueViolationError, psycopg.errors.UniqueViolation)) as caught:
        await vault.call(q.channels.create, **row)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Secret('***')" in shown
    assert PLAIN not in shown


async def test_not_in_the_error_of_a_value_that_cannot_be_opened(
    vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"tenant_id": uuid4(), "id": uuid4()}
    await vault.call(q.channels.create, **row, phone="1", access_token=PLAIN)
    stored = await vault.call(q.channels.get_stored, **row)
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    with pytest.raises(EncryptionError) as caught:
        await vault.call(q.channels.get, **row)
    text = all_of(caught.value)
    assert PLAIN not in text
    assert repr(stored) not in text
    assert stored.hex() not in text
    assert NEW.partition(":")[2] not in text


async def test_the_server_never_sees_it(empty_vault: str, q: Any) -> None:
    import plainsql

    row = {"tenant_id": uuid4(), "id": uuid4()}
    async with plainsql.connect(empty_vault) as db, db.transaction() as tx:
        await q.channels.create(tx, **row, phone="1", access_token=PLAIN)
        with psycopg.connect(empty_vault) as other:
            shown = other.execute(
                "select coalesce(string_agg(a::text, ' '), '') from pg_stat_activity as a"
                " where a.datname = current_database()"
            ).fetchone()
            assert shown is not None
            assert "insert into vault.channels" in shown[0]
            assert PLAIN not in shown[0]
    with psycopg.connect(empty_vault) as other:
        stored = other.execute("select c::text from vault.channels as c").fetchone()
        assert stored is not None
        assert PLAIN.encode().hex() not in stored[0]
        assert PLAIN not in stored[0]


async def test_not_in_the_repr_of_a_task(empty_vault: str, q: Any) -> None:
    import plainsql

    async with plainsql.connect(empty_vault) as db:
        call = q.channels.create(db, tenant_id=uuid4(), id=uuid4(), phone="1", access_token=PLAIN)
        task = asyncio.ensure_future(call)
        assert PLAIN not in repr(task) + repr(call) + repr(q.channels.create)
        await task
        # What a tool that shows the variables of each frame would see, from the executor on down.
        assert PLAIN not in repr(call)
