"""Sessions for threads: the same as the asynchronous ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from plainsql.errors import BindError
from plainsql.sessions import SessionConflictError, SessionOverError, Sessions, SyncSessions
from tests.sessions.conftest import Login


@pytest.fixture
def sync_sessions(redis_url: str, prefix: str) -> Iterator[SyncSessions[Login]]:
    with SyncSessions(redis_url, Login, prefix=prefix, deadline=30) as sessions:
        yield sessions


async def test_both_kinds_have_the_same_sessions(
    sync_sessions: SyncSessions[Login], sessions: Sessions[Login]
) -> None:
    one = await sessions.create("ana", Login(["admin"]))
    assert sync_sessions.get(one.id) == one
    two = sync_sessions.create("ana", Login(), fence=sync_sessions.fence("ana"), ttl=60)
    bot = sync_sessions.create("ana", Login(), name="bot")
    with pytest.raises(SessionConflictError):
        sync_sessions.create("ana", Login(), name="bot")
    assert sync_sessions.get_named("ana", "bot") == bot
    assert await sessions.get(two.id) == two
    assert {each.id for each in sync_sessions.list_by_user("ana")} == {one.id, two.id, bot.id}
    changed = sync_sessions.update(two, Login(["changed"]))
    with pytest.raises(SessionConflictError):
        await sessions.update(two, Login())
    assert sync_sessions.delete(bot)
    assert sync_sessions.expire_all("ana", keep=changed) == 1
    assert await sessions.list_by_user("ana") == [changed]
    assert sync_sessions.delete(changed.id)
    assert sync_sessions.get(changed.id) is None
    with pytest.raises(SessionOverError):
        sync_sessions.update(changed, Login())
    with pytest.raises(BindError):
        sync_sessions.get(None)  # type: ignore[arg-type]


def test_no_change_of_a_thread_is_lost(sync_sessions: SyncSessions[Login]) -> None:
    session = sync_sessions.create("ana", Login())
    threads_of_changes: set[int] = set()

    def visit(login: Login) -> Login:
        threads_of_changes.add(threading.get_ident())
        # The sessions can be used in it: it does not run in the thread of the connection.
        assert sync_sessions.get(session.id) is not None
        return Login(login.roles, login.visits + 1)

    def visit_often(_: int) -> int:
        for _ in range(5):
            sync_sessions.modify(session, visit, attempts=1000)
        return threading.get_ident()

    with ThreadPoolExecutor(4) as threads:
        callers = set(threads.map(visit_often, range(4)))
    assert threads_of_changes == callers
    found = sync_sessions.get(session.id)
    assert found is not None
    assert found.value.visits == 20
