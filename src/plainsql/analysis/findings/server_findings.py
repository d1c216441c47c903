"""Functions, columns of the catalog and grammar that the oldest server in production does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.catalog.server_versions import first_major
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Command, EntryKind, Scope
from plainsql.statements.scanner import scan

__all__ = ["examine_versions", "grammar_of", "major_of_call"]

_JSON_CONSTRUCTORS: Final = {
    1: ("json_object", 16),
    2: ("json_array", 16),
    3: ("json_objectagg", 16),
    4: ("json_arrayagg", 16),
    5: ("json", 17),
    6: ("json_scalar", 17),
    7: ("json_serialize", 17),
}
"""By ``JsonConstructorType``, the constructor and the first major that has it."""

_JSON_QUERIES: Final = ("json_exists", "json_query", "json_value")
"""By ``JsonExprOp``, the query function; the fourth is part of a ``json_table``."""

_XML_SERIALIZE: Final = 7
_JSON_TABLE: Final = 1
_NOT_MATCHED_BY_SOURCE: Final = 1

_NEW_LITERAL: Final = re.compile(r"0[xob]|\d_\d", re.IGNORECASE)
"""An integer in hexadecimal, octal or binary digits, or with underscores, which 16 reads first."""

_INSTEAD: Final = {
    "any_value": "write min(x), or (array_agg(x))[1] for a type without an order",
    "json_exists": "write x @? path",
    "json_value": "write jsonb_path_query_first(x, path) #>> '{}'",
    "json_query": "write jsonb_path_query_first(x, path)",
    "json_table": "write jsonb_to_recordset, or jsonb_path_query in from",
    "json_object": "write json_build_object",
    "json_array": "write json_build_array",
    "json_objectagg": "write json_object_agg",
    "json_arrayagg": "write json_agg",
    "merge": "write insert … on conflict, or update … from",
    "uuidv4": "write gen_random_uuid()",
    "uuidv7": "write gen_random_uuid(), or generate the value in the program",
    "old and new in returning": "select the old values in a with item",
    "a subquery in from without an alias": "give it an alias",
    "this form of an integer": "write its decimal digits alone",
}
"""An equivalent for older servers, by what they lack."""


def examine_versions(examined: Examined, oldest: int) -> Iterator[Finding]:
    """Yield a finding for each thing in a statement that a server of the major ``oldest`` does not have."""
    seen: set[tuple[int, str]] = set()
    for what, major, position in _needs(examined):
        if major > oldest and (position, what) not in seen:
            seen.add((position, what))
            yield Finding(
                "server-version",
                f"{what} needs PostgreSQL {major}, the oldest server is {oldest}",
                position,
                _INSTEAD.get(what.split("(")[0], f"write it for PostgreSQL {oldest}"),
            )


def _needs(examined: Examined) -> Iterator[tuple[str, int, int]]:
    """Yield what a statement needs, the first major that has it, and the position."""
    catalog, places = examined.prover.catalog, examined.places
    root = examined.scope.query.node
    inside = {id(func) for node in root.walk() if (func := node.node("func")) is not None}
    for node in root.walk():
        if (found := grammar_of(node)) is not None:
            words = found[0].split()[:1] if node.kind == "QUERY" else []
            yield *found, places.of_words(*words) if words else places.of(node)
        elif id(node) not in inside and (oid := called_function(node, catalog)) is not None:
            function = catalog.function(oid)
            if function is not None:
                major = major_of_call(function, len(node.nodes("args")))
                name = function.name if node.kind in ("FUNCEXPR", "AGGREF", "WINDOWFUNC") else "an operator"
                yield f"{name}({function.arguments})", major, places.of(node)
    for scope in examined.prover.scopes.all(examined.scope):
        each = replace(examined, scope=scope)
        yield from _columns(catalog, each)
    for token in scan(places.text, path=""):
        if token.kind == "number" and _NEW_LITERAL.match(places.text[token.start : token.end]):
            yield "this form of an integer", 16, token.start + 1


def _columns(catalog: Catalog, examined: Examined) -> Iterator[tuple[str, int, int]]:
    for node in examined.scope.query.expressions():
        home = examined.scope.up(node.number("varlevelsup")) if node.kind == "VAR" else None
        name = _catalog_column(catalog, home, node) if home is not None else ""
        if name:
            yield name, first_major("column", name), examined.places.of(node)


def _catalog_column(catalog: Catalog, home: Scope, variable: Node) -> str:
    """Return ``relation.column`` for a column of one of the server's own relations; empty for any other."""
    entry = home.query.entry(variable.number("varno"))
    if entry is None or entry.kind is not EntryKind.RELATION:
        return ""
    relation = catalog.relation(entry.relation)
    column = relation.columns.get(variable.number("varattno")) if relation is not None else None
    if relation is None or column is None or relation.schema != "pg_catalog":
        return ""
    return f"{relation.name}.{column.name}"


def major_of_call(function: Function, arguments: int) -> int:
    """Return the first major that has a function of the server, called with this many arguments."""
    if not function.is_builtin:
        return 0
    types = function.arguments.split(", ") if function.arguments else []
    # A newer server may have given it more arguments, with defaults.
    return first_major(
        "function",
        f"{function.name}({function.arguments})",
        f"{function.name}({', '.join(types[:arguments])})",
    )


def grammar_of(node: Node) -> tuple[str, int] | None:
    """Return what a node is if not every major has it, and the first that does."""
    match node.kind:
        case "QUERY":
            return _command(node)
        case "VAR" if node.number("varreturningtype"):
            return "old and new in returning", 18
        case "MERGESUPPORTFUNC":
            return "merge_action()", 17
        case "JSONISPREDICATE":
            return "is json", 16
        case "JSONCONSTRUCTOREXPR":
            return _JSON_CONSTRUCTORS.get(node.number("type"))
        case "JSONEXPR" if node.number("op") < len(_JSON_QUERIES):
            return _JSON_QUERIES[node.number("op")], 17
        case "TABLEFUNC" if node.number("functype") == _JSON_TABLE:
            return "json_table", 17
        case "XMLEXPR" if node.number("op") == _XML_SERIALIZE and node.flag("indent"):
            return "xmlserialize with indent", 16
        case "RANGETBLENTRY" if node.number("rtekind") == EntryKind.SUBQUERY and _is_unnamed(node):
            return "a subquery in from without an alias", 16
        case _:
            return None


def _command(query: Node) -> tuple[str, int] | None:
    if query.number("commandType") != Command.MERGE:
        return None
    actions = query.nodes("mergeActionList")
    if query.nodes("returningList"):
        return "merge with returning", 17
    if any(action.number("matchKind", -1) == _NOT_MATCHED_BY_SOURCE for action in actions):
        return "merge with not matched by source", 17
    return "merge", 15


def _is_unnamed(entry: Node) -> bool:
    names = entry.node("eref")
    return entry.node("alias") is None and names is not None and names.text("aliasname") == "unnamed_subquery"
