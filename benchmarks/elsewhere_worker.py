"""The process of one contender: ``python -m benchmarks.elsewhere_worker``, started by ``elsewhere``.

It reads jobs as lines of JSON from standard input, and writes a line for each, until its input ends.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import asyncpg
import msgspec

from benchmarks import contenders
from benchmarks.cases import make_all_cases
from benchmarks.cases.base import Admin, Case
from benchmarks.contenders import plainsql_paths
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.elsewhere import Beginning, Job, Reply
from benchmarks.loops import new_loop
from benchmarks.slices import run_slice, set_aside, warm_up

__all__ = ["main"]


async def _do(job: Job, cases: dict[str, Case], contender: Contender, admin: Admin) -> Reply:
    if job.do == "set-aside":
        gc.unfreeze()
        set_aside()
        return Reply()
    case = cases[job.case]
    if job.do == "check":
        return Reply(text=await case.check(contender, admin) or "")
    if job.do == "warm-up":
        await warm_up(case, contender, admin, job.length)
        return Reply()
    return Reply(slice=await run_slice(case, contender, job.units, job.seed, latencies=job.latencies))


async def _answer(job: Job, cases: dict[str, Case], contender: Contender, admin: Admin) -> Reply:
    try:
        return await _do(job, cases, contender, admin)
    except NotOfferedError as error:
        return Reply(not_offered=str(error))
    except Exception as error:  # noqa: BLE001 (whatever it raises is the answer)
        while isinstance(error, ExceptionGroup):  # of the tasks
            error = error.exceptions[0]
        return Reply(error=f"{type(error).__name__}: {error}".partition("\n")[0])


async def _run(beginning: Beginning, contender: Contender) -> None:
    cases = {case.name: case for case in make_all_cases(beginning.extent)}
    admin: Any = await asyncpg.connect(beginning.place.url)
    try:
        await contender.open(beginning.place)
        try:
            _write(Reply(text=plainsql_paths.compiled()))
            # Nothing else is to run while it waits, so it may block.
            while line := sys.stdin.buffer.readline():
                _write(await _answer(msgspec.json.decode(line, type=Job), cases, contender, admin))
        finally:
            await contender.close()
    finally:
        await admin.close()


def _write(reply: Reply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    beginning = msgspec.json.decode(sys.stdin.buffer.readline(), type=Beginning)
    made, missing = contenders.make([beginning.contender])
    if beginning.contender in missing:
        _write(Reply(error=missing[beginning.contender]))
        return
    with asyncio.Runner(loop_factory=new_loop(beginning.loop)) as runner:
        try:
            runner.run(_run(beginning, made[beginning.contender]))
        except Exception as error:  # noqa: BLE001 (it may not even connect)
            _write(Reply(error=f"{type(error).__name__}: {error}".partition("\n")[0]))


if __name__ == "__main__":
    main()
