"""A contender in a process of its own: what it measures is decided when its library is imported.

It takes its turns in the rounds like all others. Its process makes the calls and times them; this one waits.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchmarks.cases.base import Loop
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.database import Place
from benchmarks.extent import Extent
from benchmarks.slices import Slice

__all__ = ["Beginning", "Elsewhere", "ElsewhereError", "Job", "Reply"]

_LONGEST_LINE = 2**24


class ElsewhereError(Exception):
    """An error that a contender raised in its process."""


class Beginning(msgspec.Struct):
    """The first line that the process reads."""

    contender: str
    place: Place
    extent: Extent
    loop: Loop


class Job(msgspec.Struct):
    """Any further line."""

    do: Literal["set-aside", "check", "warm-up", "slice"]
    case: str = ""
    units: int = 0
    seed: int = 0
    latencies: bool = False
    length: float = 0.0


class Reply(msgspec.Struct):
    """The line that answers."""

    text: str = ""
    """To the first line: whether the compiled part runs; to a check: what there is to say of the answers."""
    slice: Slice | None = None
    error: str = ""
    not_offered: str = ""


class Elsewhere(Contender):
    """The contender of a process; the methods that make single calls are not offered."""

    def __init__(self, short_name: str, contender: Contender, extent: Extent, loop: Loop) -> None:
        self._beginning = (short_name, extent, loop)
        self._environment = os.environ | contender.environment
        self._process: asyncio.subprocess.Process | None = None
        self.compiled = ""
        """The state of plainsql's compiled part there, in words."""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    async def open(self, place: Place) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.elsewhere_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env=self._environment,
            limit=_LONGEST_LINE,
        )
        short_name, extent, loop = self._beginning
        try:
            self.compiled = (await self._ask(Beginning(short_name, place, extent, loop))).text
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, job: Job) -> Reply:
        """Have the process do something.

        Raises:
            NotOfferedError: the contender has no way to do it.
            ElsewhereError: it raised something else.
        """
        return await self._ask(job)

    async def _ask(self, what: Any) -> Reply:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(what) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise ElsewhereError("its process has ended")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.not_offered:
            raise NotOfferedError(reply.not_offered)
        if reply.error:
            raise ElsewhereError(reply.error)
        return reply
