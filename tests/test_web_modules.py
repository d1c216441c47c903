"""The modules for FastAPI and Litestar, each with a real database behind its application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, Any

import fastapi
import httpx
import litestar
import psycopg
import pytest
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.params import FromPath

import plainsql
from plainsql import fastapi as plainsql_fastapi
from plainsql.http_errors import answer_to, answered_errors, log_answer
from plainsql.litestar import PlainsqlPlugin
from plainsql.query import Args, bounded, count, one
from plainsql.sqlstate_errors import LockNotAvailable, RestrictViolation

SCHEMA = """
create table notes (
  id integer primary key,
  tenant_id text not null default current_setting('app.jwt_tenant'),
  parent integer references notes (id) deferrable initially deferred,
  check (id <> 13)
);
alter table notes enable row level security;
alter table notes force row level security;
create policy tenant on notes using (tenant_id = current_setting('app.jwt_tenant', true));
"""

ROLE = """
do $$ begin create role plainsql_web_notes nologin;
exception when duplicate_object or unique_violation then null; end $$;
grant select, insert on notes to plainsql_web_notes;
"""


@count("notes.add", "sql/notes/add.sql", 1, "insert into notes (id, parent) values (:id, :parent)")
def add(*, id: int, parent: int | None) -> Args:
    return (bounded("id", id, 1, 100), parent)


@one[int]("notes.get", "sql/notes/get.sql", 1, "select n.id from notes as n where n.id = :id", read_only=True)
def get(*, id: int) -> Args:
    return (id,)


ENTERED = 98
entered: asyncio.Event


async def _wait(id: int) -> None:
    """Wait until the request is cancelled, if it has this number."""
    if id == ENTERED:
        entered.set()
        await asyncio.Event().wait()


Open = Callable[[], AbstractAsyncContextManager[plainsql.Database]]


def fastapi_app(connect: Open) -> fastapi.FastAPI:
    def tenant_database(
        db: plainsql_fastapi.Db, x_tenant: Annotated[str, fastapi.Header()]
    ) -> plainsql.TenantDatabase:
        return db.tenant(x_tenant)

    Tenant = Annotated[plainsql.TenantDatabase, fastapi.Depends(tenant_database)]  # noqa: N806
    Tx = Annotated[plainsql.Transaction, plainsql_fastapi.transaction(tenant_database)]  # noqa: N806

    async def read(db: Any, id: int) -> Any:
        return await get(db, id=id)

    async def write(tx: Any, id: int, parent: int) -> int:
        await add(tx, id=id, parent=parent or None)
        await _wait(id)
        if id == 99:
            raise fastapi.HTTPException(418)
        return id

    # The annotations of the module are texts, which cannot name what is local here.
    read.__annotations__ = {"db": Tenant, "id": int, "return": int}
    write.__annotations__ = {"tx": Tx, "id": int, "parent": int, "return": int}

    async def transactions(first: Any, second: Any) -> bool:
        return first is second

    async def follow(socket: Any, db: Any, accept: int) -> None:
        if accept:
            await socket.accept()
        await get(db, id=5000)

    async def refuse() -> None:
        raise fastapi.HTTPException(401)

    again = Annotated[plainsql.Transaction, plainsql_fastapi.transaction(tenant_database)]
    transactions.__annotations__ = {"first": Tx, "second": again, "return": bool}
    follow.__annotations__ = {"socket": fastapi.WebSocket, "db": Tenant, "accept": int}
    app = fastapi.FastAPI(lifespan=plainsql_fastapi.lifespan(connect))
    plainsql_fastapi.install(app)
    app.get("/notes/{id}")(read)
    app.post("/notes/{id}/{parent}")(write)
    app.get("/transactions")(transactions)
    app.websocket("/follow/{accept}")(follow)
    # An application whose routes all need a login: an orchestrator has none.
    closed = fastapi.FastAPI(dependencies=[fastapi.Depends(refuse)])
    plainsql_fastapi.install(closed)
    closed.get("/notes/{id}")(read)
    app.mount("/closed", closed)
    return app


def litestar_app(connect: Open) -> litestar.Litestar:
    async def tenant(
        db: plainsql.Database, request: litestar.Request[Any, Any, Any]
    ) -> plainsql.TenantDatabase:
        if "X-Tenant" not in request.headers:
            raise NotAuthorizedException("the header X-Tenant is missing")
        return db.tenant(request.headers["X-Tenant"])

    @litestar.get("/notes/{id:int}")
    async def read(db: NamedDependency[plainsql.TenantDatabase], id: FromPath[int]) -> int:
        return await get(db, id=id)

    @litestar.post("/notes/{id:int}/{parent:int}")
    async def write(
        tx: NamedDependency[plainsql.Transaction],
        another: NamedDependency[int],
        id: FromPath[int],
        parent: FromPath[int],
    ) -> int:
        await add(tx, id=id, parent=parent or None)
        await _wait(id)
        if id == 99:
            raise HTTPException(status_code=418)
        return id

    async def another() -> AsyncIterator[int]:
        yield 1

    @litestar.get("/boom")
    async def boom() -> int:
        raise ExceptionGroup("secret", [plainsql.NoRowError("a"), plainsql.BindError("b")])

    # The end of several generators raises a group of errors.
    return litestar.Litestar(
        [read, write, boom],
        dependencies={"another": another},
        plugins=[PlainsqlPlugin(connect, tenant=tenant)],
    )


@asynccontextmanager
async def _running(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    run = app.router.lifespan_context(app) if isinstance(app, fastapi.FastAPI) else app.lifespan()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with run, httpx.AsyncClient(transport=transport, base_url="http://notes") as client:
        client.headers["X-Tenant"] = "acme"
        yield client


@pytest.mark.parametrize("make", [fastapi_app, litestar_app])
async def test_a_request_has_its_database_its_errors_and_its_health(
    make: Callable[[Open], Any], fresh_database_url: str
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROLE)
    # With one connection, a request that does not release it fails the next one.
    options: Any = {"max_size": 1, "acquire_timeout": 10, "server_settings": {"role": "plainsql_web_notes"}}
    app = make(partial(plainsql.connect, fresh_database_url, **options))
    global entered  # noqa: PLW0603
    entered = asyncio.Event()
    async with _running(app) as client:
        assert (await client.get("/livez")).json() == {"ok": True}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["postgresql"]) == (200, "ok")

        assert (await client.post("/notes/1/0")).json() == 1
        assert (await client.get("/notes/1")).json() == 1
        other = await client.get("/notes/1", headers={"X-Tenant": "other"})
        assert (other.status_code, other.json()) == (404, {"detail": "not found"})
        del client.headers["X-Tenant"]
        assert (await client.get("/notes/1")).status_code in (401, 422)
        client.headers["X-Tenant"] = "acme"

        refused = await client.post("/notes/1000/0")
        assert refused.status_code == 422
        assert "id: the value is out of bounds, expected 1..100" in refused.json()["detail"]
        assert "1000" not in refused.text

        # The foreign key is refused at the commit, which comes before the answer.
        conflict = await client.post("/notes/2/97")
        assert (conflict.status_code, conflict.json()) == (
            409,
            {"detail": "an object that it refers to is missing, or still in use"},
        )
        assert (await client.get("/notes/2")).status_code == 404
        exists = await client.post("/notes/1/0")
        assert (exists.status_code, exists.json()) == (
            409,
            {"detail": "it conflicts with an object that exists"},
        )
        assert (await client.post("/notes/13/0")).status_code == 422
        # A client that goes away cancels its request: that rolls back, and releases the connection.
        request = asyncio.create_task(client.post(f"/notes/{ENTERED}/0"))
        await entered.wait()
        request.cancel()
        assert isinstance((await asyncio.gather(request, return_exceptions=True))[0], asyncio.CancelledError)
        assert (await client.get(f"/notes/{ENTERED}")).status_code == 404
        # What the route raises rolls back.
        assert (await client.post("/notes/99/0")).status_code == 418
        assert (await client.get("/notes/99")).status_code == 404

        db: plainsql.Database = app.state.plainsql
        await db.close()
        closed = await client.get("/readyz")
        assert closed.status_code == 503


async def _follow(app: Any, path: str, extensions: dict[str, Any]) -> dict[str, Any]:
    """Return the last message of a websocket, but for a body."""
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": path, "query_string": b"", "subprotocols": []}
    scope |= {"headers": [(b"x-tenant", b"acme")], "extensions": extensions, "asgi": {"version": "3.0"}}
    await app(scope, receive, send)
    return [message for message in sent if not message["type"].endswith(".body")][-1]


async def test_fastapi_answers_websockets_and_shares_a_transaction(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    app = fastapi_app(partial(plainsql.connect, fresh_database_url, max_size=1, acquire_timeout=10))
    async with _running(app) as client:
        assert (await client.get("/transactions")).json() is True
        closed = {"type": "websocket.close", "code": 1008, "reason": "not found"}
        assert await _follow(app, "/follow/1", {}) == closed
        assert await _follow(app, "/follow/0", {}) == closed
        denied = await _follow(app, "/follow/0", {"websocket.http.response": {}})
        assert (denied["type"], denied["status"]) == ("websocket.http.response.start", 404)

        # The routes of health need none of the application's dependencies.
        assert (await client.get("/closed/notes/1")).status_code == 401
        assert (await client.get("/closed/livez")).status_code == 200
        with pytest.raises(plainsql.SettingsError, match=r"no database.*\nHINT: pass lifespan="):
            plainsql_fastapi.database(fastapi.Request({"type": "http", "app": app.router.routes[-1].app}))  # type: ignore[attr-defined]

    async def own(request: fastapi.Request, error: Exception) -> fastapi.Response:
        return fastapi.Response(status_code=410)

    gone = fastapi.FastAPI(exception_handlers={plainsql.NoRowError: own})
    plainsql_fastapi.install(gone)
    assert gone.exception_handlers[plainsql.NoRowError] is own


async def test_litestar_keeps_its_answer_to_other_errors() -> None:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        yield None

    async with _running(litestar_app(connect)) as client:
        boom = await client.get("/boom")
    assert (boom.status_code, boom.json()) == (500, {"status_code": 500, "detail": "Internal Server Error"})


def _server_error(kind: type[plainsql.ServerError], sqlstate: str | None = None) -> plainsql.ServerError:
    error = kind("key (email)=(secret) of secret", constraint="secret", table="secret", detail="secret")
    error.sqlstate = sqlstate or error.sqlstate
    return error


def test_errors_have_their_statuses(caplog: pytest.LogCaptureFixture) -> None:
    class Held(plainsql.PoolTimeoutError):
        pass

    class EmailTaken(plainsql.UniqueViolation):
        pass

    for error, status, retries in (
        (plainsql.BindError("x: is not a number"), 422, False),
        (plainsql.PageTokenError("of another query than secret"), 422, False),
        (plainsql.NoRowError("no row"), 404, False),
        (plainsql.ConnectError("cannot connect to secret-host"), 503, True),
        (Held("no connection became free"), 503, True),
        (plainsql.RedisUnavailableError("secret-host"), 503, False),
        (_server_error(EmailTaken), 409, False),
        (_server_error(plainsql.ExclusionViolation), 409, False),
        (_server_error(RestrictViolation), 409, False),
        (_server_error(plainsql.ConstraintViolation, "23000"), 409, False),
        (_server_error(plainsql.CheckViolation), 422, False),
        (_server_error(plainsql.NotNullViolation), 422, False),
        (_server_error(plainsql.SerializationFailure), 503, True),
        (_server_error(plainsql.DeadlockDetected), 503, True),
        (_server_error(LockNotAvailable), 503, True),
        (_server_error(plainsql.ReadOnlySqlTransaction), 503, True),
        (_server_error(plainsql.QueryCanceled), 504, False),
        (_server_error(plainsql.InsufficientPrivilege), 403, False),
        (_server_error(plainsql.ServerError, "22001"), 422, False),
        (_server_error(plainsql.ServerError, "53100"), 503, False),
        (psycopg.OperationalError("server closed the connection to secret-host"), 503, False),
        (ExceptionGroup("secret", [plainsql.NoRowError("a"), plainsql.NoRowError("b")]), 404, False),
    ):
        answer = answer_to(error)
        assert answer is not None, error
        assert (answer.status, "Retry-After" in answer.headers) == (status, retries), error
        assert "secret" not in answer.detail
        assert isinstance(error, answered_errors()), error
    detailed = answer_to(plainsql.BindError("id: expected int4, got int", detail="the value is out of range"))
    assert detailed is not None
    assert detailed.detail == "id: expected int4, got int: the value is out of range"
    for own in (
        plainsql.DecodeError("a"),
        ValueError("a"),
        _server_error(plainsql.ServerError, "42P01"),
        psycopg.errors.IoError("a"),
        ExceptionGroup("secret", [plainsql.NoRowError("a"), plainsql.BindError("b")]),
    ):
        assert answer_to(own) is None, own

    for logged in (plainsql.NoRowError("a"), plainsql.ConnectError("no server")):
        answer = answer_to(logged)
        assert answer is not None
        log_answer(logged, answer)
    assert [record.getMessage() for record in caplog.records] == ["answered 503: ConnectError: no server"]
