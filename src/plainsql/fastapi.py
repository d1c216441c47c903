"""FastAPI: the pool in the lifespan, a transaction for each request, errors as statuses, health checks.

::

    app = FastAPI(lifespan=lifespan(partial(plainsql.connect, url)))
    install(app)


    def tenant_database(db: Db, claims: Annotated[Claims, Depends(verified)]) -> plainsql.TenantDatabase:
        return db.tenant(claims.tenant, user_id=claims.user)


    Tenant = Annotated[plainsql.TenantDatabase, Depends(tenant_database)]
    TenantTx = Annotated[plainsql.Transaction, transaction(tenant_database)]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import JSONResponse, Response

import plainsql
from plainsql.http_errors import answer_to, answered_errors

__all__ = ["Db", "Tx", "connected", "database", "install", "lifespan", "transaction"]

Connect = Callable[[], AbstractAsyncContextManager[plainsql.Database]]


@asynccontextmanager
async def connected(app: FastAPI, connect: Connect) -> AsyncIterator[plainsql.Database]:
    """Open the database of an application for a block, for example in a lifespan of your own.

    Raises ``ConnectError`` if the server cannot be reached.
    """
    async with connect() as app.state.plainsql:
        yield app.state.plainsql


def lifespan(connect: Connect) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an application, which opens the database with ``connect`` and closes it."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        async with connected(app, connect):
            yield

    return run


def database(connection: HTTPConnection) -> plainsql.Database:
    """Return the database of the application: a dependency, for requests and for websockets."""
    db: plainsql.Database = connection.app.state.plainsql
    return db


def transaction(of: Callable[..., Any] = database) -> Any:
    """Return the dependency that runs a route in a transaction of the database that ``of`` returns.

    ``of`` is a dependency, such as the one that returns the database of the request's tenant. The transaction
    commits when the route returns, before the response is sent, so a commit that fails is not answered with
    success. It rolls back if the route raises, an ``HTTPException`` too.
    """

    async def run(db: Any) -> AsyncIterator[plainsql.Transaction]:
        async with db.transaction() as tx:
            yield tx

    # FastAPI reads the annotations of the function; this one names a local variable.
    run.__annotations__ = {"db": Annotated[Any, Depends(of)]}
    return Depends(run, scope="function")


def install(app: FastAPI, *, live: str | None = "/livez", ready: str | None = "/readyz") -> None:
    """Add the handlers of plainsql's errors and the routes of an orchestrator's health checks.

    ``live`` answers 200 as long as the process does. ``ready`` answers 200 if the database can be used, and
    503 otherwise, with the state of each check. Without a path there is no such route.
    """
    for error in answered_errors():
        app.add_exception_handler(error, _answer)
    if live is not None:
        app.get(live, include_in_schema=False)(_live)
    if ready is not None:
        app.get(ready, include_in_schema=False)(_ready)


async def _answer(request: Request, error: Exception) -> Response:
    answer = answer_to(error)
    if answer is None:
        raise error
    return JSONResponse({"detail": answer.detail}, answer.status, answer.headers)


async def _live() -> dict[str, bool]:
    return {"ok": True}


async def _ready(request: Request) -> Response:
    health = await database(request).check(migrations=False)
    states = {check.name: check.state for check in health.checks}
    return JSONResponse(states, 200 if health["postgresql"].ok else 503)


Db = Annotated[plainsql.Database, Depends(database)]
"""The database, as the annotation of a route's parameter."""
Tx = Annotated[plainsql.Transaction, transaction()]
"""A transaction for the whole route."""
