"""Sessions in the order of their waits: each below the first one that it waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plainsql.workload.server_sessions import ServerSession

__all__ = ["Line", "lock_tree"]


class Line(NamedTuple):
    """A session and its depth: 0 waits for no session."""

    depth: int
    session: ServerSession


def lock_tree(sessions: Sequence[ServerSession]) -> list[Line]:
    """Return each session once, below the first session that it waits for, otherwise in the given order.

    Sessions that wait for each other, before the server has noticed the deadlock, begin with one of them.
    """
    by_pid = {session.pid: session for session in sessions}
    parents = {
        session.pid: next((pid for pid in session.blocked_by if pid in by_pid), None) for session in sessions
    }
    seen: set[int] = set()

    def below(session: ServerSession, depth: int) -> Iterator[Line]:
        if session.pid in seen:
            return
        seen.add(session.pid)
        yield Line(depth, session)
        for other in sessions:
            if parents[other.pid] == session.pid:
                yield from below(other, depth + 1)

    lines: list[Line] = []
    for session in sessions:
        if parents[session.pid] is None:
            lines += below(session, 0)
    for session in sessions:
        lines += below(session, 0)
    return lines
