"""The keys of parents and of lists of child rows, and the findings about those that are not proved.

A joined query has a row for each child. Its rows are grouped by the key of the parent, which must determine
all columns of the parent; otherwise two parents could become one, or one could become two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from plainsql.analysis.cardinality.unique_rows import AtMostOne, UniqueRows, from_entries
from plainsql.analysis.conditions.equalities import plain_variable
from plainsql.analysis.conditions.known_facts import Facts
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import ColumnFact, Finding, PgType, RowLevel
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import Command, expression_children, ungrouped
from plainsql.statements.column_paths import level_of, levels_of, parent_of

__all__ = ["Parents", "parents_of"]

_KEY_TYPES: Final = frozenset(
    {
        *("bool", "int2", "int4", "int8", "oid", "numeric", "uuid", "inet", "cidr"),
        *("text", "varchar", "bpchar", "name", "citext", "bytea", "date", "timestamp", "timestamptz"),
    }
)
"""The types whose different values differ in Python: one year and 360 days are one ``interval``, 365 another,
and ``timedelta`` has no years.
"""


@dataclass(frozen=True, slots=True)
class Parents:
    """The facts about a result with lists of child rows."""

    levels: tuple[RowLevel, ...] = ()
    """The levels that are proved."""
    findings: tuple[Finding, ...] = ()
    at_most_one: AtMostOne | None = None
    """The proof that there is at most one parent; None if there are no parents to count."""
    at_least_one: bool = False
    contiguous: bool = False


@dataclass(slots=True)
class _Level:
    """The columns of one level: positions in the result, from 0."""

    path: str
    own: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    because: str = ""
    known: Facts = field(default_factory=Facts)
    """The facts that hold in every row in which it exists."""


class _Unproved(Exception):  # noqa: N818 (never raised to a caller)
    def __init__(self, level: _Level, message: str, hint: str, column: int | None = None) -> None:
        super().__init__(message)
        self.level, self.message, self.hint = level, message, hint
        self.column = level.own[0] if column is None else column


def parents_of(examined: Examined, columns: Sequence[ColumnFact]) -> Parents:
    """Return the levels of a result whose columns have names such as ``orders[].id``."""
    paths = levels_of(column.name for column in columns)
    if len(paths) == 1:
        return Parents()
    query = examined.scope.query
    levels = {path: _Level(path) for path in paths}
    for position, column in enumerate(columns):
        levels[level_of(column.name)].own.append(position)
    if len(query.outputs) != len(columns) or query.command != Command.SELECT or query.set_operation():
        words = "a union" if query.command == Command.SELECT else "a write"
        finding = Finding(
            "children-without-key",
            f"no key of the rows of {words} is known: rows with equal columns become one parent",
            columns[levels[paths[1]].own[0]].position if levels[paths[1]].own else 0,
            "select from it in a query around it, with a key",
        )
        return Parents(findings=(finding,))
    return _Proof(examined, columns, levels).result()


class _Proof:
    """The proof of the keys of one query."""

    def __init__(self, examined: Examined, columns: Sequence[ColumnFact], levels: dict[str, _Level]) -> None:
        self._scope, self._prover, self._places = examined.scope, examined.prover, examined.places
        self._cardinality = examined.prover.cardinality
        self._columns = columns
        self._levels = levels
        self._facts = self._cardinality.facts(self._scope)
        expressions = [output.node("expr") for output in self._scope.query.outputs]
        self._expressions = [
            ungrouped(node, self._scope) if node is not None else Node("") for node in expressions
        ]
        self._variables = [plain_variable(node, self._scope) for node in self._expressions]

    def result(self) -> Parents:
        levels, findings = self._levels, list(self._limits())
        children = [parent_of(path) for path in levels if path]
        is_chain = len(set(children)) == len(children)
        proved: list[RowLevel] = []
        failed: set[str] = set()
        for path, level in levels.items():
            if path and parent_of(path) in failed:
                failed.add(path)
                continue
            innermost = is_chain and path not in children
            try:
                if not level.own:
                    raise _Unproved(
                        level,
                        f"no column of {_shown(path)} itself is selected: it has only lists",
                        f'select its key as well, as "{path}id"' if path else "select the key of the parent",
                        next(p for other in levels.values() if other.path for p in other.own),
                    )
                self._prove(level, innermost)
            except _Unproved as reason:
                failed.add(path)
                findings.append(self._finding(reason, siblings=not is_chain))
                continue
            proved.append(
                RowLevel(
                    path,
                    tuple(self._columns[i].name for i in level.key),
                    tuple(self._columns[i].name for i in level.own if self._is_not_null(i, level.known)),
                    level.because,
                )
            )
        if failed:
            return Parents(tuple(proved), tuple(findings))
        most = self._at_most_one_parent()
        least = self._cardinality.at_least_one(self._scope)
        contiguous = most.proved or self._is_contiguous()
        return Parents(tuple(proved), tuple(findings), most, least, contiguous)

    def _limits(self) -> Iterator[Finding]:
        node = self._scope.query.node
        for clause, word in (("limitCount", "limit"), ("limitOffset", "offset")):
            if (limit := node.node(clause)) is not None:
                yield Finding(
                    "limited-children",
                    f"the {word} counts joined rows, not parents, and can cut off some children of a parent",
                    self._places.of(limit) or self._places.of_words(word),
                    "limit the parents in a subquery: from (select … limit …) as p left join …",
                )
                return

    def _finding(self, reason: _Unproved, *, siblings: bool) -> Finding:
        message = reason.message
        if siblings and reason.level.path:
            others = [path for path in self._levels if path and path != reason.level.path]
            message += (
                f"; the join makes every pair of {_shown(reason.level.path)} and {_shown(others[0])}, "
                "a Cartesian product"
            )
        return Finding("children-without-key", message, self._columns[reason.column].position, reason.hint)

    # The key of a level -------------------------------------------------------------------------------

    def _prove(self, level: _Level, innermost: bool) -> None:
        above = self._above(level)
        try:
            self._find_key(level, above)
        except _Unproved:
            if not innermost:
                raise
            self._find_witness(level, above)
        self._check_presence(level, above)
        level.known = self._known_with(level.key)
        parent = self._levels[parent_of(level.path)] if level.path else None
        if parent is not None and not self._is_not_null(parent.key[0], level.known):
            raise _Unproved(
                level,
                f"a row of {_shown(level.path)} may come without a row of {_shown(parent.path)}",
                f"join it on a column of {_shown(parent.path)}",
            )

    def _above(self, level: _Level) -> list[int]:
        """Return the keys of the levels around one."""
        found: list[int] = []
        path = level.path
        while path:
            path = parent_of(path)
            found = [*self._levels[path].key, *found]
        return found

    def _find_key(self, level: _Level, above: list[int]) -> None:
        best: tuple[int, list[int], int] | None = None
        for key, because in self._candidates(level, above):
            missing = self._undetermined(level, [*above, *key])
            if missing is None:
                level.key, level.because = key, because
                return
            rank = level.own.index(missing)
            if best is None or rank > best[0]:
                best = rank, key, missing
        named = _shown(level.path)
        if best is None:
            wanted = self._wanted_key(level)
            raise _Unproved(
                level,
                f"no key of {named} is selected: two of them may be equal in all columns",
                f'select {wanted}, as "{level.path}{wanted.rpartition(".")[2]}"'
                if wanted and level.path
                else f"select {wanted}"
                if wanted
                else f"select columns that are a unique key of {named} and never null",
            )
        _, key, missing = best
        names = ", ".join(self._columns[i].name for i in key)
        column = self._columns[missing].name.removeprefix(level.path)
        lists = [path for path in self._levels if path.startswith(level.path) and path != level.path]
        lists += [level.path] if not lists else []
        raise _Unproved(
            level,
            f"{level.path}{column} is not determined by the key of {named} ({names}): "
            "it can differ between its rows",
            f'make it a column of a list, or aggregate it in a subquery: as "{lists[0]}{column}"',
            missing,
        )

    def _candidates(self, level: _Level, above: list[int]) -> Iterator[tuple[list[int], str]]:
        usable = [i for i in level.own if self._may_be_key(i)]
        position_of = {self._variables[i]: i for i in reversed(usable)}
        given = self._unique(above, self._known_with(above)).columns
        found: list[tuple[list[int], str]] = []
        for entry in from_entries(self._scope.query):
            for key, because in self._cardinality.keys(entry, self._scope):
                wanted = [(entry.index, column) for column in key]
                own = [position_of[each] for each in wanted if each in position_of]
                if own and all(each in position_of or each in given for each in wanted):
                    found.append((own, because.removeprefix("equality on ")))
        # Numbers are compared faster than texts.
        yield from sorted(found, key=lambda each: (len(each[0]), *(self._is_text(i) for i in each[0])))
        if len(usable) > 1 and self._undetermined(level, [*above, *usable]) is None:
            for column in reversed(list(usable)):
                rest = [i for i in usable if i != column]
                if rest and self._undetermined(level, [*above, *rest]) is None:
                    usable = rest
            yield usable, f"{', '.join(self._columns[i].name for i in usable)} together"

    def _may_be_key(self, position: int) -> bool:
        column = self._columns[position]
        never_null = not column.nullable or (
            bool(level_of(column.name)) and column.nullable_group is not None and not column.nullable_in_group
        )
        return self._variables[position] is not None and never_null and _is_key_type(column.type)

    def _is_text(self, position: int) -> bool:
        return self._columns[position].type.name not in ("int2", "int4", "int8", "uuid")

    def _wanted_key(self, level: _Level) -> str:
        """Return the key column of the relation that the first column of a level is from."""
        for position in level.own:
            variable = self._variables[position]
            entry = self._scope.query.entry(variable[0]) if variable is not None else None
            relation = self._prover.catalog.relation(entry.relation) if entry and entry.relation else None
            if entry is None or relation is None:
                continue
            for key in sorted(relation.unique_keys, key=lambda key: (not key.primary, len(key.columns))):
                return ", ".join(f"{entry.alias}.{relation.columns[column].name}" for column in key.columns)
        return ""

    def _undetermined(self, level: _Level, key: Iterable[int]) -> int | None:
        """Return the first column of a level that the columns of a key do not determine."""
        key = list(key)
        known = self._known_with(key)
        rows = self._unique(key, known)
        taken = set(key)
        for position in level.own:
            if position not in taken and not rows.has_one_value(self._expressions[position]):
                return position
        # The columns of the key itself must be those of rows that it determines.
        for position in key:
            variable = self._variables[position]
            if variable is None or (position in level.own and variable[0] not in rows.relations):
                return position
        return None

    def _unique(self, key: Iterable[int], facts: Facts) -> UniqueRows:
        columns = [variable for i in key if (variable := self._variables[i]) is not None]
        return UniqueRows(self._cardinality, self._scope, facts, 0, columns)

    # The rows in which a level exists -----------------------------------------------------------------

    def _find_witness(self, level: _Level, above: list[int]) -> None:
        for position in level.own:
            if self._may_be_witness(position) and not self._is_of_parents(position, above):
                level.key = [position]
                try:
                    self._check_presence(level, above)
                except _Unproved:
                    continue
                level.because = f"{self._columns[position].name} is not null in it"
                return
        wanted = self._wanted_key(level)
        raise _Unproved(
            level,
            f"no column of {_shown(level.path)} shows whether there is one: each may be null when there is",
            f'select its key as well: {wanted} as "{level.path}{wanted.rpartition(".")[2]}"'
            if wanted
            else f'select its key as well, as "{level.path}id"',
        )

    def _may_be_witness(self, position: int) -> bool:
        column = self._columns[position]
        return self._variables[position] is not None and (
            not column.nullable or (column.nullable_group is not None and not column.nullable_in_group)
        )

    def _is_of_parents(self, position: int, above: list[int]) -> bool:
        variable = self._variables[position]
        rows = self._unique(above, self._known_with(above))
        return variable is not None and variable[0] in rows.relations

    def _check_presence(self, level: _Level, above: list[int]) -> None:
        """Raise unless the first column of the key is null in exactly the rows without a row of the level."""
        if not level.path:
            return
        shown = [*level.key]
        shown += [
            i
            for i in level.own
            if i not in shown and self._variables[i] is not None and not self._is_of_parents(i, above)
        ]
        for position in shown:
            facts = self._known_with([position])
            for column in level.key:
                if not self._is_not_null(column, facts):
                    names = self._columns[position].name, self._columns[column].name
                    raise _Unproved(
                        level,
                        f"{names[0]} may be there when {names[1]} is null: "
                        f"it is not clear whether there is a row of {_shown(level.path)}",
                        "join it on a column of the row that the list is made of",
                        position,
                    )

    def _known_with(self, positions: Iterable[int]) -> Facts:
        """Return the facts about rows in which these columns are not null."""
        facts = self._facts
        for position in positions:
            facts |= self._prover.inference.if_not_null(self._expressions[position], self._scope)
        query, done = self._scope.query, set[int]()
        while True:
            # A join that has matched fulfilled its condition.
            matched = [
                join
                for join in query.joins.values()
                if join.index not in done
                and join.nullable_sides()
                and any((query.id, join.index, side) in facts.matched for side, _ in join.nullable_sides())
                and len(join.nullable_sides()) == 1
            ]
            if not matched:
                return facts
            for join in matched:
                done.add(join.index)
                facts |= self._prover.inference.if_true(join.condition, self._scope)

    def _is_not_null(self, position: int, facts: Facts) -> bool:
        if not self._columns[position].nullable:
            return True
        context = self._prover.rows(self._scope).with_facts(facts)
        if self._scope.query.node.nodes("groupingSets"):
            return False
        return not self._prover.expression(self._expressions[position], context).nullable

    # The number and the order of parents --------------------------------------------------------------

    def _at_most_one_parent(self) -> AtMostOne:
        joined = self._cardinality.at_most_one(self._scope)
        if joined.proved:
            return joined
        rows = self._cardinality.unique_rows(self._scope)
        for position in self._levels[""].key:
            variable = self._variables[position]
            if variable is None or (variable[0] not in rows.relations and variable not in rows.columns):
                entry = self._scope.query.entry(variable[0]) if variable is not None else None
                return AtMostOne(False, f"no unique key of {entry.alias if entry else 'the parent'} is bound")
        first = self._variables[self._levels[""].key[0]]
        because = rows.because.get(first[0], "") if first is not None else ""
        return AtMostOne(True, because or "the key of the parent is bound")

    def _is_contiguous(self) -> bool:
        """Return whether the rows of each parent follow one another: the order begins with a key of it."""
        query = self._scope.query
        root = self._levels[""]
        of_parent = self._unique(root.key, self._facts)
        wanted = [variable for i in root.key if (variable := self._variables[i]) is not None]
        leading: list[tuple[int, int]] = []
        context = self._prover.rows(self._scope)
        for clause in query.node.nodes("sortClause"):
            target = query.sort_group_expression(clause.number("tleSortGroupRef"))
            node = target.node("expr") if target is not None else None
            if node is None:
                return False
            node = ungrouped(node, self._scope)
            if not of_parent.has_one_value(node):
                return False
            variable = plain_variable(node, self._scope)
            collates = any(part.kind == "COLLATEEXPR" for part in expression_children(node))
            if variable is None or collates or self._prover.expression(node, context).nullable:
                continue
            leading.append(variable)
            rows = UniqueRows(self._cardinality, self._scope, self._facts, 0, leading)
            if all(each in rows.columns or each[0] in rows.relations for each in wanted):
                return True
        return False


def _is_key_type(type_: PgType) -> bool:
    while type_.kind == "domain" and type_.element is not None:
        type_ = type_.element
    return type_.kind == "enum" or (type_.kind == "base" and type_.name in _KEY_TYPES)


def _shown(path: str) -> str:
    return path.removesuffix(".") if path else "the parent"
