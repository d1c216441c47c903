"""The contenders by short name. A contender's module is imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from benchmarks.contenders.base import Contender

__all__ = ["CLOSEST", "NAMES", "UnknownContenderError", "make"]

_HOMES: Final = {
    "plainsql": "plainsql_database:Plainsql",
    "plainsql-unjoined": "plainsql_database:PlainsqlUnjoined",
    "plainsql-not-compiled": "plainsql_database:PlainsqlNotCompiled",
    "plainsql-before": "plainsql_database:PlainsqlBefore",
    "plainsql-one-by-one": "plainsql_database:PlainsqlOneByOne",
    "plainsql-rows": "plainsql_database:PlainsqlRows",
    "asyncpg-held": "asyncpg_held:HeldConnections",
    "asyncpg-pool": "asyncpg_pool:PoolWithStructs",
    "asyncpg-no-reset": "asyncpg_pool:PoolWithoutReset",
    "asyncpg-records": "asyncpg_pool:PoolWithRecords",
    "any-loader": "any_loader:AnyLoader",
    "psycopg": "psycopg_pool:PsycopgPool",
    "psqlpy": "psqlpy_pool:PsqlpyPool",
    "aiosql": "aiosql_asyncpg:AiosqlAsyncpg",
    "sqlspec": "sqlspec_asyncpg:SqlspecAsyncpg",
    "sqlalchemy-core": "sqlalchemy_core:SqlalchemyCore",
    "sqlalchemy-orm": "sqlalchemy_orm:SqlalchemyOrm",
    "sqlc": "sqlc_style:SqlcStyle",
    "sqlc-asyncpg": "sqlc_asyncpg:SqlcAsyncpg",
    "piccolo": "piccolo_orm:PiccoloOrm",
    "tortoise": "tortoise_orm:TortoiseOrm",
    "adbc": "adbc_columns:AdbcColumns",
    "connectorx": "connectorx_columns:ConnectorxColumns",
}

_BEFORE: Final = "plainsql-before"

NAMES: Final = tuple(name for name in _HOMES if name != _BEFORE)
"""In the order in which a round goes through them, without `plainsql-before`, which needs a checkout."""

CLOSEST: Final = frozenset(
    name
    for name in _HOMES
    if name.startswith(("plainsql", "asyncpg", "any-", "psycopg", "sqlc-asyncpg", "adbc", "connectorx"))
)
"""The contenders of every case, among them those that are nearest to plainsql's speed.

The others take part in the cases that compare libraries, so that a run ends in time.
"""


class UnknownContenderError(ValueError):
    """There is no contender of this name."""


def make(names: Iterable[str]) -> tuple[dict[str, Contender], dict[str, str]]:
    """Make the contenders of these names; return them, and of those that cannot run, the reason."""
    made: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    for name in names:
        if name not in _HOMES:
            raise UnknownContenderError(f"no contender {name!r}; there are {', '.join(NAMES)}")
        module, _, attribute = _HOMES[name].partition(":")
        try:
            home = importlib.import_module(f"benchmarks.contenders.{module}")
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
            continue
        made[name] = getattr(home, attribute)()
    return made, missing
