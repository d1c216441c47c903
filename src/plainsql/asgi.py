"""ASGI applications: each client's next request sees what its last one has written, also on a replica.

A session of ``db.causal`` is continued by the token of the one before, which the client keeps in a cookie::

    app.add_middleware(PositionCookie)


    async def route(request):
        async with causal(request.scope, db) as session:
            ...

Only requests that may have written set the cookie. Browsers send several requests at the same time, and a
read that began before a write must not replace its position by an older one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

from plainsql.database import CausalSession, Database, TenantDatabase
from plainsql.errors import SettingsError
from plainsql.replication.positions import NEWEST, NOTHING, TOKEN_BYTES, Position, merged

__all__ = ["COOKIE", "PositionCookie", "causal"]

COOKIE: Final = "plainsql_position"
"""The name of the cookie, unless you give another one."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_KEY: Final = "plainsql.positions"
"""The key of the request's positions in its scope, by the name of their cookie."""


class PositionCookie:
    """A middleware that keeps the position of each client's last write in a cookie.

    The cookie holds 16 hexadecimal digits, and nothing secret. It is sent to the whole site, over TLS only if
    the request came so, is hidden from scripts, and ends with the browser.
    """

    def __init__(self, app: App, *, cookie: str = COOKIE) -> None:
        """Take the application.

        ``cookie`` is the name of the cookie. A position is one of a server: an application with two databases
        has two of these middlewares, and names the cookie in ``causal``.
        """
        if not cookie.isascii() or not cookie.replace("-", "_").isidentifier():
            raise SettingsError(
                f"cookie: expected a name of letters, digits, _ and -, got {cookie!r}",
                hint=f"leave it out, or write a name such as {COOKIE}",
            )
        self._app = app
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        positions = begin(scope, self._cookie)
        if positions is None or scope["type"] != "http":  # a websocket is answered before it writes
            await self._app(scope, receive, send)
            return

        async def send_position(message: Any) -> None:
            add_cookie(message, scope, self._cookie)
            await send(message)

        await self._app(scope, receive, send_position)


@asynccontextmanager
async def causal(
    scope: Scope,
    db: Database | TenantDatabase,
    *,
    cookie: str = COOKIE,
    **options: float,
) -> AsyncIterator[CausalSession]:
    """Run a block in a session of ``db`` that continues the client's last one.

    Args:
        scope: of the request or the websocket, such as ``request.scope``.
        db: the database, or the request's tenant's.
        cookie: the name that the middleware was given.
        options: ``max_lag`` and ``max_wait``, as in ``db.causal``.

    Raises ``SettingsError`` without the middleware.
    """
    positions: _Positions | None = scope.get(_KEY, {}).get(cookie)
    if positions is None:
        raise SettingsError(
            f"the application has no middleware for the cookie {cookie!r}",
            hint="app.add_middleware(PositionCookie), or install(app, position_cookie=…) of plainsql.fastapi",
        )
    async with db.causal(positions.token, **options) as session:
        positions.sessions.append(session)
        yield session


class _Positions:
    """The position that a request came with, and the sessions that continue it."""

    def __init__(self, token: bytes | None) -> None:
        self.token = token
        self.sessions: list[CausalSession] = []

    def written(self) -> bytes | None:
        """Return the position of what the request has written; None if there is nothing to keep."""
        tokens = [session.token for session in self.sessions if session.has_written]
        found = _newest(tokens)
        return None if found in (None, self.token) else found


def begin(scope: Scope, cookie: str) -> _Positions | None:
    """Take the client's position from the headers of a request; None if another middleware has done it."""
    positions: dict[str, _Positions] = scope.setdefault(_KEY, {})
    if scope["type"] not in ("http", "websocket") or cookie in positions:
        return None
    positions[cookie] = _Positions(_token_of(scope["headers"], cookie))
    return positions[cookie]


def add_cookie(message: Any, scope: Scope, cookie: str) -> None:
    """Add the position to the beginning of a response, if the request may have written."""
    if message["type"] != "http.response.start":
        return
    positions: _Positions | None = scope.get(_KEY, {}).get(cookie)
    token = None if positions is None else positions.written()
    if token is not None:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        value = f"{cookie}={token.hex()}; Path=/; HttpOnly; SameSite=Lax{secure}"
        message["headers"] = [*message.get("headers", ()), (b"set-cookie", value.encode())]


def _token_of(headers: Iterable[tuple[bytes, bytes]], cookie: str) -> bytes | None:
    """Return the token in a request's cookie; None if there is none that can be read."""
    for header, value in headers:
        if header != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            name, _, text = pair.strip().partition("=")
            if name == cookie and len(text) == 2 * TOKEN_BYTES:
                try:
                    return bytes.fromhex(text)
                except ValueError:
                    return None
    return None


def _newest(tokens: Iterable[bytes]) -> bytes | None:
    """Return the token that covers all of these."""
    known: Position | None = None
    for token in tokens:
        if token == NEWEST:
            return NEWEST
        if token != NOTHING:
            known = merged(known, Position.of_token(token))
    return None if known is None else known.token()
