"""The privileges that a project's queries need, each with the queries that need it.

Needs that cannot be known are listed by name: the body of a function in PL/pgSQL is not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from plainsql.analysis.catalog.trigger_bodies import read_body
from plainsql.analysis.describer import RefusedError
from plainsql.errors import ContractError, SqlFileError
from plainsql.grants.catalog_objects import CatalogObjects, FunctionObject, read_objects
from plainsql.grants.permission_trees import (
    PermissionTrees,
    StatementPermissions,
    TablePermission,
    functions_in,
    permission_trees,
)
from plainsql.statements.scanner import scan

__all__ = ["ColumnNeeds", "Needs", "UnknownNeed", "needed_privileges"]

_ALL: Final = ("select", "insert", "update", "delete", "truncate")
_VERBS: Final = {
    "insert": {"insert", "merge"},
    "update": {"update", "merge", "share"},
    "delete": {"delete", "merge"},
    "truncate": {"truncate"},
}
"""The words of a body without which it does not need a privilege; row locks need that of an update."""
_WHOLE_TABLE: Final = frozenset({"delete", "truncate"})
_WORD: Final = re.compile(r"[^\W\d][\w$]*")

Queries = dict[str, None]
"""The names of queries, each once, in order."""


@dataclass(slots=True)
class ColumnNeeds:
    """The need of one privilege on one relation."""

    columns: dict[int, Queries] = field(default_factory=dict)
    """The numbers of the columns, each with its queries."""
    whole: Queries = field(default_factory=dict)
    """The queries that need it on the whole table: they delete, truncate, or use whole rows."""
    any_column: Queries = field(default_factory=dict)
    """The queries that need it on any one column: they count rows, or lock them."""

    @property
    def queries(self) -> Queries:
        found = {**self.whole, **self.any_column}
        for each in self.columns.values():
            found |= each
        return found


@dataclass(frozen=True, slots=True, order=True)
class UnknownNeed:
    """A part of the queries whose privileges are not known."""

    what: str
    tables: tuple[str, ...] = ()
    """The relations that its text names, as SQL writes them; with none, it may use any."""
    privileges: tuple[str, ...] = _ALL
    """The privileges that it may need on them."""


@dataclass(slots=True)
class Needs:
    """The privileges that all queries need together."""

    objects: CatalogObjects
    tables: dict[int, dict[str, ColumnNeeds]] = field(default_factory=dict)
    """By relation and privilege."""
    sequences: dict[tuple[int, str], Queries] = field(default_factory=dict)
    schemas: dict[int, Queries] = field(default_factory=dict)
    functions: dict[int, Queries] = field(default_factory=dict)
    unknown: dict[UnknownNeed, Queries] = field(default_factory=dict)


def needed_privileges(connection: Any, texts: Mapping[str, Iterable[str]], *, role: str = "") -> Needs:
    """Return the privileges that queries need, derived on a scratch database. None is executed.

    ``texts`` has the texts of each query, with ``$n`` parameters. ``role`` is the application's role, whose
    policies count.

    Raises ``ContractError`` if the server refuses a query.
    """
    objects = read_objects(connection)
    needs = Needs(objects)
    with permission_trees(connection, objects, role) as trees:
        collector = _Collector(needs, trees)
        for name, variants in texts.items():
            for text in dict.fromkeys(variants):
                collector.statement(name, text)
    return needs


class _Collector:
    """The collection of needs, query by query."""

    def __init__(self, needs: Needs, trees: PermissionTrees) -> None:
        self._needs = needs
        self._objects = needs.objects
        self._trees = trees
        self._bodies: dict[int, StatementPermissions | None] = {}
        self._followed: set[tuple[str, int]] = set()

    def statement(self, query: str, sql: str) -> None:
        try:
            found = self._trees.of_statement(sql)
        except RefusedError as error:
            raise ContractError(
                f"{query} is refused: {error.message}", hint="mend what plainsql check reports"
            ) from None
        self._add(query, found, sql)
        self._follow(query, found.functions)

    def _add(self, query: str, found: StatementPermissions, text: str) -> None:
        """Add the needs of a statement, or of the body of a function; ``text`` has the names to look up."""
        for permission in found.tables:
            if not permission.checked_as:
                self._table(query, permission)
            self._evaluated(query, permission)
        for sequence in found.sequences:
            self._needs.sequences.setdefault(sequence, {})[query] = None
        for what in found.unknown:
            self._unknown(query, UnknownNeed(what))
        for oid in self._named_schemas(found, text) if text else ():
            self._needs.schemas.setdefault(oid, {})[query] = None

    def _evaluated(self, query: str, permission: TablePermission) -> None:
        """Add the needs of what a write evaluates with the rights of the role: checks, indexes, triggers.

        Those of a table below a view are evaluated so, too. Cascades of foreign keys run with the rights of a
        table's owner.
        """
        written = permission.privileges - {"select"}
        if not permission.columns.get("update"):
            written -= {"update"}  # a row lock
        for oid in self._objects.with_descendants(permission.relation) if written else ():
            if written & {"insert", "update"}:
                for _, text in self._objects.row_expressions.get(oid, ()):
                    self._follow(query, functions_in(text))
            for trigger, events in self._objects.triggers.get(oid, ()):
                function = self._objects.functions.get(trigger)
                if not events & written or function is None or function.as_owner:
                    continue
                body = read_body(function.source) if function.language == "plpgsql" else None
                if body is None:
                    self._opaque(query, function, f"trigger function {function.shown}")

    def _table(self, query: str, permission: TablePermission) -> None:
        if permission.relation not in self._objects.relations:
            return  # of the server's own, which every role may read
        by_privilege = self._needs.tables.setdefault(permission.relation, {})
        for privilege in permission.privileges:
            need = by_privilege.setdefault(privilege, ColumnNeeds())
            columns = permission.columns.get(privilege, frozenset())
            if privilege in _WHOLE_TABLE or 0 in columns:
                need.whole[query] = None
            elif not columns:
                need.any_column[query] = None
            for number in columns - {0}:
                need.columns.setdefault(number, {})[query] = None

    def _follow(self, query: str, functions: Iterable[int]) -> None:
        """Add the needs of calls of functions, and of what their bodies do with the rights of the caller."""
        pending = list(functions)
        while pending:
            oid = pending.pop()
            function = self._objects.functions.get(oid)
            if function is None or (query, oid) in self._followed:
                continue
            self._followed.add((query, oid))
            if not function.is_open:
                self._needs.functions.setdefault(oid, {})[query] = None
            if function.as_owner or function.of_extension:
                continue
            if function.language != "sql":
                self._opaque(query, function, f"function {function.shown}")
                continue
            if oid not in self._bodies:
                self._bodies[oid] = self._trees.of_function(oid)
            body = self._bodies[oid]
            if body is None:
                self._unknown(query, UnknownNeed(f"function {function.shown}"))
                continue
            # The names of a body in a string are looked up at each call; "begin atomic" has no string.
            self._add(query, body, function.source)
            pending += body.functions

    def _opaque(self, query: str, function: FunctionObject, what: str) -> None:
        """Add what is known of a body that is not parsed: the relations and functions that it may name."""
        words = _words(function.source)
        if words is None or function.language != "plpgsql":
            self._unknown(query, UnknownNeed(what, (), _ALL))
            return
        dynamic = "execute" in words
        # A statement that is made of strings may name anything in them.
        verbs = words if dynamic else _words(function.source, strings=False) or frozenset()
        for each in self._objects.functions.values():
            if not each.is_open and each.name in verbs and each.oid != function.oid:
                self._needs.functions.setdefault(each.oid, {})[query] = None
        path = set(_WORD.findall(function.search_path.lower()))
        tables = tuple(
            relation.shown
            for relation in self._objects.relations.values()
            if relation.kind != "S"
            and verbs.issuperset(_WORD.findall(relation.name.lower()))
            and (
                self._objects.schemas[relation.schema_oid].in_path
                or (verbs | path).issuperset(_WORD.findall(relation.schema.lower()))
            )
        )
        if dynamic:
            self._unknown(query, UnknownNeed(what, (), _ALL))
        elif tables:
            privileges = tuple(name for name in _ALL if name == "select" or verbs & _VERBS[name])
            self._unknown(query, UnknownNeed(what, tables, privileges))

    def _named_schemas(self, found: StatementPermissions, text: str) -> Iterator[int]:
        """Yield the schemas that a text needs to find its objects, without those that every role may use."""
        objects = self._objects
        closed = {oid: schema for oid, schema in objects.schemas.items() if not schema.is_open}
        words = _words(text) or frozenset() if closed else frozenset[str]()
        needed = {objects.relations[oid].schema_oid for oid in found.named_tables if oid in objects.relations}
        for oid in found.named_functions:
            function = objects.functions.get(oid)
            # An operator has no name among the words; a cast or a default may call what no word names.
            if function is not None and (function.name in words or not _WORD.search(function.name)):
                needed.add(function.schema_oid)
        for schema in closed.values():
            named = schema.name in words or schema.in_path
            if named and any(name in words for name in schema.types):
                needed.add(schema.oid)
            # A string may be the name of a sequence or a table: nextval('shop.items_id_seq').
            if re.search(rf"'[^']*\b{re.escape(schema.name)}\.", text):
                needed.add(schema.oid)
        yield from needed & closed.keys()

    def _unknown(self, query: str, need: UnknownNeed) -> None:
        self._needs.unknown.setdefault(need, {})[query] = None


def _words(source: str, *, strings: bool = True) -> frozenset[str] | None:
    """Return the words of a text in lower case, with those in strings; ``None`` if it cannot be read."""
    try:
        tokens = [token for token in scan(source) if not token.kind.endswith("comment")]
    except SqlFileError:
        return None
    text = " ".join(source[t.start : t.end] for t in tokens if strings or t.kind != "string")
    return frozenset(_WORD.findall(text.lower()))
