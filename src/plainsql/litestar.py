"""Litestar: a plugin with the pool, a database or a transaction for each request, errors as statuses, health.

::

    def tenant(db: plainsql.Database, request: Request) -> plainsql.TenantDatabase:
        return db.tenant(request.auth.tenant, user_id=request.auth.user)


    app = Litestar(routes, plugins=[PlainsqlPlugin(partial(plainsql.connect, url), tenant=tenant)])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from inspect import isawaitable
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_debug_response, create_exception_response
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Receive, Scope, Send

import plainsql
from plainsql.asgi import add_cookie, begin, causal
from plainsql.http_errors import answer_to, answered_errors, log_answer

__all__ = ["PlainsqlPlugin"]

_TRANSACTIONS = "plainsql.transactions"
"""The key of the request's transactions in its scope."""


class PlainsqlPlugin(InitPlugin):
    """The database of an application: handlers take ``db`` or ``tx`` as a parameter."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[plainsql.Database]],
        *,
        tenant: Callable[[plainsql.Database, Request[Any, Any, Any]], Any] | None = None,
        live: str | None = "/livez",
        ready: str | None = "/readyz",
        position_cookie: str | None = None,
    ) -> None:
        """Take the function that opens the database.

        With ``tenant``, ``db`` and ``tx`` are of the tenant whose database it returns. It may be
        asynchronous, and it may raise, for example ``NotAuthorizedException``. For a websocket it gets the
        ``WebSocket``. ``live`` and ``ready`` are the paths of an orchestrator's health checks; ``None`` for
        no such route. With ``position_cookie``, the name of a cookie such as ``plainsql.asgi.COOKIE``,
        handlers take ``session`` as well: a session of ``db.causal`` that continues the client's last one.
        """
        self._connect = connect
        self._tenant = tenant
        self._live = live
        self._ready = ready
        self._cookie = position_cookie

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the lifespan, the dependencies ``db`` and ``tx``, the error handlers and the health checks."""
        # The first one: the application's own lifespans find the database in its state.
        app_config.lifespan.insert(0, self._lifespan)
        app_config.dependencies.setdefault("db", Provide(self._database))
        app_config.dependencies.setdefault("tx", Provide(_transaction))
        app_config.middleware.insert(0, _transactions_ended)
        if self._cookie is not None:
            app_config.dependencies.setdefault("session", Provide(self._session))
            # A hook, and no middleware: an answer to an error does not pass through those.
            app_config.before_send.append(self._send_position)
        for error in answered_errors():
            app_config.exception_handlers.setdefault(error, _answer)
        # Litestar's authentication leaves out routes with this key: an orchestrator has no login.
        opt: dict[str, Any] = {"exclude_from_auth": True}
        if self._live is not None:
            app_config.route_handlers.append(get(self._live, include_in_schema=False, opt=opt)(_live))
        if self._ready is not None:
            app_config.route_handlers.append(get(self._ready, include_in_schema=False, opt=opt)(_check))
        return app_config

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with self._connect() as app.state.plainsql:
            yield

    async def _database(self, request: Request[Any, Any, Any], state: State) -> Any:
        db: plainsql.Database = state.plainsql
        found = db if self._tenant is None else self._tenant(db, request)
        return await found if isawaitable(found) else found

    async def _session(self, db: NamedDependency[Any], scope: Scope) -> AsyncIterator[Any]:
        assert self._cookie is not None
        request: Any = scope
        begin(request, self._cookie)
        async with causal(request, db, cookie=self._cookie) as session:
            yield session

    async def _send_position(self, message: Any, scope: Scope) -> None:
        assert self._cookie is not None
        request: Any = scope
        add_cookie(message, request, self._cookie)


async def _transaction(db: NamedDependency[Any], scope: Scope) -> AsyncIterator[Any]:
    """Run a handler in a transaction.

    It commits when the handler returns, before the response is sent, and rolls back if the handler raises.
    """
    async with AsyncExitStack() as block:
        tx = await block.enter_async_context(db.transaction())
        transactions: Any = scope
        transactions[_TRANSACTIONS].append(block)
        yield tx


def _transactions_ended(app: ASGIApp) -> ASGIApp:
    """Return a middleware that rolls back what Litestar leaves open.

    Litestar does not close a dependency if another one raises before the handler is called, or if the request
    is cancelled and another one is closed first.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        blocks: list[AsyncExitStack] = []
        state: Any = scope
        state[_TRANSACTIONS] = blocks
        try:
            await app(scope, receive, send)
        finally:
            for block in blocks:
                # A block that has ended does nothing. The error comes back from the rollback.
                error = plainsql.TransactionError("the request ended before its handler returned")
                with suppress(Exception):
                    await block.__aexit__(type(error), error, None)

    return run


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    answer = answer_to(error)
    if answer is None:
        return _answer_of_application(request, error)
    log_answer(error, answer)
    return Response({"detail": answer.detail}, status_code=answer.status, headers=answer.headers)


def _answer_of_application(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Return the answer that the application would give without the plugin."""
    # A request for a path without a route has none.
    route: Any = dict(request.scope).get("route_handler")
    handlers: Any = route.resolve_exception_handlers() if route else request.app.exception_handlers
    for kind in (*type(error).__mro__, 500):
        handler: Any = handlers.get(kind)
        if handler is not None and handler is not _answer:
            response: Response[Any] = handler(request, error)
            return response
    if request.app.debug and not isinstance(error, HTTPException):
        return create_debug_response(request, error)
    return create_exception_response(request, error)


async def _live() -> dict[str, bool]:
    return {"ok": True}


async def _check(state: State) -> Response[dict[str, str]]:
    db: plainsql.Database = state.plainsql
    health = await db.check(migrations=False)
    states: dict[str, str] = {check.name: check.state for check in health.checks}
    return Response(states, status_code=200 if health["postgresql"].ok else 503)
