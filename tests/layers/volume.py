"""The reads, sorts and scans of every operation of a layer on tables of any size, from executed plans.

A layer gives the SQL that fills its tables and the arguments of its queries. Each query is then planned and
run, in every order and with each of its optional lines, as ``explain (analyze)`` in a transaction that is
rolled back. Faults of a plan are:

- a sequential scan over a large table;
- a sort of more rows than a page has, a top-N heapsort of as many rows as there are among them;
- a scan that looks at many more rows than a page has, be it through an index.

An operation that has to do more, such as a count of all rows, has an exemption with a reason.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import psycopg
from asyncpg.exceptions import PostgresError

import plainsql
from plainsql.layers.files import sql_folder
from plainsql.query import Query
from plainsql.types import UNSET

__all__ = ["Allowance", "Fault", "Layer", "build", "faults", "faults_of_plan", "operations"]

LARGE = 5_000
"""The least number of rows of a large table."""
PAGE = 200
"""The number of rows of the longest page."""
READ = 2_000
"""The number of rows that one node of a plan may read."""


@dataclass(frozen=True)
class Allowance:
    """An exemption of a query, with its reason."""

    why: str
    reads: float = READ
    sorts: float = PAGE
    scans: bool = False
    """True if it may scan a large table, as a count of all rows does."""


@dataclass(frozen=True)
class Layer:
    """The test data of a layer. Queries are named without the layer: ``messages.history``."""

    name: str
    fill: str
    """SQL that fills the tables with ``{messages}`` messages, run as the superuser with triggers off."""
    values: Callable[[Any], Awaitable[Mapping[str, Any]]]
    """Called with an asyncpg connection: returns an argument for each name of a parameter of any query."""
    messages: int = 100_000
    """The number of messages in an ordinary run: so many that the tables are large."""
    prepare: str = ""
    """SQL that is run on the connection before the queries, to set their role and tenant."""
    only: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Arguments of single queries, which replace those for all queries."""
    also: Mapping[str, tuple[frozenset[str], ...]] = field(default_factory=dict)
    """Optional parameters that are also given together, in addition to each on its own."""
    allowed: Mapping[str, Allowance] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A fault in the plan of one query."""

    query: str
    file: str
    given: str
    what: str
    plan: str

    def __str__(self) -> str:
        return f"{self.query} ({self.file}){self.given}: {self.what}\n{self.plan}"


def build(url: str, layer: Layer, messages: int) -> None:
    """Fill a database that has the layer's tables, and analyze them."""
    with psycopg.connect(url, autocommit=True) as connection:
        # No triggers, no foreign keys: the rows already satisfy what these would check.
        connection.execute("set session_replication_role = replica")
        connection.execute("set synchronous_commit = off")
        for statement in layer.fill.format(messages=messages).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
        connection.execute("vacuum (analyze)")


def operations(layer: str) -> dict[str, Query[..., Any, Any]]:
    """Every query object of a layer, by its name without the layer."""
    found: dict[str, Query[..., Any, Any]] = {}
    for folder in sorted(path for path in sql_folder(layer).iterdir() if path.is_dir()):
        module = importlib.import_module(f"plainsql.layers.{layer}.{folder.name}")
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, Query):
                found[f"{folder.name}.{name}"] = thing
    return found


async def faults(db: plainsql.Database, layer: Layer, *only: str) -> list[Fault]:
    """Run every operation of a layer, or the named ones, and return their faults."""
    found: list[Fault] = []
    async with db.acquire() as acquired:
        connection: Any = acquired
        large = await _large(connection, layer.name)
        # As on a server with SSDs. With the default, made for spinning disks, the planner now and then sorts
        # some hundred rows of a bitmap scan, rather than read a page of them in the index's order.
        await connection.execute("set random_page_cost = 1.1")
        values = await layer.values(connection)
        if layer.prepare:
            await connection.execute(layer.prepare)
        known = operations(layer.name)
        found += [
            Fault(unknown, "", "", "there is no such query: correct what is said of the layer", "")
            for unknown in sorted({*layer.only, *layer.also, *layer.allowed} - set(known))
        ]
        for name, query in known.items():
            if only and name not in only:
                continue
            given = {**values, **layer.only.get(name, {})}
            allowed = layer.allowed.get(name, Allowance(""))
            missing = [
                each for each in query.parameters if each not in given and not _has_default(query, each)
            ]
            missing = [each for each in missing if each not in query.compiled.texts._compile().choices]
            if missing:
                what = f"no argument is prepared for {', '.join(missing)}"
                found.append(Fault(name, query.file, "", what, ""))
                continue
            for arguments in _calls(query, given, layer.also.get(name, ())):
                plan = await _run(connection, query, arguments)
                if isinstance(plan, str):
                    found.append(Fault(name, query.file, _shown(query, arguments), plan, ""))
                    continue
                shown = "\n".join(_lines(plan))
                found += [
                    Fault(name, query.file, _shown(query, arguments), what, shown)
                    for what in faults_of_plan(plan, large, allowed)
                ]
    return found


