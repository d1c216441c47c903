"""The cookie that continues a session of reads and writes in the client's next request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import fastapi
import httpx
import litestar
import psycopg
import pytest
from litestar.di import NamedDependency
from litestar.params import FromPath

import plainsql
from plainsql import asgi
from plainsql import fastapi as plainsql_fastapi
from plainsql.litestar import PlainsqlPlugin
from plainsql.query import Args, count, one
from plainsql.replication.positions import NEWEST, NOTHING

SCHEMA = "create table notes (id integer primary key)"
NOT_REACHED = 0
"""A note that is written by a request that fails afterwards."""
COOKIE = "seen"


@count("notes.add", "sql/notes/add.sql", 1, "insert into notes (id) values (:id)")
def add(*, id: int) -> Args:
    return (id,)


@one[int](
    *("notes.count", "sql/notes/count.sql", 1, "select count(*)::int from notes as n"),
    read_only=True,
    session_clean=True,
)
def count_notes() -> Args:
    return ()


async def read(session: plainsql.CausalSession) -> list[Any]:
    """Return the position that the request came with, and the number of notes."""
    return [session.token.hex(), await count_notes(session)]


async def write(session: plainsql.CausalSession, id: int) -> str:
    await add(session, id=id)
    await count_notes(session)
    if id == NOT_REACHED:
        raise plainsql.NoRowError("there is no such note")
    return session.token.hex()


Connect = Callable[[], Any]


def fastapi_app(connect: Connect) -> Any:
    session = Annotated[plainsql.CausalSession, plainsql_fastapi.session(cookie=COOKIE)]
    transaction = plainsql_fastapi.transaction(plainsql_fastapi.session(cookie=COOKIE))
    app = fastapi.FastAPI(lifespan=plainsql_fastapi.lifespan(connect))
    plainsql_fastapi.install(app, position_cookie=COOKIE)

    async def get(db: Any) -> list[Any]:
        return await read(db)

    async def post(db: Any, id: int) -> str:
        return await write(db, id)

    async def commit(tx: Any, id: int) -> None:
        await add(tx, id=id)

    # The annotations of the module are texts, which cannot name what is local here.
    get.__annotations__ = {"db": session, "return": list[Any]}
    post.__annotations__ = {"db": session, "id": int, "return": str}
    commit.__annotations__ = {"tx": Annotated[plainsql.Transaction, transaction], "id": int}
    app.get("/notes")(get)
    app.post("/notes/{id}")(post)
    app.put("/notes/{id}")(commit)
    return app


def litestar_app(connect: Connect) -> Any:
    @litestar.get("/notes")
    async def get(session: NamedDependency[plainsql.CausalSession]) -> list[Any]:
        return await read(session)

    @litestar.post("/notes/{id:int}")
    async def post(session: NamedDependency[plainsql.CausalSession], id: FromPath[int]) -> str:
        return await write(session, id)

    @litestar.put("/notes/{id:int}")
    async def commit(session: NamedDependency[plainsql.CausalSession], id: FromPath[int]) -> None:
        async with session.transaction() as tx:
            await add(tx, id=id)

    return litestar.Litestar([get, post, commit], plugins=[PlainsqlPlugin(connect, position_cookie=COOKIE)])


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    run = app.router.lifespan_context(app) if isinstance(app, fastapi.FastAPI) else app.lifespan()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with run, httpx.AsyncClient(transport=transport, base_url="https://notes") as client:
        yield client


@pytest.mark.parametrize("make", [fastapi_app, litestar_app])
async def test_the_next_request_begins_where_a_write_ended(
    make: Callable[[Connect], Any], fresh_database_url: str
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    async with running(make(partial(plainsql.connect, fresh_database_url))) as client:
        first = await client.get("/notes")
        assert (first.json(), first.headers.get("set-cookie")) == ([NOTHING.hex(), 0], None)

        written = await client.post("/notes/1")
        assert written.headers["set-cookie"] == (
            f"{COOKIE}={client.cookies[COOKIE]}; Path=/; HttpOnly; SameSite=Lax; Secure"
        )
        position = client.cookies[COOKIE]
        assert position not in (NOTHING.hex(), NEWEST.hex())
        again = await client.get("/notes")
        assert (again.json(), again.headers.get("set-cookie")) == ([position, 1], None)

        await client.put("/notes/2")
        assert client.cookies[COOKIE] > position
        position = client.cookies[COOKIE]
        # It was written, and the client must see it although its request has failed.
        failed = await client.post(f"/notes/{NOT_REACHED}")
        assert (failed.status_code, client.cookies[COOKIE] > position) == (404, True)
        assert (await client.get("/notes")).json() == [client.cookies[COOKIE], 3]

        for text in ("", "ff", "x" * 16, "0" * 17):
            client.cookies.set(COOKIE, text, "notes", "/")
            assert (await client.get("/notes", headers={"Cookie": f"a=b; {COOKIE}={text}"})).json()[1] == 3


async def test_two_sessions_of_a_request_leave_the_later_position(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    tokens: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with asgi.causal(scope, db) as first, asgi.causal(scope, db, max_lag=1) as second:
            await add(first, id=1)
            await add(second, id=2)
            await count_notes(first)
        tokens.extend([first.token, second.token])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with plainsql.connect(fresh_database_url) as db:
        transport = httpx.ASGITransport(asgi.PositionCookie(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://notes") as client:
            cookie = (await client.get("/")).headers["set-cookie"]
            assert cookie == f"{asgi.COOKIE}={max(tokens).hex()}; Path=/; HttpOnly; SameSite=Lax"
        async with db.causal() as session:
            assert await count_notes(session) == 2
            written = [session.has_written]
            async with session.transaction(read_only=True) as tx:
                await count_notes(tx)
            written.append(session.has_written)
            await add.execute_many(session, [{"id": 3}])
            assert [*written, session.has_written] == [False, False, True]
        with pytest.raises(
            plainsql.SettingsError, match=r"no middleware for the cookie 'other'\nHINT: app\.add"
        ):
            async with asgi.causal({"type": "http"}, db, cookie="other"):
                pass
    with pytest.raises(plainsql.SettingsError, match="cookie: expected a name of letters"):
        asgi.PositionCookie(app, cookie="a=b; Domain=evil")
