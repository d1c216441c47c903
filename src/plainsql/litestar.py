"""Litestar: a plugin with the pool, a database or a transaction for each request, errors as statuses, health.

::

    def tenant(db: plainsql.Database, request: Request) -> plainsql.TenantDatabase:
        return db.tenant(request.auth.tenant, user_id=request.auth.user)


    app = Litestar(routes, plugins=[PlainsqlPlugin(partial(plainsql.connect, url), tenant=tenant)])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.plugins import InitPlugin

import plainsql
from plainsql.http_errors import answer_to, answered_errors

__all__ = ["PlainsqlPlugin"]


class PlainsqlPlugin(InitPlugin):
    """The database of an application: handlers take ``db`` or ``tx`` as a parameter."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[plainsql.Database]],
        *,
        tenant: Callable[[plainsql.Database, Request[Any, Any, Any]], Any] | None = None,
        live: str | None = "/livez",
        ready: str | None = "/readyz",
    ) -> None:
        """Take the function that opens the database.

        With ``tenant``, ``db`` and ``tx`` are of the tenant whose database it returns. It may raise, for
        example ``NotAuthorizedException``. ``live`` and ``ready`` are the paths of an orchestrator's health
        checks; ``None`` for no such route.
        """
        self._connect = connect
        self._tenant = tenant
        self._live = live
        self._ready = ready

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the lifespan, the dependencies ``db`` and ``tx``, the error handlers and the health checks."""
        # The first one: the application's own lifespans find the database in its state.
        app_config.lifespan.insert(0, self._lifespan)
        app_config.dependencies.setdefault("db", Provide(self._database))
        app_config.dependencies.setdefault("tx", Provide(_transaction))
        for error in answered_errors():
            app_config.exception_handlers.setdefault(error, _answer)
        if self._live is not None:
            app_config.route_handlers.append(get(self._live, include_in_schema=False)(_live))
        if self._ready is not None:
            app_config.route_handlers.append(get(self._ready, include_in_schema=False)(_check))
        return app_config

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with self._connect() as app.state.plainsql:
            yield

    async def _database(self, request: Request[Any, Any, Any], state: State) -> Any:
        db: plainsql.Database = state.plainsql
        return db if self._tenant is None else self._tenant(db, request)


async def _transaction(db: NamedDependency[Any]) -> AsyncIterator[Any]:
    """Run a handler in a transaction.

    It commits when the handler returns, before the response is sent, and rolls back if the handler raises.
    """
    async with db.transaction() as tx:
        yield tx


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    answer = answer_to(error)
    if answer is None:
        raise error
    return Response({"detail": answer.detail}, status_code=answer.status, headers=answer.headers)


async def _live() -> dict[str, bool]:
    return {"ok": True}


async def _check(state: State) -> Response[dict[str, str]]:
    db: plainsql.Database = state.plainsql
    health = await db.check(migrations=False)
    states: dict[str, str] = {check.name: check.state for check in health.checks}
    return Response(states, status_code=200 if health["postgresql"].ok else 503)
