"""The results of a run: plain data, written as JSON and read by the report and the chart."""

from __future__ import annotations

import msgspec

__all__ = ["Machine", "Measured", "Results", "Series"]


class Series(msgspec.Struct):
    """One contender in one case."""

    contender: str
    """Its short name."""
    rates: list[float]
    """Units a second, one for each round; a round is the same stretch of time for all contenders."""
    units: int
    """In one slice."""
    memory_mb: list[float] = []
    """The growth of the process, one for each round; streams only."""
    cpu_us: list[float] = []
    """The processor's time that the client took for a unit, in microseconds: one for each round."""
    p50_ms: list[float] = []
    """Half of the calls took no longer: one for each round of latencies."""
    p99_ms: list[float] = []
    """The same of 99 in a hundred; empty if there were fewer than a hundred calls in a slice."""
    note: str = ""
    """A remark on its answers, such as their recall."""


class Measured(msgspec.Struct):
    """One case on one loop."""

    case: str
    title: str
    unit: str
    loop: str
    tasks: int
    took: float
    """Seconds, warm-up and checks included."""
    series: list[Series]
    skipped: dict[str, str]
    """Contender → why it did not take part."""
    failed: dict[str, str]
    """Contender → what went wrong: these make the run fail."""
    placement: str = ""
    """The processors of the clients and of the server: the same for all contenders."""

    def rates(self, contender: str) -> list[float] | None:
        return next((one.rates for one in self.series if one.contender == contender), None)


class Machine(msgspec.Struct):
    """The machine, without a name."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    postgresql: str
    load: float | None
    """The load average of the last minute when the run began: near zero on a quiet machine."""
    packages: dict[str, str]


class Results(msgspec.Struct):
    machine: Machine
    date: str
    quick: bool
    leads: int
    """Rows of the table that is read."""
    pool_size: int
    server_settings: dict[str, str]
    conditions: list[str]
    names: dict[str, str]
    """Contender → how it is called."""
    measured: list[Measured]
    missing: dict[str, str]
    """Contender → why it took part in nothing."""
    left_out: list[str]
    """Cases that were not begun, as the time was up."""
    generated_queries: list[str]
    """The time to import 150 of plainsql's generated queries, in words; empty if it was not measured."""
    took: float
    commit: str = ""
    """The checkout's; empty where it is none."""
    dirty: bool = False
    """True if files of the checkout differed from the commit."""
    compiled: dict[str, str] = {}
    """Contender of plainsql's → whether the compiled part ran there, in words."""
