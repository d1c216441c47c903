"""Encrypted parameters and columns, through both executors, by generated and by loaded queries."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

import plainsql
from plainsql import BindError, EncryptionError, SettingsError
from plainsql.crypto import KEYS_VARIABLE, Secret
from tests.crypto.conftest import NEW, OLD, PROJECT
from tests.crypto.project.queries.vault import channels, messages
from tests.scenario.executors import Side

TOKEN = "EAAG-plain-ñ-€-token"


async def add(vault: Side, q: Any, **given: Any) -> dict[str, UUID]:
    row = {"tenant_id": uuid4(), "id": uuid4(), "phone": str(uuid4()), "access_token": TOKEN, **given}
    await vault.call(q.channels.create, **row)
    return {"tenant_id": row["tenant_id"], "id": row["id"]}


async def test_a_written_text_comes_back_and_is_stored_encrypted(vault: Side, q: Any) -> None:
    row = {"tenant_id": uuid4(), "id": uuid4(), "phone": "1"}
    made = await vault.call(q.channels.create, **row, access_token=TOKEN)
    assert made.access_token == TOKEN
    assert made.refresh_token is None
    where = {"tenant_id": row["tenant_id"], "id": row["id"]}
    read = await vault.call(q.channels.get, **where)
    assert msgspec.structs.asdict(read) == msgspec.structs.asdict(made)
    stored = await vault.call(q.channels.get_stored, **where)
    assert isinstance(stored, bytes)
    assert TOKEN.encode() not in stored
    assert stored.startswith(b"pse1\x03old")


async def test_two_encryptions_of_one_text_differ(vault: Side, q: Any) -> None:
    where = await add(vault, q)
    first = await vault.call(q.channels.get_stored, **where)
    await vault.call(q.channels.update, **where, access_token=TOKEN)
    second = await vault.call(q.channels.get_stored, **where)
    assert first != second


async def test_a_missing_argument_changes_nothing_and_null_is_null(vault: Side, q: Any) -> None:
    where = await add(vault, q, refresh_token="r1")
    assert await vault.call(q.channels.update, **where, access_token="second") == 1
    row = await vault.call(q.channels.get, **where)
    assert (row.access_token, row.refresh_token) == ("second", "r1")
    await vault.call(q.channels.update, **where, refresh_token=None)
    row = await vault.call(q.channels.get, **where)
    assert (row.access_token, row.refresh_token) == ("second", None)


async def test_an_empty_text_is_a_text(vault: Side, q: Any) -> None:
    where = await add(vault, q, access_token="")
    assert (await vault.call(q.channels.get, **where)).access_token == ""


async def test_many_rows_and_streams_are_decrypted(vault: Side, q: Any) -> None:
    tenant = uuid4()
    for number in range(7):
        await add(vault, q, tenant_id=tenant, access_token=f"token {number}")
    wanted = {f"token {number}" for number in range(7)}
    assert {row.access_token for row in await vault.call(q.channels.list, tenant_id=tenant)} == wanted
    assert {row.access_token async for row in vault.stream(q.channels.list, tenant_id=tenant)} == wanted


async def test_a_nested_row_is_decrypted_and_a_missing_one_is_none(vault: Side, q: Any) -> None:
    where = await add(vault, q)
    tenant = where["tenant_id"]
    await vault.call(q.messages.add, tenant_id=tenant, channel_id=where["id"], body="out")
    await vault.call(q.messages.add, tenant_id=tenant, channel_id=None, body="nowhere")
    first, second = await vault.call(q.messages.list_with_channel, tenant_id=tenant)
    assert first.channel.token == TOKEN
    assert second.channel is None


async def test_a_view_is_read_as_its_table(vault: Side, q: Any) -> None:
    where = await add(vault, q)
    assert (await vault.call(q.channels.get_credentials, **where)).token == TOKEN


async def test_a_loaded_query_goes_to_another_process(empty_vault: str) -> None:
    loaded = pickle.loads(pickle.dumps(plainsql.load(PROJECT / "sql").vault.channels.get))
    tenant, channel = uuid4(), uuid4()
    async with plainsql.connect(empty_vault) as db:
        await channels.create(db, tenant_id=tenant, id=channel, phone="1", access_token=TOKEN)
        assert (await loaded(db, tenant_id=tenant, id=channel)).access_token == TOKEN


async def test_inside_a_transaction_too(vault: Side, q: Any) -> None:
    async with vault.transaction() as tx:
        where = await add(tx, q)
        assert (await tx.call(q.channels.get, **where)).access_token == TOKEN


async def test_a_key_that_the_driver_takes_as_text_is_the_same_key(vault: Side, q: Any) -> None:
    tenant, channel = uuid4(), uuid4()
    await add(vault, q, tenant_id=str(tenant).upper(), id=str(channel))
    assert (await vault.call(q.channels.get, tenant_id=tenant, id=channel)).access_token == TOKEN


async def test_batches_joined_reads_and_pipelines(empty_vault: str, q: Any) -> None:
    tenant = uuid4()
    rows = [
        {"tenant_id": tenant, "id": uuid4(), "phone": str(n), "access_token": f"token {n}"} for n in range(20)
    ]
    keys = [{"tenant_id": row["tenant_id"], "id": row["id"]} for row in rows]
    wanted = [row["access_token"] for row in rows]
    async with plainsql.connect(empty_vault, max_size=1) as db:
        made = await q.channels.create.batch(db, rows[:10])
        assert [row.access_token for row in made] == wanted[:10]
        await q.channels.create.execute_many(db, rows[10:])
        assert [row.access_token for row in await q.channels.get.batch(db, keys)] == wanted
        together = await asyncio.gather(*(q.channels.get(db, **key) for key in keys))
        assert [row.access_token for row in together] == wanted


@pytest.mark.parametrize("moved", ["row", "tenant"])
async def test_a_value_that_was_moved_is_an_error(vault: Side, q: Any, moved: str) -> None:
    mine = await add(vault, q)
    other = {"tenant_id": mine["tenant_id"], "id": uuid4()}
    if moved == "tenant":
        other = {"tenant_id": uuid4(), "id": mine["id"]}
    await add(vault, q, **other)
    stored = await vault.call(q.channels.get_stored, **mine)
    await vault.call(q.channels.set_stored, **other, stored=stored)
    with pytest.raises(EncryptionError, match=r"vault\.channels\.access_token.*moved from another") as caught:
        await vault.call(q.channels.get, **other)
    assert str(other["id"]) in str(caught.value)
    assert (await vault.call(q.channels.get, **mine)).access_token == TOKEN


async def test_a_value_of_another_column_is_an_error(empty_vault: str, vault: Side, q: Any) -> None:
    where = await add(vault, q, refresh_token="refresh")
    with psycopg.connect(empty_vault, autocommit=True) as connection:
        connection.execute("update vault.channels set access_token = refresh_token")
    with pytest.raises(EncryptionError, match="another row or column"):
        await vault.call(q.channels.get, **where)


async def test_plain_bytes_in_the_column_are_an_error(vault: Side, q: Any) -> None:
    where = await add(vault, q)
    await vault.call(q.channels.set_stored, **where, stored=TOKEN.encode())
    with pytest.raises(EncryptionError, match="is not an encrypted value") as caught:
        await vault.call(q.channels.get, **where)
    assert TOKEN not in str(caught.value)


async def test_a_new_first_key_encrypts_and_the_old_one_still_decrypts(
    vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = await add(vault, q)
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    assert (await vault.call(q.channels.get, **where)).access_token == TOKEN
    await vault.call(q.channels.update, **where, access_token="second")
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert (await vault.call(q.channels.get, **where)).access_token == "second"


async def test_a_key_that_is_not_there_is_named(vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    where = await add(vault, q)
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    with pytest.raises(EncryptionError, match=r"key 'old', which is not in the ring \(new\)"):
        await vault.call(q.channels.get, **where)


async def test_another_key_under_the_same_id_is_reported(
    vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = await add(vault, q)
    monkeypatch.setenv(KEYS_VARIABLE, NEW.replace("new:", "old:"))
    with pytest.raises(EncryptionError, match="another key than the one named 'old'"):
        await vault.call(q.channels.get, **where)


async def test_without_keys_nothing_is_sent(vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE)
    with pytest.raises(SettingsError, match=f"{KEYS_VARIABLE} is not set"):
        await add(vault, q)


async def test_a_value_that_is_no_text_is_refused_before_it_is_sent(vault: Side, q: Any) -> None:
    with pytest.raises(BindError, match=r"channels\.create: access_token: expected str, got bytes"):
        await add(vault, q, access_token=b"plain")
    with pytest.raises(BindError, match=r"access_token: the text is not valid Unicode") as caught:
        await add(vault, q, access_token="half \ud800")
    assert "half" not in repr(caught.value)
    with pytest.raises(BindError, match=r"channels\.create: .*\bid\b"):
        await add(vault, q, id=None)


async def test_a_null_key_is_refused_even_without_a_value_to_encrypt(vault: Side) -> None:
    with pytest.raises(BindError, match=r"channels\.update: id\b"):
        await vault.call(channels.update, tenant_id=uuid4(), id=None, refresh_token=None)


def test_a_generated_row_shows_no_secret() -> None:
    row = channels.Channel(uuid4(), uuid4(), "1", Secret(TOKEN), None)
    assert TOKEN not in repr([row, {"row": row}, f"{row}"])
    assert "Secret('***')" in repr(row)
    assert messages.Channel(uuid4(), uuid4(), Secret("x")).token == "x"
