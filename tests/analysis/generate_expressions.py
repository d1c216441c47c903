"""Random expressions and conditions over the visible columns, and the ``from`` items that they belong to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

T = TypeVar("T")

TYPES = ("int", "text", "bool", "date", "numeric", "jsonb", "ints", "mood")
SQL_TYPES = {
    "int": "integer",
    "text": "text",
    "bool": "boolean",
    "date": "date",
    "numeric": "numeric",
    "jsonb": "jsonb",
    "ints": "integer[]",
    "mood": "mood",
    "bigint": "bigint",
}
LITERALS = {
    "int": ("0", "1", "2", "3", "-1"),
    "text": ("'a'", "'b'", "''", "'a b'"),
    "bool": ("true", "false"),
    "date": ("date '2026-01-01'", "date '2026-02-01'", "date 'infinity'"),
    "numeric": ("0.0", "1.0", "1.00", "2.5"),
    "jsonb": (
        "'{\"k\": 1}'::jsonb",
        "'{\"k\": null}'::jsonb",
        "'null'::jsonb",
        "'[1, null]'::jsonb",
        "'{}'::jsonb",
    ),
    "ints": ("'{}'::integer[]", "'{1,2}'::integer[]", "'{1,null}'::integer[]", "array[1]"),
    "mood": ("'sad'::mood", "'ok'::mood"),
    "bigint": ("0::bigint", "1::bigint"),
}


@dataclass(slots=True)
class Column:
    name: str
    type: str
    nullable: bool = True
    key: bool = False
    generated: bool = False


@dataclass(slots=True)
class Table:
    name: str
    columns: list[Column]
    view: bool = False
    writable: bool = True
    keys: list[tuple[str, ...]] = field(default_factory=list)
    references: list[tuple[str, str, bool]] = field(default_factory=list)
    """Columns that refer to the ``id`` of a table, its name, and whether the foreign key always holds."""
    lookups: list[tuple[str, ...]] = field(default_factory=list)
    """Conditions that together find one row by a unique index; ``{t}`` is the table, ``{int}`` a value."""


@dataclass(slots=True)
class Schema:
    statements: list[str]
    tables: list[Table]
    rows: list[str]


Scope = list[tuple[str, str]]
"""The visible columns: how they are written, and their type."""


class Expressions(ABC):
    """The generator of expressions, conditions and ``from`` clauses."""

    def __init__(self, random: Random, version: int = 180000) -> None:
        self.random = random
        self.version = version
        self.tables: list[Table] = []
        self.parameters: list[str] = []
        self._aliases = 0
        self._ctes: list[Table] = []

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return self.random.choice(items)

    def pick_call(self, calls: list[Callable[[], str]]) -> str:
        return self.pick(calls)()

    def alias(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    @abstractmethod
    def query(
        self,
        depth: int,
        outer: Scope,
        *,
        simple: bool = False,
        plain: bool = False,
        types: list[str] | None = None,
    ) -> tuple[str, list[str]]:
        """Make a select, with the types of its columns."""

    def parameter(self, type_: str) -> str:
        self.parameters.append(type_)
        return f"${len(self.parameters)}::{SQL_TYPES[type_]}"

    def expression(self, type_: str, scope: Scope, depth: int = 2, *, plain: bool = False) -> str:
        columns = [name for name, t in scope if t == type_]
        if columns and self.chance(0.55 if depth else 0.8):
            return self.pick(columns)
        if type_ == "int" and depth and self.chance(0.3) and (both := self._two_readers(scope)):
            return both
        roll = self.random.random()
        if depth <= 0 or roll < 0.12:
            if self.chance(0.2):
                return f"null::{SQL_TYPES[type_]}"
            if not plain and self.chance(0.3):
                return self.parameter(type_)
            return self.pick(LITERALS[type_])

        def sub(t: str) -> str:
            return self.expression(t, scope, depth - 1, plain=plain)

        def condition() -> str:
            return self.condition(scope, depth - 1, plain=plain)

        if roll < 0.24:
            return f"coalesce({sub(type_)}, {sub(type_)})"
        if roll < 0.36:
            tail = f" else {sub(type_)}" if self.chance(0.7) else ""
            subject = self.pick([name for name, _ in scope]) if scope and self.chance(0.4) else None
            if subject is not None:
                first, second = f"{subject} is null", sub(type_)
                if self.chance(0.5):
                    other = self.typed(subject, type_, scope) or sub(type_)
                    return f"case when {first} then {second} else {other} end"
                then = self.typed(subject, type_, scope) or second
                return f"case when {subject} is not null then {then}{tail} end"
            return f"case when {condition()} then {sub(type_)}{tail} end"
        if roll < 0.42:
            return f"nullif({sub(type_)}, {sub(type_)})" if type_ != "jsonb" else sub(type_)
        if roll < 0.48 and type_ in ("int", "text", "date", "numeric"):
            return f"{self.pick(('greatest', 'least'))}({sub(type_)}, {sub(type_)})"
        if roll < 0.58 and depth >= 1 and self.tables:
            return self.scalar(type_, scope, depth - 1, plain=plain)
        match type_:
            case "int":
                return self.pick_call(
                    [
                        lambda: f"({sub('int')} + {sub('int')})",
                        lambda: f"abs({sub('int')})",
                        lambda: f"plus({sub('int')})",
                        lambda: f"({sub('int')})::positive",
                        lambda: f"length({sub('text')})",
                        lambda: f"cardinality({sub('ints')})",
                        lambda: f"array_length({sub('ints')}, 1)",
                        lambda: f"({sub('ints')})[1]",
                        lambda: f"({sub('jsonb')} ->> 'k')::integer",
                        lambda: f"({sub('numeric')})::integer",
                        lambda: f"position({sub('text')} in {sub('text')})",
                        lambda: f"extract(year from {sub('date')})::integer",
                    ]
                )
            case "text":
                return self.pick_call(
                    [
                        lambda: f"({sub('text')} || {sub('text')})",
                        lambda: f"upper({sub('text')})",
                        lambda: f"concat({sub('text')}, {sub('int')})",
                        lambda: f"concat_ws({sub('text')}, {sub('text')}, {sub('int')})",
                        lambda: f"substring({sub('text')} from 1 for 1)",
                        lambda: f"substring({sub('text')} from 'a')",
                        lambda: f"({sub('int')})::text",
                        lambda: f"to_char({sub('date')}, 'YYYY')",
                        lambda: f"({sub('jsonb')} ->> 'k')",
                        lambda: f"({sub('mood')})::text",
                        lambda: f"split_part({sub('text')}, ' ', 2)",
                        lambda: f"({sub('jsonb')})::text",
                        lambda: f"array_to_string({sub('ints')}, ',')",
                    ]
                )
            case "bool":
                return self.condition(scope, depth - 1, plain=plain)
            case "date":
                return self.pick_call([lambda: f"({sub('date')} + {sub('int')})", lambda: "current_date"])
            case "numeric":
                return self.pick_call(
                    [
                        lambda: f"({sub('numeric')} * {sub('int')})",
                        lambda: f"round({sub('numeric')}, 1)",
                        lambda: f"extract(month from {sub('date')})",
                        lambda: f"extract(year from {sub('date')})",
                        lambda: f"abs({sub('numeric')})",
                    ]
                )
            case "jsonb":
                return self.pick_call(
                    [
                        lambda: f"({sub('jsonb')} -> 'k')",
                        lambda: f"to_jsonb({sub('int')})",
                        lambda: f"jsonb_build_object('a', {sub('int')})",
                        lambda: f"({sub('jsonb')} || {sub('jsonb')})",
                    ]
                )
            case "ints":
                return self.pick_call(
                    [
                        lambda: f"array[{sub('int')}, {sub('int')}]",
                        lambda: f"array_append({sub('ints')}, {sub('int')})",
                        lambda: f"({sub('ints')} || {sub('ints')})",
                        lambda: f"array_remove({sub('ints')}, {sub('int')})",
                    ]
                )
            case _:
                pass
        return self.pick(LITERALS[type_])

    def returned_set(self, scope: Scope) -> str:
        """Make a call that returns a set of integers."""
        return self.pick(
            (
                f"generate_series({self.expression('int', scope, 0)}, 3)",
                "generate_series(1, 2)",
                f"unnest({self.expression('ints', scope, 0)})",
                "unnest(array[1, 2])",
            )
        )

    def typed(self, name: str, type_: str, scope: Scope) -> str | None:
        return name if (name, type_) in scope else None

    def scalar(self, type_: str, scope: Scope, depth: int, *, plain: bool) -> str:
        by_name = {t.name: t for t in self.tables}
        referring = [
            (f"{alias}.{column}", by_name[name])
            for alias in sorted({name.partition(".")[0] for name, _ in scope})
            for t in self.tables
            for column, name, _ in t.references
            if (f"{alias}.{column}", "int") in scope
        ]
        if referring and self.chance(0.4):
            column, table = self.pick(referring)
            same = [c.name for c in table.columns if c.type == type_]
            if same:
                limit = self.pick(("", "", " limit 1", " limit 0"))
                return f"(select r.{self.pick(same)} from {table.name} as r where r.id = {column}{limit})"
        if self.chance(0.3) and type_ == "int":
            inner, columns = self.from_clause(0, scope, plain=plain)
            where = f" where {self.condition(columns + scope, 1, plain=plain)}" if self.chance(0.6) else ""
            call = self.pick(("count(*)::integer", "max({})", "coalesce(min({}), 0)"))
            ints = [name for name, t in columns if t == "int"] or ["1"]
            sql = f"(select {call.format(self.pick(ints))} from {inner}{where})"
        elif self.chance(0.15):
            sql = f"(select {self.expression(type_, scope, 1, plain=plain)})"
        else:
            inner, columns = self.from_clause(0, scope, plain=plain)
            where = f" where {self.condition(columns + scope, 1, plain=plain)}" if self.chance(0.7) else ""
            value = self.expression(type_, columns + scope, 1, plain=plain)
            sql = f"(select {value} from {inner}{where} limit 1)"
        return sql

    def condition(self, scope: Scope, depth: int = 2, *, plain: bool = False) -> str:
        def sub(t: str) -> str:
            return self.expression(t, scope, max(depth - 1, 0), plain=plain)

        names = [name for name, _ in scope]
        roll = self.random.random()
        if depth > 0 and roll < 0.25:
            word = self.pick((" and ", " and ", " or "))
            count = self.random.randint(2, 3)
            return "(" + word.join(self.condition(scope, depth - 1, plain=plain) for _ in range(count)) + ")"
        if depth > 0 and roll < 0.31:
            return f"not ({self.condition(scope, depth - 1, plain=plain)})"
        if names and roll < 0.45:
            return f"{self.pick(names)} is {self.pick(('not null', 'not null', 'null'))}"
        if roll < 0.5:
            test = self.pick(("true", "not true", "false", "unknown", "not unknown"))
            return f"({self.condition(scope, 0, plain=plain)}) is {test}"
        if depth > 0 and roll < 0.58:
            inner, columns = self.from_clause(0, scope, plain=plain)
            where = self.condition(columns + scope, 1, plain=plain)
            if self.chance(0.5):
                return f"{self.pick(('', 'not '))}exists (select 1 from {inner} where {where})"
            ints = [name for name, t in columns if t == "int"] or ["1"]
            word = self.pick(("in", "not in", "= any", "<> all", "< any", "= all"))
            return f"{sub('int')} {word} (select {self.pick(ints)} from {inner} where {where})"
        if roll < 0.6:
            dates = f"array[{sub('date')}, {sub('date')}]::timestamp[]"
            return f"time '10:00' = any (({dates})::time[])"
        if roll < 0.66:
            return f"{sub('int')} {self.pick(('in', 'not in'))} ({sub('int')}, {sub('int')})"
        if roll < 0.72:
            return f"{sub('int')} {self.pick(('= any', '<> all', '< all'))} ({sub('ints')})"
        if roll < 0.77:
            t = self.pick(("int", "text"))
            return f"{sub(t)} is {self.pick(('', 'not '))}distinct from {sub(t)}"
        if roll < 0.8:
            return f"coalesce({self.condition(scope, 0, plain=plain)}, false)"
        if roll < 0.83:
            return f"({sub('int')}, {sub('int')}) {self.pick(('=', '<', '<>'))} ({sub('int')}, {sub('int')})"
        if roll < 0.86:
            return f"{sub('text')} like {sub('text')}"
        booleans = [name for name, t in scope if t == "bool"]
        if booleans and roll < 0.9:
            return self.pick(booleans)
        t = self.pick(("int", "int", "text", "date", "mood"))
        operator = self.pick(("=", "=", "=", "<", ">=", "<>"))
        return f"{sub(t)} {operator} {sub(t)}"

    def source(self, depth: int, outer: Scope, *, plain: bool) -> tuple[str, Scope]:
        """Make one item of ``from``, with its columns."""
        alias = self.alias()
        roll = self.random.random()
        if roll < 0.62 or (depth <= 0 and roll < 0.85):
            pool = self.tables + (self._ctes if not plain else [])
            table = self.pick(pool)
            only = "only " if not table.view and table not in self._ctes and self.chance(0.05) else ""
            return f"{only}{table.name} as {alias}", [(f"{alias}.{c.name}", c.type) for c in table.columns]
        if roll < 0.82 and depth > 0:
            lateral = bool(outer) and self.chance(0.5)
            sql, types = self.query(depth - 1, outer if lateral else [], simple=self.chance(0.5), plain=plain)
            names = [f"s{i}" for i in range(len(types))]
            return (
                f"{'lateral ' if lateral else ''}({sql}) as {alias} ({', '.join(names)})",
                [(f"{alias}.{n}", t) for n, t in zip(names, types, strict=True)],
            )
        if roll < 0.9:
            rows = [
                f"({', '.join(self.expression(t, outer, 0, plain=plain) for t in ('int', 'text'))})"
                for _ in range(self.random.randint(1, 2))
            ]
            before = "lateral " if outer else ""
            return f"{before}(values {', '.join(rows)}) as {alias} (x, y)", [
                (f"{alias}.x", "int"),
                (f"{alias}.y", "text"),
            ]
        if roll < 0.94:
            bounds = f"{self.expression('int', outer, 0, plain=plain)}, 2"
            if self.chance(0.3):
                return (
                    f"generate_series({bounds}) with ordinality as {alias} (x, n)",
                    [(f"{alias}.x", "int"), (f"{alias}.n", "bigint")],
                )
            return f"generate_series({bounds}) as {alias} (x)", [(f"{alias}.x", "int")]
        if roll < 0.97:
            return f"unnest({self.expression('ints', outer, 0, plain=plain)}) as {alias} (x)", [
                (f"{alias}.x", "int")
            ]
        if roll < 0.985:
            return (
                f"jsonb_each_text({self.pick(LITERALS['jsonb'])}) as {alias} (k, v)",
                [(f"{alias}.k", "text"), (f"{alias}.v", "text")],
            )
        return f"abs({self.expression('int', outer, 0, plain=plain)}) as {alias} (x)", [(f"{alias}.x", "int")]

    def from_clause(self, depth: int, outer: Scope, *, plain: bool = False) -> tuple[str, Scope]:
        sql, columns = self.source(depth, outer, plain=plain)
        if self.chance(0.12):
            return self._read_twice(outer, plain=plain)
        if self.chance(0.12) and (followed := self._follow_reference()):
            return followed
        for _ in range(self.pick((0, 0, 1, 1, 2)) if depth else self.pick((0, 0, 0, 1))):
            kind = self.pick(("inner", "left", "left", "left", "right", "full", "cross"))
            reach = outer + columns if kind in ("inner", "left", "cross") else outer
            other, more = self.source(depth, reach, plain=plain)
            if kind == "cross":
                sql, columns = f"{sql} cross join {other}", columns + more
                continue
            if kind == "left" and self.chance(0.08):
                sql, columns = f"{sql} left join {other} on true", columns + more
                continue
            both = columns + more
            if kind == "full":
                left = [n for n, t in columns if t == "int"]
                right = [n for n, t in more if t == "int"]
                if not left or not right:
                    sql, columns = (
                        f"{sql} left join {other} on {self._join_condition(columns, more, outer, plain)}",
                        both,
                    )
                    continue
                sql = f"{sql} full join {other} on {self.pick(left)} = {self.pick(right)}"
            else:
                sql = f"{sql} {kind} join {other} on {self._join_condition(columns, more, outer, plain)}"
            columns = both
            if self.chance(0.2):
                sql = f"({sql})"
        return sql, columns

    def _two_readers(self, scope: Scope) -> str:
        """Make one side of an outer join as one reader has it, else the other as the same or another has
        it.
        """
        left = [name for name, _ in scope if name.endswith(".l")]
        right = [name for name, _ in scope if name.endswith(".r")]
        return f"coalesce({self.pick(left)}, {self.pick(right)})" if left and right else ""

    def _follow_reference(self) -> tuple[str, Scope] | None:
        """Make a table with one or two that it refers to, joined along foreign keys or nearly."""
        tables = {t.name: t for t in self.tables}
        referring = [t for t in self.tables if t.references]
        if not referring:
            return None
        table = self.pick(referring)
        one = self.alias()
        sql, columns = f"{table.name} as {one}", [(f"{one}.{c.name}", c.type) for c in table.columns]
        for _ in range(self.pick((1, 1, 2))):
            if not table.references:
                break
            column, name, _ = self.pick(table.references)
            other = self.alias()
            column = column if self.chance(0.85) else "id"
            extra = f" and {other}.id > 0" if self.chance(0.1) else ""
            word = "left" if self.chance(0.8) else self.pick(("full", "inner"))
            sql += f" {word} join {name} as {other} on {other}.id = {one}.{column}{extra}"
            columns += [(f"{other}.{c.name}", c.type) for c in tables[name].columns]
            if self.chance(0.5):
                table, one = tables[name], other
        return sql, columns

    def _read_twice(self, outer: Scope, *, plain: bool) -> tuple[str, Scope]:
        """Make a view, table or ``with`` item joined with itself."""
        pool = [t for t in self.tables if t.view] + (self._ctes if not plain else []) or self.tables
        table = self.pick(pool)
        one, other = self.alias(), self.alias()
        left: Scope = [(f"{one}.{c.name}", c.type) for c in table.columns]
        right: Scope = [(f"{other}.{c.name}", c.type) for c in table.columns]
        word = self.pick(("cross", "inner", "left", "full"))
        if word == "full":
            ints = [c.name for c in table.columns if c.type == "int"]
            condition = f" on {one}.{self.pick(ints)} = {other}.{self.pick(ints)}" if ints else " on true"
        else:
            condition = "" if word == "cross" else f" on {self._join_condition(left, right, outer, plain)}"
        return f"{table.name} as {one} {word} join {table.name} as {other}{condition}", left + right

    def _join_condition(self, left: Scope, right: Scope, outer: Scope, plain: bool) -> str:
        types = {t for _, t in left} & {t for _, t in right} - {"jsonb", "ints"}
        parts = []
        if types and self.chance(0.85):
            type_ = self.pick(sorted(types))
            one = self.pick([n for n, t in left if t == type_])
            other = self.pick([n for n, t in right if t == type_])
            parts.append(f"{one} = {other}")
        if not parts or self.chance(0.25):
            parts.append(self.condition(left + right + outer, 1, plain=plain))
        return " and ".join(parts)
