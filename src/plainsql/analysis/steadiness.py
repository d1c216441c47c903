"""What keeps a result from being cached: it depends on more than on rows that plainsql sees written.

A cached read is stale once a row is written that it depends on. Time passes, chance changes and sessions
differ without that; foreign tables and the server's catalogues are written by others; and what a function
reads nobody sees. Of the server's stable functions those of the clock and of the session are refused: others
(formatting, time zones, text search) depend on settings that are the same on all of plainsql's connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.effects import Effects
from plainsql.analysis.facts import function_of
from plainsql.analysis.findings import Places
from plainsql.analysis.model import Finding
from plainsql.analysis.places import Place
from plainsql.analysis.reader import Node, read_tree
from plainsql.analysis.relations import Relation

__all__ = ["caching_findings"]

_CLOCK = frozenset(
    [
        *("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday"),
        *("pg_postmaster_start_time", "pg_conf_load_time"),
    ]
)
_SESSION = frozenset(
    [
        *("current_setting", "current_user", "session_user", "user", "getpgusername", "current_schema"),
        *("current_schemas", "current_database", "current_query", "pg_backend_pid", "inet_client_addr"),
        *("inet_client_port", "inet_server_addr", "inet_server_port", "pg_current_xact_id", "txid_current"),
        *("pg_current_xact_id_if_assigned", "txid_current_if_assigned", "pg_current_snapshot"),
        *("txid_current_snapshot", "pg_is_in_recovery", "row_security_active", "pg_my_temp_schema"),
    ]
)
# `SQLVALUEFUNCTION.op`: current_date to localtimestamp, then current_role to current_schema.
_LAST_CLOCK_VALUE = 8

_TIME_HINT = "give the time as a parameter, cut to what the answer needs: a day, an hour"
_SESSION_HINT = "give it as a parameter, or leave it to a policy of row-level security"
_CHANCE_HINT = "give it as a parameter, or do not cache the query"


def caching_findings(
    catalogue: Catalogue, places: Iterable[Place], effects: Effects, positions: Places
) -> Iterator[Finding]:
    """What to say of a statement where results are cached."""
    for place in places:
        for node in _own_nodes(place.scope.query.node):
            for because, hint in _unsteady(catalogue, node, in_policy=False):
                position = 0 if place.via else positions.of(node)
                yield Finding("cache-unsteady", because, position, hint)
    for relation in _relations(catalogue, effects):
        for because, hint in _policies(catalogue, relation):
            yield Finding("cache-unsteady", f"{because}, in a policy on {relation}", hint=hint)
        if what := _untracked(relation):
            yield Finding(
                "cache-untracked",
                f"{relation} is {what}: no write to it makes the result stale",
                hint="read a table that plainsql writes, or allow it: entries then live as long as they may",
            )
    for what in sorted(effects.opaque - effects.hidden_writes):
        yield Finding(
            "cache-untracked",
            f"what {what} reads is not known",
            hint="say it in a migration: comment on function … is 'plainsql: reads schema.table, …'"
            " (or reads nothing)",
        )
    if effects.hidden_writes:
        yield Finding(
            "hidden-writes",
            f"what {', '.join(sorted(effects.hidden_writes))} may write is not known:"
            " each call makes every cached result stale",
            hint="say it in a migration: comment on function … is 'plainsql: writes schema.table, …'"
            " (or writes nothing)"
            if all("(" in what or what.startswith("trigger") for what in effects.hidden_writes)
            else "write to the tables themselves, or allow it where it seldom runs",
        )


def _own_nodes(query: Node) -> Iterator[Node]:
    """All nodes of a query but those of the queries inside it."""
    pending = list(query.children())
    while pending:
        node = pending.pop()
        yield node
        pending.extend(child for child in node.children() if child.kind != "QUERY")


def _unsteady(catalogue: Catalogue, node: Node, *, in_policy: bool) -> Iterator[tuple[str, str]]:
    """Why a node's value is not the same for the same rows and parameters, and what to do."""
    if node.kind == "SQLVALUEFUNCTION":
        if node.number("op") <= _LAST_CLOCK_VALUE:
            yield "the result depends on the time", _TIME_HINT
        elif not in_policy:
            yield "the result depends on who asks", _SESSION_HINT
        return
    if node.kind == "TABLESAMPLECLAUSE" and node.node("repeatable") is None:
        yield "the result depends on chance (tablesample)", _CHANCE_HINT
        return
    oid = function_of(node, catalogue)
    function = catalogue.function(oid) if oid is not None else None
    if function is None:
        return
    alone = function.name == "age" and "," not in function.arguments and function.arguments != "xid"
    if function.is_builtin and (function.name in _CLOCK or alone):
        yield f"the result depends on the time: {function.name}()", _TIME_HINT
    elif function.is_builtin and function.name in _SESSION:
        if not in_policy:
            yield f"the result depends on the session: {function.name}()", _SESSION_HINT
    elif function.volatility == "volatile":
        yield f"the result differs from call to call: {function} is volatile", _CHANCE_HINT


def _policies(catalogue: Catalogue, relation: Relation) -> Iterator[tuple[str, str]]:
    """The same of row-level security, where who asks is part of what the result is cached under."""
    if not relation.row_security:
        return
    for policy in relation.policies:
        for text in policy.expressions:
            tree = read_tree(text)
            for node in tree.walk() if isinstance(tree, Node) else ():
                yield from _unsteady(catalogue, node, in_policy=True)


def _relations(catalogue: Catalogue, effects: Effects) -> list[Relation]:
    names = sorted({(use.schema, use.table) for use in effects.reads})
    found = (catalogue.relation_named(*name) for name in names)
    return [relation for relation in found if relation is not None]


def _untracked(relation: Relation) -> str:
    if relation.kind == "f":
        return "a foreign table"
    if relation.kind == "S":
        return "a sequence"
    if relation.is_system:
        return "the server's own"
    return "a temporary table" if relation.temporary else ""
