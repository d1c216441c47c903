"""The process of one store: ``python -m benchmarks.vectors.store_worker``, started by ``store_process``.

It reads jobs as lines of JSON from standard input, and writes a line for each, until its input ends. It runs
with the packages of its store, so it imports nothing but NumPy, uvloop and the standard library.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import importlib
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.vectors.stores.store import FILTERS, Filter, Rows, Server, Store, make_rows

__all__ = ["STORES", "main"]

STORES = {
    "plainsql": "plainsql_store:Plainsql",
    "langchain": "langchain_store:LangChain",
    "llama-index": "llama_index_store:LlamaIndex",
    "vecs": "vecs_store:Vecs",
}
"""The module and the class of each store, by its short name."""

Job = dict[str, Any]


class _Worker:
    def __init__(self, name: str, folder: Path) -> None:
        self._rows = make_rows(
            json.loads((folder / "texts.json").read_text("utf-8")), _array(folder, "embeddings")
        )
        module, _, kind = STORES[name].partition(":")
        self._kind: type[Store] = getattr(
            importlib.import_module(f"benchmarks.vectors.stores.{module}"), kind
        )
        self._questions = _array(folder, "questions")
        self._store: Any = None

    async def begin(self, server: Job) -> Job:
        self._store = self._kind(Server(**server))
        await self._store.create()
        return {"title": self._kind.title, "version": _version(self._kind), "table": self._kind.table}

    async def add(self, first: int, last: int) -> Job:
        rows = self._rows
        part = Rows(
            first,
            rows.texts[first:last],
            rows.section[first:last],
            rows.shelf[first:last],
            rows.embeddings[first:last],
        )
        prepared = self._store.prepare(part)
        return {"seconds": await _timed(self._store.add(prepared))}

    async def index(self) -> Job:
        return {"seconds": await _timed(self._store.index())}

    async def ready(self, ef_search: int) -> Job:
        await self._store.ready(ef_search)
        return {}

    async def search(self, numbers: list[int], way: str, filtered: str | None = None) -> Job:
        """Search for the questions of these numbers, one after another, concurrently, or in a batch.

        ``planned`` ones run one after another too, with the plan that PostgreSQL chooses.
        """
        store = self._store
        questions = [store.question(self._questions[number]) for number in numbers]
        filters: list[Filter] = [
            (filtered, number % FILTERS[filtered]) if filtered else None for number in numbers
        ]
        _set_aside()
        times, answers = [], []
        began = last = time.perf_counter()
        if way in ("one", "planned"):
            search = store.search_planned if way == "planned" else store.search
            for question, one in zip(questions, filters, strict=True):
                answers.append(await search(question, one))
                now = time.perf_counter()
                times.append((now - last) * 1000)
                last = now
        elif way == "at-once":
            answers = await store.search_all(questions, filters)
        else:
            answers = await store.search_batch(questions, filters)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "times": times,
            "answers": [store.ids(answer) for answer in answers],
            "digests": [hashlib.sha256(repr(answer).encode()).hexdigest() for answer in answers],
        }

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


async def _timed(work: Any) -> float:
    _set_aside()
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _set_aside() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _array(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy")


def _version(kind: type[Store]) -> str:
    try:
        return metadata.version(kind.distribution)
    except metadata.PackageNotFoundError:
        return ""


async def _run(name: str, folder: Path) -> None:
    worker = _Worker(name, folder)
    try:
        # Nothing else is to run while it waits, so it may block.
        while line := sys.stdin.buffer.readline():
            job = json.loads(line)
            try:
                reply = await getattr(worker, job.pop("do"))(**job)
            except Exception as error:  # noqa: BLE001 (whatever it raises is the answer)
                reply = {"error": _in_a_line(error)}
            _write(reply)
    finally:
        await worker.close()


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _write(reply: Job) -> None:
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    name, folder = sys.argv[1:]
    loop: Any = None
    try:
        import uvloop

        loop = uvloop.new_event_loop
    except ImportError:  # asyncio's own
        pass
    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(_run(name, Path(folder)))
        except Exception as error:  # noqa: BLE001 (a package may be missing)
            _write({"error": _in_a_line(error)})


if __name__ == "__main__":
    main()
