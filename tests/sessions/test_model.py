"""Sessions against a model in memory: any operation in any order, by any earlier reader."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from plainsql.sessions import Fence, Session, SessionConflictError, SessionOverError, Sessions

users = st.sampled_from(["ana", "bea"])
names = st.sampled_from([None, None, "bot", "chat"])
whichever = st.integers(0, 10)
actions = st.one_of(
    st.tuples(st.just("fence"), users, whichever),
    st.tuples(st.just("create"), users, names),
    st.tuples(st.just("create fenced"), users, whichever),
    st.tuples(st.just("update"), whichever, whichever),
    st.tuples(st.just("delete"), whichever, whichever),
    st.tuples(st.just("expire all"), users, whichever),
)


@dataclass
class Model:
    """The sessions by id, and the number of times that all sessions of a user were ended."""

    there: dict[str, Session[int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)


@settings(max_examples=150, deadline=None)
@given(story=st.lists(actions, max_size=30))
def test_only_what_was_begun_and_not_ended_is_there_with_its_last_value(
    redis_url: str, story: list[tuple[str, str | int, str | int | None]]
) -> None:
    async def run() -> None:
        async with Redis.from_url(redis_url) as redis:
            await act(Sessions(redis, int, prefix=f"sessions-{uuid.uuid4().hex}", deadline=10), story)

    asyncio.run(run())


async def act(sessions: Sessions[int], story: list[tuple[str, str | int, str | int | None]]) -> None:
    model = Model()
    read: list[Session[int]] = []  # whatever anyone has ever seen
    fences: list[tuple[str, int, Fence]] = []
    for number, (action, a, b) in enumerate(story):
        user = str(a)
        if action == "fence":
            fences.append((user, model.ends.get(user, 0), await sessions.fence(user)))
        elif action == "create":
            name = None if b is None else str(b)
            taken = name is not None and any(
                one.user == user and one.id.endswith(f":{name}") for one in model.there.values()
            )
            try:
                made = await sessions.create(user, number, name=name)
                assert not taken
                model.there[made.id] = made
                read.append(made)
            except SessionConflictError:
                assert taken
        elif action == "create fenced" and fences:
            user, ends, fence = fences[int(b or 0) % len(fences)]
            try:
                made = await sessions.create(user, number, fence=fence)
                assert ends == model.ends.get(user, 0)
                model.there[made.id] = made
                read.append(made)
            except SessionOverError:
                assert ends != model.ends.get(user, 0)
        elif action == "update" and read:
            seen = read[int(a) % len(read)]
            now = model.there.get(seen.id)
            try:
                written = await sessions.update(seen, number)
                assert now is not None
                assert now.version == seen.version
                model.there[seen.id] = written
                read.append(written)
            except SessionOverError:
                assert now is None
            except SessionConflictError:
                assert now is not None
                assert now.version != seen.version
        elif action == "delete" and read:
            seen = read[int(a) % len(read)]
            assert await sessions.delete(seen) == (seen.id in model.there)
            model.there.pop(seen.id, None)
        elif action == "expire all":
            gone = [one.id for one in model.there.values() if one.user == user]
            assert await sessions.expire_all(user) == len(gone)
            for one in gone:
                del model.there[one]
            model.ends[user] = model.ends.get(user, 0) + 1
    for user in ("ana", "bea"):
        expected = {one.id: one for one in model.there.values() if one.user == user}
        assert {one.id: one for one in await sessions.list_by_user(user)} == expected
    for seen in read:
        name = seen.id.partition(":")[2]
        found = await (sessions.get_named(seen.user, name) if name else sessions.get(seen.id))
        assert found == model.there.get(seen.id)
