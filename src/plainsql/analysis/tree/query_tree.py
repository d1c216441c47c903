"""The analysed tree as queries, range tables and joins, with the query that each variable belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, wraps
from typing import Any, TypeVar

from plainsql.analysis.nodes import Node

__all__ = [
    "Command",
    "EntryKind",
    "Join",
    "JoinType",
    "QueryTree",
    "RangeTableEntry",
    "Scope",
    "SetOperation",
    "Sublink",
    "expression_children",
    "once_per_query",
    "ungrouped",
]

_Owner = TypeVar("_Owner")
_Answer = TypeVar("_Answer")


class Command(IntEnum):
    """``CmdType``."""

    SELECT = 1
    UPDATE = 2
    INSERT = 3
    DELETE = 4
    MERGE = 5
    UTILITY = 6


class EntryKind(IntEnum):
    """``RTEKind``, the kind of a range table entry; ``OTHER`` for a kind that is not known here."""

    OTHER = -1
    RELATION = 0
    SUBQUERY = 1
    JOIN = 2
    FUNCTION = 3
    TABLEFUNC = 4
    VALUES = 5
    CTE = 6
    RESULT = 8
    GROUP = 9


class JoinType(IntEnum):
    """``JoinType``, as far as the parser makes them."""

    INNER = 0
    LEFT = 1
    FULL = 2
    RIGHT = 3


class SetOperation(IntEnum):
    """``SetOperation`` of a ``SetOperationStmt``."""

    UNION = 1
    INTERSECT = 2
    EXCEPT = 3


class Sublink(IntEnum):
    """``SubLinkType``."""

    EXISTS = 0
    ALL = 1
    ANY = 2
    ROWCOMPARE = 3
    EXPR = 4
    MULTIEXPR = 5
    ARRAY = 6


_KINDS = {kind.value: kind for kind in EntryKind}


class RangeTableEntry:
    """A range table entry."""

    def __init__(self, index: int, node: Node) -> None:
        self.index = index
        """1-based, as variables refer to it."""
        self.node = node
        self.kind = _KINDS.get(node.number("rtekind", -1), EntryKind.OTHER)
        self.relation = node.number("relid") if self.kind is EntryKind.RELATION else 0

    @cached_property
    def subquery(self) -> QueryTree | None:
        """Return the query inside a subquery entry."""
        node = self.node.node("subquery")
        return QueryTree(node) if node is not None else None

    @cached_property
    def alias(self) -> str:
        """Return the name by which the statement refers to it."""
        names = self.node.node("eref")
        return (names.text("aliasname") if names else None) or ""

    @property
    def with_children(self) -> bool:
        """Return whether tables that inherit from it are read too."""
        return self.node.flag("inh")


@dataclass(slots=True)
class Join:
    """An explicit join, with the relations on either side."""

    index: int
    type: JoinType | None
    """``None`` for a type that is not known here."""
    left: Node
    right: Node
    left_members: frozenset[int]
    right_members: frozenset[int]
    condition: Node | None

    def nullable_sides(self) -> list[tuple[str, frozenset[int]]]:
        """Return the sides that the join can fill with nulls, with their members."""
        sides: list[tuple[str, frozenset[int]]] = []
        if self.type is not JoinType.INNER and self.type is not JoinType.LEFT:
            sides.append(("left", self.left_members))
        if self.type is not JoinType.INNER and self.type is not JoinType.RIGHT:
            sides.append(("right", self.right_members))
        return sides


class QueryTree:
    """A ``Query`` node."""

    _serial = itertools.count(1)

    def __init__(self, node: Node) -> None:
        self.node = node
        self.id = next(QueryTree._serial)
        """The number that distinguishes the variables of one query from those of another."""
        self.answers: dict[str, tuple[Any, Any]] = {}
        """The results that ``once_per_query`` remembers, by function."""

    @cached_property
    def command(self) -> int:
        """Return a ``Command``, or another number."""
        return self.node.number("commandType")

    @cached_property
    def entries(self) -> list[RangeTableEntry]:
        """Return the range table."""
        return [RangeTableEntry(i, node) for i, node in enumerate(self.node.nodes("rtable"), 1)]

    def entry(self, index: int) -> RangeTableEntry | None:
        """Return the range table entry with this 1-based index."""
        return self.entries[index - 1] if 0 < index <= len(self.entries) else None

    @cached_property
    def target_list(self) -> list[Node]:
        """Return the target list, junk included."""
        return self.node.nodes("targetList")

    @cached_property
    def outputs(self) -> list[Node]:
        """Return the target entries whose values the query returns, in order."""
        returning = self.command in (Command.INSERT, Command.UPDATE, Command.DELETE, Command.MERGE)
        entries = self.node.nodes("returningList") if returning else self.target_list
        return [entry for entry in entries if not entry.flag("resjunk")]

    @cached_property
    def result_relation(self) -> int:
        """Return the index of the relation that is written, or 0."""
        return self.node.number("resultRelation")

    @cached_property
    def ctes(self) -> dict[str, Node]:
        """Return the query's own ``with`` list by name."""
        return {cte.text("ctename") or "": cte for cte in self.node.nodes("cteList")}

    @cached_property
    def _cte_queries(self) -> dict[str, QueryTree]:
        return {
            name: QueryTree(node)
            for name, cte in self.ctes.items()
            if (node := cte.node("ctequery")) is not None
        }

    def cte_query(self, name: str) -> QueryTree | None:
        """Return the query of one of its ``with`` items."""
        return self._cte_queries.get(name)

    @cached_property
    def from_items(self) -> list[Node]:
        """Return the top level of ``from``: references and joins."""
        tree = self.node.node("jointree")
        return tree.nodes("fromlist") if tree else []

    @cached_property
    def where(self) -> Node | None:
        """Return the ``where`` clause."""
        tree = self.node.node("jointree")
        return tree.node("quals") if tree else None

    @cached_property
    def joins(self) -> dict[int, Join]:
        """Return all explicit joins by their range table index."""
        found: dict[int, Join] = {}

        def visit(node: Node) -> frozenset[int]:
            if node.kind == "RANGETBLREF":
                return frozenset({node.number("rtindex")})
            if node.kind != "JOINEXPR":
                return frozenset().union(*(visit(child) for child in node.nodes("fromlist")))
            left, right = node.node("larg"), node.node("rarg")
            if left is None or right is None:
                return frozenset()
            left_members, right_members = visit(left), visit(right)
            number, index = node.number("jointype", -1), node.number("rtindex")
            type_ = JoinType(number) if number in tuple(JoinType) else None
            found[index] = Join(index, type_, left, right, left_members, right_members, node.node("quals"))
            return left_members | right_members | {index}

        for item in self.from_items:
            visit(item)
        return found

    @cached_property
    def members(self) -> frozenset[int]:
        """Return the indexes of all entries in ``from`` except joins."""
        return frozenset(
            node.number("rtindex")
            for item in self.from_items
            for node in item.walk()
            if node.kind == "RANGETBLREF"
        )

    @property
    def is_grouped(self) -> bool:
        """Return whether there is a ``group by``."""
        return bool(self.node.nodes("groupClause") or self.node.nodes("groupingSets"))

    @property
    def is_aggregated(self) -> bool:
        """Return whether rows are combined: by ``group by``, an aggregate or ``having``."""
        return self.is_grouped or self.node.flag("hasAggs") or self.node.node("havingQual") is not None

    def sort_group_expression(self, reference: int) -> Node | None:
        """Return the target entry that a ``SORTGROUPCLAUSE`` refers to."""
        if not reference:
            return None
        for entry in self.target_list:
            if entry.number("ressortgroupref") == reference:
                return entry
        return None

    def expressions(self) -> Iterator[Node]:
        """Yield every node of this query except those of the queries inside it."""
        for child in self.node.children():
            if child.kind in ("COMMONTABLEEXPR", "QUERY"):
                continue
            yield from expression_children(child)

    def set_operation(self) -> Node | None:
        """Return the tree of ``union``, ``intersect`` and ``except``, if this query is one."""
        return self.node.node("setOperations")

    def returned_sets(self) -> int:
        """Return the number of set-returning calls in the target list and in ``group by``."""
        if not self.node.flag("hasTargetSRFs"):
            return 0
        # From PostgreSQL 18 on a grouped expression has an entry of its own.
        groups = (entry.node for entry in self.entries if entry.kind is EntryKind.GROUP)
        return sum(
            node.flag("funcretset") or node.flag("opretset")
            for root in (*self.target_list, *groups)
            for node in expression_children(root)
        )


