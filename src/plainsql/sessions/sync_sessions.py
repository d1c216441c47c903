"""Sessions in Redis, for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from plainsql.sessions.session import Session
from plainsql.sessions.sessions import Fence, Sessions
from plainsql.sync_redis_connection import SyncRedisService, SyncRedisSource, run_here

__all__ = ["SyncSessions"]

T = TypeVar("T")


class SyncSessions(SyncRedisService, Generic[T]):
    """``Sessions`` for programs that are not asynchronous: the same methods, for any number of threads.

    ``redis`` is a URL, a ``SyncRedisConnection``, or nothing for the configured one. A ``Sessions`` of the
    same prefix and type has the same sessions.
    """

    def __init__(
        self,
        redis: SyncRedisSource,
        type: type[T],
        *,
        prefix: str | None = None,
        ttl: float = 86_400.0,
        sliding: bool = False,
        deadline: float = 0.5,
    ) -> None:
        super().__init__(redis)
        self._sessions: Sessions[T] = Sessions(
            self._link, type, prefix=prefix, ttl=ttl, sliding=sliding, deadline=deadline
        )

    def fence(self, user: str) -> Fence:
        """Return a proof with which ``create`` fails if ``expire_all`` comes first.

        See ``Sessions.fence``.
        """
        return run_here(self._sessions.fence(user))

    def create(
        self,
        user: str,
        value: T,
        *,
        ttl: float | None = None,
        name: str | None = None,
        fence: Fence | None = None,
    ) -> Session[T]:
        """Begin a session; see ``Sessions.create``."""
        return run_here(self._sessions.create(user, value, ttl=ttl, name=name, fence=fence))

    def get(self, session_id: str) -> Session[T] | None:
        """Return a session, or None if it is over or the id is not valid; see ``Sessions.get``."""
        return run_here(self._sessions.get(session_id))

    def get_named(self, user: str, name: str) -> Session[T] | None:
        """Return a user's session of this name, or None; see ``Sessions.get_named``."""
        return run_here(self._sessions.get_named(user, name))

    def update(self, session: Session[T], value: T) -> Session[T]:
        """Replace the value of a session that was not written since ``session`` was read.

        Raises what ``Sessions.update`` raises.
        """
        return run_here(self._sessions.update(session, value))

    def modify(self, session: Session[T], change: Callable[[T], T], *, attempts: int = 20) -> Session[T]:
        """Replace the value by ``change(value)``, which runs in the caller's thread; see
        ``Sessions.modify``.
        """
        return run_here(self._sessions.modify(session, change, attempts=attempts))

    def delete(self, session: Session[T] | str) -> bool:
        """End a session, given as the session or as its id; see ``Sessions.delete``."""
        return run_here(self._sessions.delete(session))

    def list_by_user(self, user: str) -> list[Session[T]]:
        """Return a user's sessions, the newest first; see ``Sessions.list_by_user``."""
        return run_here(self._sessions.list_by_user(user))

    def expire_all(self, user: str, *, keep: Session[T] | None = None) -> int:
        """End all sessions of a user except ``keep``; see ``Sessions.expire_all``."""
        return run_here(self._sessions.expire_all(user, keep=keep))

    def __repr__(self) -> str:
        return repr(self._sessions).replace("<Sessions", "<SyncSessions", 1)
