"""The fixtures of plainsql's own tests: those of its pytest plugin under short names, and faults."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from hypothesis import settings

import plainsql
import plainsql.sync
from plainsql import speed
from plainsql.database import state
from plainsql.database.execution import scheduler
from plainsql.database.execution.asyncpg_version import PIPELINES_RETURN_ROWS
from plainsql.database.execution.forms import Forms
from plainsql.database.execution.read_costs import ReadCosts
from plainsql.embedded import EmbeddedServer
from plainsql.speed.loaded import STEP
from plainsql.testing import Databases, DatabaseServer
from tests import shop
from tests.proxy import Proxy, open_proxy

# The same examples in every run: a red check is of the change, and not of the day's luck. To look further:
# make test ARGS="--hypothesis-profile=search"
settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=2_000, deadline=None)
settings.load_profile("same")

# A shell that starts us in the background has us ignore Ctrl-C, and what we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup has us ignore the end of the terminal, with the same effect.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> str:
    return f"compiled part: {speed.status()}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take a minute each: make soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the long soaks unless their own command runs them."""
    if config.getoption("--soak"):
        return
    for item in items:
        if "soak" in item.keywords and item.get_closest_marker("soak") is not None:
            item.add_marker(pytest.mark.skip(reason="a long soak: make soak runs it"))


def pytest_xdist_auto_num_workers() -> int:
    """Return three workers for two cores: a test waits for its servers about a third of its time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, cores * 3 // 2)


@pytest.fixture(scope="session")
def server(plainsql_server: DatabaseServer) -> EmbeddedServer:
    """The embedded scratch server of this run, shared with the other workers."""
    if not isinstance(plainsql_server, EmbeddedServer):
        pytest.fail("this test needs the embedded server: unset PLAINSQL_TEST_DATABASE_URL", pytrace=False)
    return plainsql_server


@pytest.fixture(scope="module")
def database_url(plainsql_databases: Databases) -> Generator[str]:
    """An empty database of this module, in which ``create extension vector`` works."""
    with plainsql_databases.clone() as url:
        yield url


@pytest.fixture
def fresh_database_url(plainsql_databases: Databases) -> Generator[str]:
    """An empty database of this test."""
    with plainsql_databases.clone() as url:
        yield url


@pytest.fixture(scope="module")
def shop_url(plainsql_databases: Databases) -> Generator[str]:
    """A database of this module that holds the shop of ``tests/shop.py``."""
    with plainsql_databases.clone(plainsql_databases.template(shop.create)) as url:
        yield url


@pytest.fixture
def fresh_shop_url(plainsql_databases: Databases) -> Generator[str]:
    """A database of this test that holds the shop."""
    with plainsql_databases.clone(plainsql_databases.template(shop.create)) as url:
        yield url


@pytest.fixture(scope="module")
def tenant_url(shop_url: str) -> str:
    """The module's shop for a role that row-level security restricts to one tenant's letters."""
    return shop.admit_tenants(shop_url)


@pytest.fixture
async def db(shop_url: str) -> AsyncGenerator[plainsql.Database]:
    """The module's shop, with the default options."""
    async with plainsql.connect(shop_url) as db:
        yield db


@pytest.fixture
async def one_connection_db(shop_url: str) -> AsyncGenerator[plainsql.Database]:
    """The module's shop through one connection: if a call does not release it, the next call fails."""
    async with plainsql.connect(shop_url, max_size=1, acquire_timeout=10) as db:
        yield db


@pytest.fixture
async def tenant_db(tenant_url: str) -> AsyncGenerator[plainsql.Database]:
    """The module's shop as the tenants' role: it reads no letters until a tenant is set."""
    async with plainsql.connect(tenant_url) as db:
        yield db


@pytest.fixture
def sync_db(shop_url: str) -> Generator[plainsql.sync.Database]:
    """The module's shop on the synchronous executor; a stream fetches 10 rows at a time."""
    with plainsql.sync.connect(shop_url, prefetch=10) as db:
        yield db


@pytest.fixture
def sync_tenant_db(tenant_url: str) -> Generator[plainsql.sync.Database]:
    """The same as ``tenant_db`` on the synchronous executor."""
    with plainsql.sync.connect(tenant_url) as db:
        yield db


@pytest.fixture(params=["joined", "pipelined", "shared"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have calls that wait run in one form, whatever it costs.

    Of these, ``shared`` is that of the compiled part. The others are without it.
    """
    if request.param == "shared":
        if STEP is None:
            pytest.skip("the compiled part is not in use")
        monkeypatch.setattr(ReadCosts, "record_alone", lambda self, elapsed_s, concurrent: None)
        monkeypatch.setattr(ReadCosts, "record_step", lambda self, elapsed_s: None)
        monkeypatch.setattr(ReadCosts, "shares", property(lambda self: self._can_share, lambda self, _: None))
        return "shared"
    monkeypatch.setattr(state, "STEP", None)
    if request.param == "pipelined" and not PIPELINES_RETURN_ROWS:
        pytest.skip("asyncpg 0.29 returns no rows from a pipeline")

    def choose(self: Forms, calls: int) -> Any:
        wanted = self.batched if request.param == "joined" else self.pipelined
        return wanted if wanted is not None and calls > 1 and not wanted.refused else None

    def compare(self: Forms) -> None:
        self.prefers_alone = self._refused

    monkeypatch.setattr(scheduler, "_MAX_STATEMENT_S", 60.0)  # the machine may be slow
    monkeypatch.setattr(Forms, "choose", choose)
    monkeypatch.setattr(Forms, "_compare", compare)
    return str(request.param)


@pytest.fixture(scope="session")
def redis_url(plainsql_redis_url: str) -> str:
    """A Redis of this worker. Tests share it: they use keys of their own."""
    return plainsql_redis_url


@pytest.fixture
def connection(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A psycopg connection to the module's database, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncGenerator[Proxy]:
    """A proxy in front of PostgreSQL: ``proxy.url(database)``."""
    async with open_proxy(server.socket) as proxy:
        yield proxy


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncGenerator[Proxy]:
    """A proxy in front of Redis: ``redis://127.0.0.1:{redis_proxy.port}/0``."""
    async with open_proxy(Path(unquote(urlsplit(redis_url).path)), postgres=False) as proxy:
        yield proxy
