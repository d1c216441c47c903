"""Sessions in Redis: typed, with an expiry, and safe from late writes.

::

    class Login(msgspec.Struct):
        roles: list[str] = []

    async with Sessions("redis://localhost", Login, sliding=True) as sessions:
        session = await sessions.create(user_id, Login(["admin"]))
        session = await sessions.get(session.id)
        session = await sessions.update(session, Login([]))
        await sessions.delete(session)
        await sessions.expire_all(user_id)

``SyncSessions`` is the same for programs that are not asynchronous.
"""

from __future__ import annotations

from plainsql.sessions.session import Session, SessionConflictError, SessionOverError
from plainsql.sessions.sessions import Fence, Sessions
from plainsql.sessions.sync_sessions import SyncSessions

__all__ = ["Fence", "Session", "SessionConflictError", "SessionOverError", "Sessions", "SyncSessions"]
