"""The sessions of a program in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic, NewType, Self, TypeVar

import msgspec

from plainsql.application import redis_prefix
from plainsql.errors import BindError, DecodeError
from plainsql.options import check
from plainsql.redis_connection import RedisConnection, RedisSource, Script
from plainsql.sessions.keys import SessionKeys, UserKeys, parse
from plainsql.sessions.session import Session, SessionConflictError, SessionOverError

__all__ = ["Fence", "Sessions"]

T = TypeVar("T")
Fence = NewType("Fence", str)
"""Proof that ``expire_all`` was not called for the user since it was made."""

_FENCE_MS = 3_600_000


class Sessions(Generic[T]):
    """Sessions whose values are of one type, which msgspec stores as MessagePack.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or nothing for the configured one. A
    session expires ``ttl`` seconds after it began; with ``sliding``, after it was last read or written.
    ``deadline`` is the limit of one call to Redis, in seconds.

    A session exists only while Redis holds both the session and its entry in the user's index: an eviction or
    a loss ends sessions and never revives one.

    Processes with the same ``prefix`` share their sessions. By default it is the application's name (see
    ``plainsql.application``), so that applications which share a Redis do not accept each other's sessions.

    All methods raise ``RedisUnavailableError`` if Redis does not answer. A write may then have been done or
    not; the id of a session whose ``create`` failed so was never returned.
    """

    def __init__(
        self,
        redis: RedisSource,
        type: type[T],
        *,
        prefix: str | None = None,
        ttl: float = 86_400.0,
        sliding: bool = False,
        deadline: float = 0.5,
    ) -> None:
        check("Sessions", redis=redis, prefix=prefix, ttl=ttl, sliding=sliding, deadline=deadline)
        self._prefix = redis_prefix(prefix, "sessions")
        self._link, self._owned = RedisConnection.of(redis)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type)
        self._type_name = getattr(type, "__name__", str(type))
        self._ttl_ms = _milliseconds(ttl)
        self._slides = int(sliding)
        self._deadline = deadline

    async def fence(self, user: str) -> Fence:
        """Return a proof with which ``create`` fails if ``expire_all`` comes first.

        Call it before you read the user's password, or any other credential. It is valid for an hour.
        """
        tokens = await self._fences(UserKeys.of(self._prefix, user).fence)
        return Fence(tokens[0].decode())

    async def create(
        self,
        user: str,
        value: T,
        *,
        ttl: float | None = None,
        name: str | None = None,
        fence: Fence | None = None,
    ) -> Session[T]:
        """Begin a session, by default with an id that cannot be guessed. Two round trips, or one with
        ``fence``.

        With ``name`` (letters, digits, ``_``, ``-``) it is the only session of this name that the user can
        have, and ``get_named`` finds it: for the state of a conversation or a bot, not for authentication.

        Raises ``SessionOverError`` if ``expire_all`` came after the fence (without one: after this call
        began), or ``delete`` of the named session. Raises ``SessionConflictError`` if a session of that name
        exists.
        """
        check("create", ttl=ttl, fence=fence)
        keys = UserKeys.of(self._prefix, user).named(name)
        fence_keys = [keys.user.fence, keys.fence] if keys.is_named else [keys.user.fence]
        if fence is not None and not keys.is_named:
            tokens = [fence.encode()]
        else:
            tokens = await self._fences(*fence_keys)
            if fence is not None:
                tokens[0] = fence.encode()
        version = _new_version()
        life = self._ttl_ms if ttl is None else _milliseconds(ttl)
        reply = await self._run(
            "create.lua",
            [keys.user.index, keys.session, *fence_keys],
            [keys.name, version, self._encode(value), user, life, *tokens],
        )
        if reply == b"fenced":
            raise SessionOverError(
                "the user's sessions were ended while this one was begun",
                hint="let the user log in again",
            )
        if reply == b"exists":
            raise SessionConflictError(
                "the user has a session of this name", hint="read it with get_named, or delete it first"
            )
        created, ends = reply
        return Session(keys.id, user, value, version, _time(created), _time(ends))

    async def get(self, session_id: str) -> Session[T] | None:
        """Return a session, or None if it is over or the id is not valid. The id may be untrusted.

        Raises ``DecodeError`` if its value does not fit the type, as after an incompatible change of it.
        """
        return await self._get(parse(self._prefix, session_id, named=False))

    async def get_named(self, user: str, name: str) -> Session[T] | None:
        """Return a user's session of this name, or None. Raises ``DecodeError`` as ``get`` does."""
        return await self._get(UserKeys.of(self._prefix, user).named(name))

    async def update(self, session: Session[T], value: T) -> Session[T]:
        """Replace the value of a session that was not written since ``session`` was read.

        Raises ``SessionConflictError`` if it was, and ``SessionOverError`` if the session is over.
        """
        keys = self._keys(session)
        version = _new_version()
        reply = await self._run(
            "update.lua",
            [keys.user.index, keys.session],
            [keys.name, session.version, version, self._encode(value), self._slides],
        )
        if reply == b"over":
            raise SessionOverError("the session is over: nothing was written")
        if reply == b"newer":
            raise SessionConflictError(
                "another call has written the session since it was read: nothing was written",
                hint="read it again, or use modify",
            )
        return msgspec.structs.replace(session, value=value, version=version, expires_at=_time(reply))

    async def modify(
        self, session: Session[T], change: Callable[[T], T], *, attempts: int = 20
    ) -> Session[T]:
        """Replace the value by ``change(value)``, computed again from the newer value after each conflict.

        ``change`` may be called several times. Raises ``SessionOverError`` if the session is over, and
        ``SessionConflictError`` after ``attempts`` conflicts.
        """
        check("modify", change=change, attempts=attempts)
        keys = self._keys(session)
        for attempt in range(attempts):
            try:
                return await self.update(session, change(session.value))
            except SessionConflictError:
                if attempt == attempts - 1:
                    raise
            newer = await self._get(keys)
            if newer is None:
                raise SessionOverError("the session is over: nothing was written")
            session = newer
        raise AssertionError("at least one attempt")

    async def delete(self, session: Session[T] | str) -> bool:
        """End a session, given as the session or as its id. Return whether it existed.

        No write in progress can bring it back.
        """
        if isinstance(session, str):
            keys = parse(self._prefix, session, named=False)
            if keys is None:
                return False
        else:
            keys = self._keys(session)
        return bool(await self._run("delete.lua", [keys.user.index, keys.session, keys.fence], [keys.name]))

    async def list_by_user(self, user: str) -> list[Session[T]]:
        """Return a user's sessions, the newest first. Reading them here does not prolong them.

        Raises ``DecodeError`` if the value of one does not fit the type.
        """
        user_keys = UserKeys.of(self._prefix, user)
        found = await self._run("list.lua", [user_keys.index], [user_keys.sessions])
        sessions = [self._session(user_keys.tag + name.decode(), rest) for name, *rest in found]
        return sorted(sessions, key=lambda session: (session.created_at, session.id), reverse=True)

    async def expire_all(self, user: str, *, keep: Session[T] | None = None) -> int:
        """End all sessions of a user except ``keep``, and those that are being created. Return their
        number.
        """
        user_keys = UserKeys.of(self._prefix, user)
        kept = ""
        if keep is not None:
            keys = self._keys(keep)
            if keys.user != user_keys:
                raise BindError("keep: expected a session of the user")
            kept = keys.name
        return int(
            await self._run("expire_all.lua", [user_keys.index, user_keys.fence], [user_keys.sessions, kept])
        )

    async def _fences(self, *keys: str) -> list[bytes]:
        tokens: list[bytes] = await self._run("fence.lua", list(keys), [_new_version(), _FENCE_MS])
        return tokens

    async def _get(self, keys: SessionKeys | None) -> Session[T] | None:
        if keys is None:
            return None
        reply = await self._run("get.lua", [keys.user.index, keys.session], [keys.name, self._slides])
        return None if reply is None else self._session(keys.id, reply)

    async def _run(self, name: str, keys: list[str], arguments: list[bytes | str | int]) -> Any:
        return await self._link.run(_script(name), keys, arguments, deadline=self._deadline)

    def _encode(self, value: T) -> bytes:
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            # The error may quote the value.
            raise BindError(
                f"value: {type(value).__name__} cannot be stored: {type(error).__name__}",
                hint="store values that MessagePack can hold: no surrogates, no numbers over 64 bits",
            ) from None

    def _session(self, session_id: str, fields: list[Any]) -> Session[T]:
        version, data, user, created, ends = fields
        try:
            name = user.decode()
            value = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Some of msgspec's messages quote the value; the path at their end never does.
            _, at, path = str(error).rpartition(" - at ")
            raise DecodeError(
                f"a session does not fit {self._type_name}" + (f" at {path}" if at else ""),
                hint="give new fields a default, or end the session",
            ) from None
        return Session(session_id, name, value, version.decode(), _time(created), _time(ends))

    def _keys(self, session: object) -> SessionKeys:
        keys = parse(self._prefix, session.id, named=True) if isinstance(session, Session) else None
        if keys is None:
            raise BindError("expected a session of these Sessions")
        return keys

    async def aclose(self) -> None:
        """Close the connections to Redis, unless a client or a link was given."""
        if self._owned:
            await self._link.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Sessions of {self._type_name} in {self._prefix!r}>"


@cache
def _script(name: str) -> Script:
    if name == "fence.lua":  # the only one that needs no clock
        return Script.read("plainsql.sessions", name, clock="")
    return Script.read("plainsql.sessions", "state.lua", name)


def _new_version() -> str:
    # Random, not counted: a session that ends and comes again under its name must not repeat a version.
    return secrets.token_urlsafe(12)


def _milliseconds(ttl: float) -> int:
    return round(ttl * 1000)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
