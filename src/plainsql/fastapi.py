"""FastAPI: the pool in the lifespan, a transaction for each request, errors as statuses, health checks.

::

    app = FastAPI(lifespan=lifespan(partial(plainsql.connect, url)))
    install(app)


    def tenant_database(db: Db, claims: Annotated[Claims, Depends(verified)]) -> plainsql.TenantDatabase:
        return db.tenant(claims.tenant, user_id=claims.user)


    Tenant = Annotated[plainsql.TenantDatabase, Depends(tenant_database)]
    TenantTx = Annotated[plainsql.Transaction, transaction(tenant_database)]
    TenantSession = Annotated[plainsql.CausalSession, session(tenant_database)]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, params
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import JSONResponse, Response
from starlette.websockets import WebSocketState

import plainsql
from plainsql.asgi import COOKIE, PositionCookie, causal
from plainsql.errors import SettingsError
from plainsql.http_errors import answer_to, answered_errors, log_answer

__all__ = ["Db", "Tx", "connected", "database", "install", "lifespan", "session", "transaction"]

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
    db: plainsql.Database | None = getattr(connection.app.state, "plainsql", None)
    if db is None:
        raise SettingsError(
            "the application has no database: its lifespan has not opened one",
            hint="pass lifespan=plainsql.fastapi.lifespan(connect) to FastAPI(); "
            "a mounted application gets state.plainsql from the one that mounts it",
        )
    return db


@cache  # A route with two of them has one transaction: FastAPI knows a dependency by its function.
def transaction(of: Any = database) -> Any:
    """Return the dependency that runs a route in a transaction of the database that ``of`` returns.

    ``of`` is a dependency, such as the one that returns the database of the request's tenant, or
    ``session(tenant_database)`` if the client's next request must see the transaction. The transaction
    commits when the route returns, before the response is sent, so a commit that fails is not answered with
    success. It rolls back if the route raises, an ``HTTPException`` too.
    """

    async def run(db: Any) -> AsyncIterator[plainsql.Transaction]:
        async with db.transaction() as tx:
            yield tx

    # FastAPI reads the annotations of the function; this one names a local variable.
    run.__annotations__ = {"db": Annotated[Any, _dependency(of)]}
    return Depends(run, scope="function")


@cache
def session(of: Any = database, *, cookie: str = COOKIE, **options: float) -> Any:
    """Return the dependency for a session of ``db.causal``, which continues the client's last one.

    Its reads run on replicas, and see what the client's earlier requests have written. It needs
    ``install(app, position_cookie=…)``.

    Args:
        of: a dependency that returns the database, such as the one of the request's tenant.
        cookie: the name of the cookie, as in ``install``.
        options: ``max_lag`` and ``max_wait``, as in ``db.causal``.
    """

    async def run(connection: HTTPConnection, db: Any) -> AsyncIterator[plainsql.CausalSession]:
        async with causal(connection.scope, db, cookie=cookie, **options) as found:
            yield found

    run.__annotations__ = {"connection": HTTPConnection, "db": Annotated[Any, _dependency(of)]}
    return Depends(run, scope="function")


def _dependency(of: Any) -> Any:
    return of if isinstance(of, params.Depends) else Depends(of)


def install(
    app: FastAPI,
    *,
    live: str | None = "/livez",
    ready: str | None = "/readyz",
    position_cookie: str | None = None,
) -> None:
    """Add the handlers of plainsql's errors and the routes of an orchestrator's health checks.

    ``live`` answers 200 as long as the process does. ``ready`` answers 200 if the database can be used, and
    503 otherwise, with the state of each check. Without a path there is no such route. A handler that the
    application has added for one of the errors stays. ``position_cookie`` names the cookie of ``session``,
    such as ``plainsql.asgi.COOKIE``.
    """
    if position_cookie is not None:
        app.add_middleware(PositionCookie, cookie=position_cookie)
    # Starlette's annotation knows no handler for requests and websockets.
    answer: Any = _answer
    for error in answered_errors():
        app.exception_handlers.setdefault(error, answer)
    # Routes of Starlette: the application's dependencies, such as a login, are not for an orchestrator.
    if live is not None:
        app.add_route(live, _live, include_in_schema=False)
    if ready is not None:
        app.add_route(ready, _ready, include_in_schema=False)


async def _answer(connection: HTTPConnection, error: Exception) -> Response | None:
    answer = answer_to(error)
    if answer is None:
        raise error
    log_answer(error, answer)
    if isinstance(connection, WebSocket):
        states = {connection.client_state, connection.application_state}
        if WebSocketState.DISCONNECTED in states:
            return None
        accepted = connection.application_state is WebSocketState.CONNECTED
        if accepted or "websocket.http.response" not in connection.scope.get("extensions", {}):
            # 1013 is "try again later", 1011 an error of the server, 1008 a message that is refused.
            code = 1013 if answer.headers else 1011 if answer.status >= 500 else 1008
            # A reason has at most 123 bytes.
            await connection.close(code, answer.detail.encode()[:123].decode(errors="ignore"))
            return None
    return JSONResponse({"detail": answer.detail}, answer.status, answer.headers)


async def _live(request: Request) -> Response:
    return JSONResponse({"ok": True})


async def _ready(request: Request) -> Response:
    health = await database(request).check(migrations=False)
    states = {check.name: check.state for check in health.checks}
    return JSONResponse(states, 200 if health["postgresql"].ok else 503)


Db = Annotated[plainsql.Database, Depends(database)]
"""The database, as the annotation of a route's parameter."""
Tx = Annotated[plainsql.Transaction, transaction()]
"""A transaction for the whole route."""