@dataclass(slots=True)
class Scope:
    """A query and the queries around it, from which ``varlevelsup`` counts outward."""

    query: QueryTree
    parent: Scope | None = None

    def up(self, levels: int) -> Scope | None:
        """Return the scope this many levels outward."""
        scope: Scope | None = self
        for _ in range(levels):
            scope = scope.parent if scope is not None else None
        return scope

    def cte(self, entry: RangeTableEntry) -> tuple[Scope, Node, QueryTree] | None:
        """Return the scope, node and query of the ``with`` item that an entry reads."""
        home = self.up(entry.node.number("ctelevelsup"))
        name = entry.node.text("ctename") or ""
        if home is None or name not in home.query.ctes:
            return None
        query = home.query.cte_query(name)
        return (home, home.query.ctes[name], query) if query is not None else None


def expression_children(node: Node) -> Iterator[Node]:
    """Yield an expression and all nodes below it, without the queries of its sub-selects."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(child for child in current.children() if child.kind != "QUERY")


def once_per_query(ask: Callable[[_Owner, Scope], _Answer]) -> Callable[[_Owner, Scope], _Answer]:
    """Remember the result of a function for each query.

    Without it, a ``with`` item that is read twice, and reads another twice, would be computed four times.
    There is not enough time for the eightieth of such a chain.
    """

    @wraps(ask)
    def remembered(owner: _Owner, scope: Scope) -> _Answer:
        answers = scope.query.answers
        known = answers.get(ask.__qualname__)
        if known is None or known[0] is not owner:
            known = answers[ask.__qualname__] = owner, ask(owner, scope)
        answer: _Answer = known[1]
        return answer

    return remembered


def ungrouped(expression: Node, scope: Scope) -> Node:
    """Return the expression behind a reference to a ``group by`` column (from PostgreSQL 18 on)."""
    if expression.kind == "VAR" and not expression.number("varlevelsup"):
        entry = scope.query.entry(expression.number("varno"))
        if entry is not None and entry.kind is EntryKind.GROUP:
            expressions = entry.node.nodes("groupexprs")
            column = expression.number("varattno")
            if 0 < column <= len(expressions):
                return expressions[column - 1]
    return expression
