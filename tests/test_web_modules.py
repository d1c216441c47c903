"""The modules for FastAPI and Litestar, each with a real database behind its application."""

from __future__ import annotations

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
from plainsql.litestar import PlainsqlPlugin
from plainsql.query import Args, bounded, count, one

SCHEMA = """
create table notes (
  id integer primary key,
  tenant_id text not null default current_setting('app.jwt_tenant'),
  parent integer references notes (id) deferrable initially deferred
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
        if id == 99:
            raise fastapi.HTTPException(418)
        return id

    # The annotations of the module are texts, which cannot name what is local here.
    read.__annotations__ = {"db": Tenant, "id": int, "return": int}
    write.__annotations__ = {"tx": Tx, "id": int, "parent": int, "return": int}
    app = fastapi.FastAPI(lifespan=plainsql_fastapi.lifespan(connect))
    plainsql_fastapi.install(app)
    app.get("/notes/{id}")(read)
    app.post("/notes/{id}/{parent}")(write)
    return app


def litestar_app(connect: Open) -> litestar.Litestar:
    def tenant(db: plainsql.Database, request: litestar.Request[Any, Any, Any]) -> plainsql.TenantDatabase:
        if "X-Tenant" not in request.headers:
            raise NotAuthorizedException("the header X-Tenant is missing")
        return db.tenant(request.headers["X-Tenant"])

    @litestar.get("/notes/{id:int}")
    async def read(db: NamedDependency[plainsql.TenantDatabase], id: FromPath[int]) -> int:
        return await get(db, id=id)

    @litestar.post("/notes/{id:int}/{parent:int}")
    async def write(
        tx: NamedDependency[plainsql.Transaction], id: FromPath[int], parent: FromPath[int]
    ) -> int:
        await add(tx, id=id, parent=parent or None)
        if id == 99:
            raise HTTPException(status_code=418)
        return id

    return litestar.Litestar([read, write], plugins=[PlainsqlPlugin(connect, tenant=tenant)])


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
    app = make(partial(plainsql.connect, fresh_database_url, server_settings={"role": "plainsql_web_notes"}))
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
        assert (await client.post("/notes/2/98")).status_code in (409, 500)
        assert (await client.get("/notes/2")).status_code == 404
        # What the route raises rolls back.
        assert (await client.post("/notes/99/0")).status_code == 418
        assert (await client.get("/notes/99")).status_code == 404

        db: plainsql.Database = app.state.plainsql
        await db.close()
        closed = await client.get("/readyz")
        assert closed.status_code == 503


async def test_errors_have_their_statuses(fresh_database_url: str) -> None:
    from plainsql.http_errors import answer_to

    class Held(plainsql.PoolTimeoutError):
        pass

    for error, status, retries in (
        (plainsql.BindError("x: is not a number"), 422, False),
        (plainsql.NoRowError("no row"), 404, False),
        (plainsql.ConnectError("cannot connect to secret-host"), 503, True),
        (Held("no connection became free"), 503, True),
        (plainsql.RedisUnavailableError("secret-host"), 503, False),
    ):
        answer = answer_to(error)
        assert answer is not None
        assert (answer.status, "Retry-After" in answer.headers) == (status, retries)
        assert "secret" not in answer.detail
    assert answer_to(plainsql.DecodeError("a")) is None
    assert answer_to(ValueError("a")) is None