def faults_of_plan(plan: Mapping[str, Any], large: Mapping[str, int], allowed: Allowance) -> Iterator[str]:
    """Yield the faults of a plan of ``explain (analyze, format json)``.

    ``large`` are the rows of the large tables, by their names.
    """
    for node in _nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name", "")
        if kind == "Seq Scan" and table in large and not allowed.scans:
            yield f"a sequential scan over {table}, which has {large[table]:,} rows"
        elif table in large and not allowed.scans and (looked := _looked_at(node)) > allowed.reads:
            yield f"a scan that looks at {looked:,.0f} rows of {table}, {allowed.reads:,} are allowed"
        if kind in ("Sort", "Incremental Sort"):
            rows = max(_rows(child) for child in node["Plans"])
            if rows > allowed.sorts:
                keys = ", ".join(_short(key) for key in node.get("Sort Key", []))
                yield f"a sort of {rows:,.0f} rows by {keys}, {allowed.sorts:,} are allowed"


def _rows(node: Mapping[str, Any]) -> float:
    """Return the number of rows of a node; the planner's estimate if it did not run."""
    loops = node.get("Actual Loops", 0)
    return float(node["Actual Rows"] * loops if loops else node["Plan Rows"])


def _looked_at(node: Mapping[str, Any]) -> float:
    thrown = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return _rows(node) + float(sum(node.get(key, 0) for key in thrown) * node.get("Actual Loops", 0))


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _lines(node: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    where = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name") or ""
    shown = ("Sort Key", "Index Cond", "Filter", "Rows Removed by Filter", "Sort Method")
    parts = [node["Node Type"], where, f"rows={_rows(node):,.0f}"]
    parts += [f"{key.lower()}: {_short(str(node[key]))}" for key in shown if key in node]
    yield "  " * (depth + 1) + "  ".join(str(part) for part in parts if part)
    for child in node.get("Plans", []):
        yield from _lines(child, depth + 1)


def _short(text: str) -> str:
    """An embedding has 1,536 numbers."""
    return text if len(text) <= 200 else f"{text[:150]} … {text[-45:]}"


async def _large(connection: Any, schema: str) -> dict[str, int]:
    rows = await connection.fetch(
        """select c.relname, c.reltuples::bigint from pg_class as c
           where c.relnamespace = $1::regnamespace and c.relkind = 'r' and c.reltuples >= $2""",
        schema,
        LARGE,
    )
    return {row[0]: row[1] for row in rows}


def _has_default(query: Query[..., Any, Any], name: str) -> bool:
    """Return true if a parameter has a default and is on no optional line."""
    parameter = inspect.signature(query._bind).parameters.get(name)
    return parameter is not None and parameter.default not in (inspect.Parameter.empty, UNSET)


def _calls(
    query: Query[..., Any, Any], given: Mapping[str, Any], also: tuple[frozenset[str], ...]
) -> Iterator[dict[str, Any]]:
    """Yield the calls to test: no optional line, each on its own, some together; all in every order."""
    compiled = query.compiled.texts._compile()
    always = {
        name: given[name] for name in compiled.parameters if name not in compiled.optional and name in given
    }
    groups = compiled._groups()
    for choice in product(*compiled.choices.values()):
        choices = dict(zip(compiled.choices, choice, strict=True))
        texts = [variant.given for variant in compiled.variants() if variant.choices == choices]
        # Parameters on lines of a choice are always given.
        least = min(texts, key=len)
        for names in dict.fromkeys([least, *(least | group for group in groups), *(least | a for a in also)]):
            yield {**always, **{name: given[name] for name in sorted(names)}, **choices}


async def _run(connection: Any, query: Query[..., Any, Any], arguments: dict[str, Any]) -> Any:
    """Run a call and return its plan, or the server's error."""
    plan, args = query.compiled.text(query.compiled.bind((), arguments))
    transaction = connection.transaction()
    await transaction.start()
    try:
        shown = await connection.fetchval(
            f"explain (analyze, timing off, buffers off, format json) {plan.sql}", *args
        )
    except PostgresError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await transaction.rollback()
    return json.loads(shown)[0]["Plan"]


def _shown(query: Query[..., Any, Any], arguments: Mapping[str, Any]) -> str:
    compiled = query.compiled.texts._compile()
    named = [name for name in arguments if name in compiled.optional]
    named += [f"{name}={arguments[name]}" for name in compiled.choices]
    return f" with {', '.join(named)}" if named else ""
