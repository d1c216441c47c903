"""A table in memory that cached reads and writes of the tests go to, in the place of PostgreSQL's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from plainsql.cache import Cache, CachedQuery, Touched, touched_rows
from plainsql.dependencies import CachedRead, Dependency

TABLE = "shop.messages"


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background: at most 30 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (nobody would set an event)
            await asyncio.sleep(0.002)


class Message(msgspec.Struct, frozen=True):
    conversation_id: int
    version: int


def reading(
    *bound: str,
    name: str = "shop.messages.get",
    table: str = TABLE,
    ttl: float = 60.0,
    local: float | None = None,
    stale: float | None = None,
    negative: bool = True,
    shape: str = "",
) -> CachedQuery[Message | None]:
    """A cached query over the table, bound by columns that have the names of its parameters."""
    dependencies = tuple(Dependency(table, column, column) for column in bound) or (Dependency(table),)
    policy = CachedRead(ttl, dependencies, local=local, stale=stale, negative=negative)
    return CachedQuery(name, policy, bound or ("conversation_id",), Message | None, shape=shape)


BY_CONVERSATION = reading("conversation_id")
ANY = reading(name="shop.messages.newest")


def touched(*conversations: int) -> Touched:
    """The rows that a write of messages of these conversations touches; of any if none is given."""
    return touched_rows(TABLE, {"conversation_id": list(conversations)} if conversations else {})


class Table:
    """A version for each conversation, and what was read of it."""

    def __init__(self) -> None:
        self.versions: dict[int, int] = {}
        self.loads = 0
        self.gate = asyncio.Event()
        """Reads wait here, after they have seen the table."""
        self.gate.set()
        self.seen = asyncio.Event()
        """Set by every read as soon as it has seen the table."""

    def load(self, conversation: int = 1) -> Callable[[], Awaitable[Message | None]]:
        async def load() -> Message | None:
            self.loads += 1
            version = self.versions.get(conversation)
            self.seen.set()
            await asyncio.sleep(0)
            await self.gate.wait()
            return None if version is None else Message(conversation, version)

        return load

    async def read(
        self,
        cache: Cache,
        query: CachedQuery[Message | None] = BY_CONVERSATION,
        conversation: int = 1,
        scope: tuple[str, ...] = (),
    ) -> int | None:
        message = await cache.read(query, (conversation,), self.load(conversation), scope=scope)
        return None if message is None else message.version

    async def write(self, cache: Cache, version: int, conversation: int = 1) -> None:
        async with cache.writing(touched(conversation)):
            self.versions[conversation] = version
