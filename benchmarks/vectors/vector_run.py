"""One run: every store is filled and searched in turn, round after round.

::

    load        A B C D, then D C B A …    each round adds the same rows to all, without an index of vectors
    index       each store makes its own, with the same parameters; the tables are vacuumed and analyzed
    settings    plainsql alone: the recall with each value of ef_search
    searches    A B C D, then D C B A …    the same questions, one after another, without and with a filter
    together    A A' A" B B' …             the same questions one after another, at once and in a batch

Clients and server have processors of their own while searches run one after another, as in the other
benchmarks.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import connect, conninfo

from benchmarks import processors
from benchmarks.contenders.plainsql_paths import compiled
from benchmarks.database import SETTINGS
from benchmarks.machine import describe_checkout, describe_machine
from benchmarks.vectors.store_process import StoreError, StoreProcess
from benchmarks.vectors.stores.store import DIMENSIONS, EF_CONSTRUCTION, FILTERS, LIMIT, M
from benchmarks.vectors.vector_data import VectorData, make_data
from benchmarks.vectors.vector_results import Searched, Setting, StoreResults, VectorResults
from plainsql import embedded, migrate

__all__ = ["FULL", "QUICK", "WANTED_RECALL", "VectorExtent", "run_vectors"]

WANTED_RECALL = 0.95
_TOLERANCE = 0.01
"""The recall above the wanted one that a setting should have, as a run differs from the next."""

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
# All tables and their indexes stay in memory, and an index is built there.
_ROOM = {"shared_buffers": "1GB", "maintenance_work_mem": "512MB"}

_OURS = ("batch", "planned")
"""The ways to search that the others do not offer: the plan of theirs is always PostgreSQL's choice."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class VectorExtent:
    """The size of a run."""

    rows: int
    questions: int
    at_once: int
    load_rounds: int
    rounds: int
    filter_rounds: int
    settings: tuple[int, ...]
    quick: bool = False


FULL = VectorExtent(
    60_000, 300, 60, load_rounds=6, rounds=15, filter_rounds=5, settings=(40, 60, 80, 100, 120, 160, 200, 320)
)
QUICK = VectorExtent(
    12_000, 120, 60, load_rounds=3, rounds=4, filter_rounds=2, settings=(40, 80, 160), quick=True
)


def run_vectors(
    names: Sequence[str], peers: tuple[str, Path] | None, extent: VectorExtent, say: Say
) -> VectorResults:
    """Measure these stores. ``peers`` are the Python and the packages of all but plainsql."""
    began = time.monotonic()
    say("reading texts of installed packages, and embedding them")
    library = Path(sysconfig.get_paths()["stdlib"])
    data = make_data([library, *([peers[1]] if peers else [])], extent.rows, extent.questions)
    server_settings = SETTINGS if extent.quick else SETTINGS | _ROOM
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.start(scratch=True, settings=server_settings) as server,
        ExitStack() as stack,  # of the stores, which close their connections before the server stops
    ):
        data.save(Path(folder))
        server.create_database("vectors")
        migrate.apply(server.url("vectors"), _MIGRATIONS)
        commit, dirty = describe_checkout()
        results = VectorResults(
            machine=describe_machine(server.version, ["numpy"]),
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            quick=extent.quick,
            commit=commit,
            dirty=dirty,
            compiled=compiled(),
            rows=extent.rows,
            questions=extent.questions,
            dimensions=DIMENSIONS,
            digest=data.digest,
            limit=LIMIT,
            at_once=extent.at_once,
            index=f"HNSW, cosine, m = {M}, ef_construction = {EF_CONSTRUCTION}",
            server_settings=server_settings,
        )
        measurement = _Measurement(data, extent, results, server.pid or 0, say)
        place = {
            "folder": str(server.socket.parent),
            "port": int(server.socket.name.rpartition(".")[2]),
            "user": _user(server.url("vectors")),
            "database": "vectors",
        }
        for name in names:
            measurement.begin(stack, name, peers, Path(folder), place)
        measurement.load()
        measurement.index(server.url("vectors"))
        with measurement.apart():
            measurement.choose_setting()
        measurement.search()
        measurement.search_together()
        results.took = time.monotonic() - began
    return results


def _user(url: str) -> str:
    return str(conninfo.conninfo_to_dict(url)["user"])


@dataclass
class _Found:
    """The answers of one store's searches of one kind, added round by round."""

    searched: Searched
    times: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, answer: Any, alone: Sequence[str], recalls: Sequence[float]) -> None:
        """Add a slice; ``alone`` are the digests of the same searches one after another."""
        self.searched.rates.append(len(recalls) / answer["seconds"])
        self.times += answer["times"]
        self.recalls += recalls
        self.sizes += map(len, answer["answers"])
        pairs = zip(answer["digests"], alone, strict=True)
        self.searched.same += sum(rows == single for rows, single in pairs)

    def summed(self) -> Searched:
        one = self.searched
        one.of, one.recall = len(self.recalls), statistics.fmean(self.recalls)
        one.fewest_rows, one.mean_rows = min(self.sizes), statistics.fmean(self.sizes)
        if self.times:
            one.median_ms, one.p95_ms = _median_and_p95(self.times)
        return one


def _median_and_p95(times: Sequence[float]) -> tuple[float, float]:
    return statistics.median(times), sorted(times)[int(len(times) * 0.95)]


