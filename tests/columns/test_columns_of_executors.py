"""Columns hold what rows would: decrypted texts, a tenant's rows, and no null that the header excludes."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

import pytest

import plainsql
from plainsql.crypto import KEYS_VARIABLE, Encrypted, Secret
from plainsql.rows import Row
from tests.columns.executors import Executors, query
from tests.proxy import Proxy

TOKEN = Encrypted("shop.logins.token", "id")


class Login(Row, frozen=True, gc=False):
    id: int
    token: Annotated[Secret, TOKEN] | None


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f"k:{base64.b64encode(b'k' * 32).decode()}")


def test_encrypted_columns_are_decrypted_texts(executors: Executors) -> None:
    asked = query(
        "select v.id, v.token from (values (1, :a::bytea), (2, :b::bytea), (3, null)) as v (id, token)",
        "a",
        "b",
        item=Login,
    )
    sent = {
        "a": TOKEN.encrypt("a", "first", (1,)),
        "b": TOKEN.encrypt("b", "second", (2,)),
    }
    for found in (
        executors.runner.run(asked.columns(executors.db, **sent)),
        executors.runner.run(asked.columns(executors.guest, **sent)),
        asked.columns(executors.sync, **sent),
    ):
        assert found.to_dict() == {"id": [1, 2, 3], "token": ["first", "second", None]}
        assert found["token"].type == "utf8"
        assert "first" not in repr(found)
    wrong: dict[str, Any] = {"a": sent["b"], "b": sent["a"]}  # values of another row
    with pytest.raises(plainsql.PlainsqlError, match="decrypt"):
        executors.runner.run(asked.columns(executors.db, **wrong))


def test_a_null_that_the_header_excludes_is_refused(executors: Executors) -> None:
    sql = 'select g as id, nullif(g, 2) as name, array[nullif(g, 2)] as list, nullif(g, 2) as "part.id"'
    rows = f"{sql} from generate_series(1, 3) as g"
    for column in ("name", "list[]"):
        with pytest.raises(plainsql.DecodeError, match="is null, and the header says") as raised:
            executors.runner.run(query(rows, not_null=(column,)).columns(executors.db))
        with pytest.raises(plainsql.DecodeError) as of_rows:
            executors.runner.run(query(rows, not_null=(column,))(executors.db))
        assert str(raised.value) == str(of_rows.value)
    # There is no nested row whose column is null.
    found = executors.runner.run(query(rows, not_null=("part.id", "id")).columns(executors.db))
    assert found["part"].to_list() == [{"id": 1}, None, {"id": 3}]


async def test_a_tenant_reads_its_columns(database_url: str) -> None:
    asked = query(
        "select current_setting('app.jwt_tenant', true) as tenant, g as id from generate_series(1, 3) as g"
    )
    async with plainsql.connect(database_url, max_size=1) as db:
        for tenant in ("one", "two"):
            assert (await asked.columns(db.tenant(tenant)))["tenant"].to_list() == [tenant] * 3
            blocks = [block["tenant"].to_list() async for block in asked.stream_columns(db.tenant(tenant), 2)]
            assert blocks == [[tenant] * 2, [tenant]]
        assert set((await asked.columns(db))["tenant"].to_list()) <= {None, ""}


async def test_a_statement_that_leaves_the_cache_meanwhile_stays_open(
    database_url: str, proxy: Proxy
) -> None:
    asked = query("select array[:word::public.columns_word] as words", "word")
    async with plainsql.connect(
        proxy.url(database_url.partition("?")[0].rpartition("/")[2]), max_size=1
    ) as db:
        async with db.acquire() as other:
            await other.execute("create type columns_word as enum ('a', 'b')")
        await asked(db, word="a")  # prepares the statement, whose columns are not known yet
        connection = db._connections._idle[-1].connection
        proxy.hold_after("1")  # the answer to Parse, of the query of the catalog
        task = asyncio.create_task(asked.columns(db, word="b"))
        async with asyncio.timeout(10):
            while not proxy.holds:  # noqa: ASYNC110 (in the proxy)
                await asyncio.sleep(0)
        connection._drop_local_statement_cache()  # as when another connection finds a changed table
        proxy.resume()
        assert (await task).to_dict() == {"words": [["b"]]}


async def test_columns_and_rows_of_one_read_are_asked_for_at_the_same_time(database_url: str) -> None:
    class Number(Row, frozen=True):
        id: int

    asked = query("select g as id from generate_series(1, :last::int) as g", "last", item=Number)
    async with plainsql.connect(database_url, max_size=2) as db:
        await asked(db, last=1)  # from now on, calls of the read share round trips
        calls: list[Any] = [asked.columns(db, last=n) for n in range(9)]
        found: list[Any] = await asyncio.gather(*calls, *(asked(db, last=n) for n in range(9)))
    assert [columns["id"].to_list() for columns in found[:9]] == [[*range(1, n + 1)] for n in range(9)]
    assert [[row.id for row in rows] for rows in found[9:]] == [[*range(1, n + 1)] for n in range(9)]
