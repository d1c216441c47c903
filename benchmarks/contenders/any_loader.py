"""A loader by hand: the keys of one turn of the loop go as one ``where id = any($1)``.

What an application writes (or takes from a dataloader) for its most frequent query, to compare with
plainsql's joined reads, which need no such query. It runs on asyncpg's pool without the reset query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from benchmarks.contenders.asyncpg_pool import PoolWithoutReset
from benchmarks.contenders.base import POOL_SIZE, Contender
from benchmarks.data import GET_LEADS, Lead
from benchmarks.database import Place

__all__ = ["AnyLoader"]


class AnyLoader(Contender):
    name = "= any($1) by hand"
    distributions = ("asyncpg",)

    async def open(self, place: Place) -> None:
        self.pool: Any = await asyncpg.create_pool(
            place.url, min_size=POOL_SIZE, max_size=POOL_SIZE, reset=PoolWithoutReset.reset
        )
        self.loop = asyncio.get_running_loop()
        self.wanted: dict[int, asyncio.Future[Lead | None]] = {}
        self.loads: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        await self.pool.close()

    async def get_lead(self, id: int) -> Any:
        answer = self.wanted.get(id)
        if answer is None:
            if not self.wanted:
                self.loop.call_soon(self._start)
            answer = self.wanted[id] = self.loop.create_future()
        return await answer

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        found = {record[0]: Lead(*record) for record in await self.pool.fetch(GET_LEADS, ids)}
        return [found.get(id) for id in ids]

    def _start(self) -> None:
        wanted, self.wanted = self.wanted, {}
        load = self.loop.create_task(self._load(wanted))
        self.loads.add(load)
        load.add_done_callback(self.loads.discard)

    async def _load(self, wanted: dict[int, asyncio.Future[Lead | None]]) -> None:
        try:
            for record in await self.pool.fetch(GET_LEADS, list(wanted)):
                wanted.pop(record[0]).set_result(Lead(*record))
        except Exception as error:  # noqa: BLE001 (all that wait are told)
            for answer in wanted.values():
                answer.set_exception(error)
        else:
            for answer in wanted.values():
                answer.set_result(None)