class _Measurement:
    def __init__(
        self, data: VectorData, extent: VectorExtent, results: VectorResults, postmaster: int, say: Say
    ) -> None:
        self._data = data
        self._extent = extent
        self._results = results
        self._postmaster = postmaster
        self._say = say
        self._stores: dict[str, StoreProcess] = {}
        self._tables: list[str] = []

    def begin(
        self, stack: ExitStack, name: str, peers: tuple[str, Path] | None, folder: Path, place: dict[str, Any]
    ) -> None:
        if name != "plainsql" and peers is None:
            self._results.missing[name] = "its packages are not installed: make bench-vectors installs them"
            return
        python = sys.executable if name == "plainsql" or peers is None else peers[0]
        store = stack.enter_context(StoreProcess.start(name, python, folder))
        try:
            begun = store.ask("begin", server=place)
        except StoreError as error:
            self._fail(name, error)
            return
        self._stores[name] = store
        self._tables.append(begun["table"])
        self._results.stores[name] = StoreResults(begun["title"], begun["version"])

    def _fail(self, name: str, error: StoreError) -> None:
        if name == "plainsql":
            raise error
        self._results.missing[name] = str(error)
        self._results.stores.pop(name, None)
        self._results.searched[:] = [one for one in self._results.searched if one.store != name]
        self._stores.pop(name, None)

    def _order(self, number: int) -> list[str]:
        """Return the stores, in every second round backwards."""
        return [*self._stores] if number % 2 == 0 else [*reversed(self._stores)]

    def _ask(self, name: str, do: str, **arguments: Any) -> Any:
        """Return the reply of a store. One that fails is out of the run, and its reply is None."""
        if name not in self._stores:
            return None
        try:
            return self._stores[name].ask(do, **arguments)
        except StoreError as error:
            self._fail(name, error)
            return None

    def load(self) -> None:
        self._say("loading")
        size = -(-self._extent.rows // self._extent.load_rounds)
        with self.apart():
            for number in range(self._extent.load_rounds):
                first, last = number * size, min((number + 1) * size, self._extent.rows)
                for name in self._order(number):
                    if added := self._ask(name, "add", first=first, last=last):
                        self._results.stores[name].load_rates.append((last - first) / added["seconds"])

    def index(self, url: str) -> None:
        self._say("building the indexes")
        for name in self._order(0):
            if built := self._ask(name, "index"):
                self._results.stores[name].index_seconds = built["seconds"]
        with connect(url, autocommit=True) as connection:
            for table in self._tables:
                connection.execute(f"vacuum (analyze) {table}".encode())

    def choose_setting(self) -> None:
        """Measure plainsql with each setting, and take the first that is good enough for all stores."""
        self._say("comparing values of ef_search")
        store, numbers = self._stores["plainsql"], [*range(self._extent.questions)]
        for ef in self._extent.settings:
            store.ask("ready", ef_search=ef)
            store.ask("search", numbers=numbers[: self._extent.at_once], way="one")
            found = store.ask("search", numbers=numbers, way="one")
            recall = statistics.fmean(self._recalls(numbers, None, found["answers"]))
            self._results.settings.append(Setting(ef, recall, *_median_and_p95(found["times"])))
        good = [one for one in self._results.settings if one.recall >= WANTED_RECALL + _TOLERANCE]
        best = min(good or self._results.settings, key=lambda one: one.ef_search if good else -one.recall)
        self._results.ef_search = best.ef_search
        for name in self._order(0):
            self._ask(name, "ready", ef_search=best.ef_search)

    def search(self) -> None:
        for filtered in (None, *FILTERS):
            self._say(f"searching {f'with a filter by {filtered}' if filtered else 'without a filter'}")
            with self.apart():
                self._rounds(["one", "planned"] if filtered else ["one"], filtered)

    def search_together(self) -> None:
        self._say("searching at once and in batches")
        self._rounds(["one", "at-once", "batch"], None)

    def _rounds(self, ways: Sequence[str], filtered: str | None) -> None:
        found: dict[tuple[str, str], _Found] = {}
        rounds = self._extent.filter_rounds if filtered else self._extent.rounds
        for number in range(-1, rounds):  # the first warms up
            numbers = self._numbers(max(number, 0))
            for name in self._order(number):
                alone: Any = None
                for way in ways:
                    if name != "plainsql" and way in _OURS:
                        continue
                    answer = self._ask(name, "search", numbers=numbers, way=way, filtered=filtered)
                    if answer is None or number < 0:
                        continue
                    label = "one-shared" if way == "one" and "batch" in ways else way
                    one = found.setdefault((name, label), _Found(Searched(name, label, filtered)))
                    alone = alone or answer["digests"]
                    one.add(answer, alone, self._recalls(numbers, filtered, answer["answers"]))
        self._results.searched += [one.summed() for (name, _), one in found.items() if name in self._stores]

    def _numbers(self, number: int) -> list[int]:
        """Return the questions of a round: all have their turn."""
        first, size = number * self._extent.at_once, self._extent.at_once
        return [(first + place) % self._extent.questions for place in range(size)]

    def _recalls(
        self, numbers: Sequence[int], filtered: str | None, answers: Sequence[Sequence[int]]
    ) -> list[float]:
        every = zip(numbers, answers, strict=True)
        return [self._data.recall(number, filtered, answer, LIMIT) for number, answer in every]

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Give the clients and the server processors of their own, where there are enough."""
        if not processors.are_enough():
            yield
            return
        with processors.divided(self._postmaster, [store.pid for store in self._stores.values()]):
            yield
