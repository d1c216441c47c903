"""The cacheability of a result: it may depend only on rows whose writes plainsql sees.

A cached read is stale once a row that it depends on is written. But the time, random values and the session
change without a write. Foreign tables and the server's catalogs have external writes. The reads of a
function are hidden. The server's stable functions of the clock and of the session are refused. Its other
stable functions (formatting, time zones, text search) depend on settings that are the same on all of
plainsql's connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects, Evaluated
from plainsql.analysis.findings.examined import TextPositions
from plainsql.analysis.model import Finding

__all__ = ["caching_findings"]

_CLOCK_FUNCTIONS = frozenset(
    [
        *("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday"),
        *("pg_postmaster_start_time", "pg_conf_load_time"),
        # They depend on whether it is summer time.
        *(
            "pg_timezone_names",
            "pg_timezone_abbrevs",
            "pg_timezone_abbrevs_abbrevs",
            "pg_timezone_abbrevs_zone",
        ),
    ]
)
# Settings, the role and the search path are not here: they are part of the key of a cached result.
_SESSION_FUNCTIONS = frozenset(
    [
        *("current_query", "pg_backend_pid", "inet_client_addr", "inet_client_port", "inet_server_addr"),
        *("inet_server_port", "pg_current_xact_id", "txid_current", "pg_current_xact_id_if_assigned"),
        *("txid_current_if_assigned", "pg_current_snapshot", "txid_current_snapshot", "pg_is_in_recovery"),
        *(
            "pg_my_temp_schema",
            "pg_listening_channels",
            "pg_cursor",
            "pg_prepared_statement",
            "pg_export_snapshot",
        ),
    ]
)
# `SQLVALUEFUNCTION.op`: current_date to localtimestamp, then current_role to current_schema.
_LAST_CLOCK_VALUE = 8

# The texts that date and time types accept for a moment that moves.
_RELATIVE_TIME = re.compile(r"[^']{0,40}'\s*(now|today|tomorrow|yesterday)\b", re.IGNORECASE)

_TIME_HINT = "give the time as a parameter, cut to what the answer needs: a day, an hour"
_SESSION_HINT = "give it as a parameter, or do not cache the query"
_RANDOM_HINT = "give it as a parameter, or do not cache the query"


def caching_findings(catalog: Catalog, effects: Effects, positions: TextPositions) -> Iterator[Finding]:
    """Yield the findings that count if results are cached."""
    # Expressions that a write evaluates, defaults and checks, are no part of a result that could be stored.
    for each in () if effects.writes else effects.evaluated:
        for because, hint in _reasons(each, positions):
            position = positions.of(each.node) if each.node is not None and not each.via else 0
            inside = f", in {each.via}" if each.via and not each.via.startswith("view ") else ""
            yield Finding("cache-unsteady", f"{because}{inside}", position, hint)
    for relation in _relations(catalog, effects):
        if what := _untracked(relation):
            yield Finding(
                "cache-untracked",
                f"{relation} is {what}: no write to it makes the result stale",
                hint="read a table that plainsql writes, or allow it: entries then live as long as they may",
            )
    for what in sorted(effects.opaque - effects.hidden_writes):
        yield Finding(
            "cache-untracked",
            f"the reads of {what} are not known",
            hint="annotate it in a migration: comment on function … is 'plainsql: reads schema.table, …'"
            " (or reads nothing)",
        )
    if effects.hidden_writes:
        yield Finding(
            "hidden-writes",
            f"the writes of {', '.join(sorted(effects.hidden_writes))} are not known:"
            " each call makes every cached result stale",
            hint="annotate it in a migration: comment on function … is 'plainsql: writes schema.table, …'"
            " (or writes nothing)"
            if all("(" in what or what.startswith("trigger") for what in effects.hidden_writes)
            else "write to the tables themselves, or allow it if it seldom runs",
        )


def _reasons(evaluated: Evaluated, positions: TextPositions) -> Iterator[tuple[str, str]]:
    """Yield why a value differs for the same rows, parameters and settings, each with a hint."""
    node, function = evaluated.node, evaluated.function
    if function is None:
        if node is None or (node.kind == "SQLVALUEFUNCTION" and node.number("op") <= _LAST_CLOCK_VALUE):
            yield "the result depends on the time", _TIME_HINT
        elif node.kind == "CONST":
            if _RELATIVE_TIME.match(positions.text_from(node)):
                yield "the result depends on the time at which the statement was prepared", _TIME_HINT
        elif node.kind == "TABLESAMPLECLAUSE" and node.node("repeatable") is None:
            yield "the result depends on chance (tablesample)", _RANDOM_HINT
        return
    alone = function.name == "age" and "," not in function.arguments
    if function.is_builtin and (function.name in _CLOCK_FUNCTIONS or alone):
        yield f"the result depends on the time: {function.name}()", _TIME_HINT
    elif function.is_builtin and (function.name.startswith("pg_stat_get_") or function.name == "mxid_age"):
        yield f"the result depends on the server's counters: {function.name}()", _SESSION_HINT
    elif function.is_builtin and function.name in _SESSION_FUNCTIONS:
        yield f"the result depends on the session: {function.name}()", _SESSION_HINT
    elif function.volatility == "volatile" and node is not None and node.kind != "TABLESAMPLECLAUSE":
        yield f"the result differs from call to call: {function} is volatile", _RANDOM_HINT


def _relations(catalog: Catalog, effects: Effects) -> list[Relation]:
    names = sorted({(use.schema, use.table) for use in effects.reads})
    found = (catalog.relation_named(*name) for name in names)
    return [relation for relation in found if relation is not None]


def _untracked(relation: Relation) -> str:
    if relation.kind == "f":
        return "a foreign table"
    if relation.kind == "S":
        return "a sequence"
    if relation.is_system:
        return "the server's own"
    return "a temporary table" if relation.temporary else ""
