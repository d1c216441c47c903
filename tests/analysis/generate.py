"""Random schemas, data full of nulls and unmatched rows, and queries over them.

Everything comes from one ``random.Random``: the same seed makes the same case. The grammar is typed, so
that nearly every query is one that PostgreSQL accepts.
"""

from __future__ import annotations

import re
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


@dataclass(slots=True)
class Schema:
    statements: list[str]
    tables: list[Table]
    rows: list[str]


Scope = list[tuple[str, str]]
"""Columns in reach: how they are written, and their type."""


class Generator:
    """Writes cases for one server version."""

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

    # Schemas

    def schema(self) -> Schema:
        statements = ["create type mood as enum ('sad', 'ok', 'happy')"]
        rows: list[str] = []
        self.tables = []
        for number in range(self.random.randint(2, 4)):
            table, ddl = self._table(f"t{number}")
            statements.append(ddl)
            self.tables.append(table)
        rows = [row for table in self.tables for row in self._rows(table)]
        if self.chance(0.4):
            parent = self.pick(self.tables)
            statements.append(f"create table {parent.name}_child (extra int) inherits ({parent.name})")
            # Up to 17 a table that inherits may drop the constraint.
            dropped = [
                c for c in parent.columns if self.version < 180000 and not c.nullable and self.chance(0.5)
            ]
            statements += [
                f"alter table {parent.name}_child alter column {c.name} drop not null" for c in dropped
            ]
        for number in range(self.random.randint(0, 2)):
            self.parameters, self._ctes = [], []
            sql, columns = self.query(1, [], simple=self.chance(0.5), plain=True)
            names = [f"v{i}" for i in range(len(columns))]
            statements.append(f"create view w{number} ({', '.join(names)}) as {sql}")
            view = Table(f"w{number}", [Column(n, t) for n, t in zip(names, columns, strict=True)], view=True)
            self.tables.append(view)
        return Schema(statements, self.tables, rows)

    def _table(self, name: str) -> tuple[Table, str]:
        columns = [Column("id", "int", nullable=not self.chance(0.8))]
        for i in range(self.random.randint(2, 5)):
            type_ = self.pick(TYPES) if self.chance(0.6) else self.pick(("int", "text"))
            columns.append(Column(f"c{i}", type_, nullable=self.chance(0.6)))
        parts = []
        keys: list[tuple[str, ...]] = []
        for column in columns:
            part = f"{column.name} {SQL_TYPES[column.type]}"
            if not column.nullable:
                part += " not null"
            if self.chance(0.2):
                part += f" default {self.pick(LITERALS[column.type])}"
            parts.append(part)
        if self.chance(0.7):
            key = ("id",) if self.chance(0.7) else ("id", columns[1].name)
            if all(c.type in ("int", "text", "date", "mood") for c in columns if c.name in key):
                if self.chance(0.6):
                    parts.append(f"primary key ({', '.join(key)})")
                    for column in columns:
                        column.nullable = column.nullable and column.name not in key
                else:
                    parts.append(f"unique ({', '.join(key)})" + (" deferrable" if self.chance(0.15) else ""))
                keys.append(key)
        if self.chance(0.3):
            source = self.pick([c for c in columns if c.type in ("int", "text")])
            parts.append(f"g {SQL_TYPES[source.type]} generated always as ({source.name}) stored")
            columns.append(Column("g", source.type, generated=True))
        return Table(name, columns, keys=keys), f"create table {name} ({', '.join(parts)})"

    def _rows(self, table: Table) -> list[str]:
        statements = []
        columns = [column for column in table.columns if not column.generated]
        for _ in range(self.random.randint(0, 6)):
            values = [
                "null" if column.nullable and self.chance(0.45) else self.pick(LITERALS[column.type])
                for column in columns
            ]
            names = ", ".join(column.name for column in columns)
            deferrable = "" if not table.keys else " on conflict do nothing"
            statements.append(f"insert into {table.name} ({names}) values ({', '.join(values)}){deferrable}")
        return statements

    # Expressions

    def parameter(self, type_: str) -> str:
        self.parameters.append(type_)
        return f"${len(self.parameters)}::{SQL_TYPES[type_]}"

    def expression(self, type_: str, scope: Scope, depth: int = 2, *, plain: bool = False) -> str:
        columns = [name for name, t in scope if t == type_]
        if columns and self.chance(0.55 if depth else 0.8):
            return self.pick(columns)
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

    def typed(self, name: str, type_: str, scope: Scope) -> str | None:
        return name if (name, type_) in scope else None

    def scalar(self, type_: str, scope: Scope, depth: int, *, plain: bool) -> str:
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

    # From

    def source(self, depth: int, outer: Scope, *, plain: bool) -> tuple[str, Scope]:
        """One item of ``from`` with its columns."""
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

    # Queries

    def query(
        self,
        depth: int,
        outer: Scope,
        *,
        simple: bool = False,
        plain: bool = False,
        types: list[str] | None = None,
    ) -> tuple[str, list[str]]:
        """A select with the types of its columns."""
        if depth > 0 and self.chance(0.14) and not simple:
            return self._set_operation(depth, outer, plain=plain, types=types)
        if depth > 0 and not simple and not plain and self.chance(0.2):
            return self._with(depth, outer, types=types)
        sql, columns = self.from_clause(depth, outer, plain=plain)
        reach = columns + outer
        where = f" where {self.condition(reach, 2, plain=plain)}" if self.chance(0.6) else ""
        if self.chance(0.25) and not simple:
            key = self.pick([n for n, t in columns if t in ("int", "text")] or ["1"])
            if key != "1":
                t = "int" if (key, "int") in columns else "text"
                value = self.expression(t, outer, 0, plain=plain)
                where = f"{where} and {key} = {value}" if where else f" where {key} = {value}"
        wanted = types or [
            self.pick(TYPES[:6]) if self.chance(0.4) else self.pick(("int", "text"))
            for _ in range(self.random.randint(1, 4))
        ]
        if not simple and self.chance(0.3):
            return self._aggregate(sql, where, columns, outer, wanted, plain=plain), wanted
        window = not simple and self.chance(0.15)
        outputs = [
            self._window(t, reach, plain=plain)
            if window and self.chance(0.6)
            else self.expression(t, reach, 2, plain=plain)
            for t in wanted
        ]
        distinct = ""
        tail = ""
        if not simple and self.chance(0.12):
            distinct = "distinct "
        elif not simple and self.chance(0.06):
            distinct = f"distinct on ({outputs[0]}) "
        if self.chance(0.08):
            tail += f" limit {self.pick(('1', '1', '2'))}"
        return f"select {distinct}{', '.join(outputs)} from {sql}{where}{tail}", wanted

    def _window(self, type_: str, scope: Scope, *, plain: bool) -> str:
        def value(t: str) -> str:
            return self.expression(t, scope, 1, plain=plain)

        frame = self.pick(
            (
                "",
                "",
                " rows between 1 preceding and current row",
                " rows between 2 preceding and 1 preceding",
                " rows between unbounded preceding and unbounded following exclude current row",
                " rows between current row and unbounded following exclude ties",
                " groups between 1 preceding and 1 following",
            )
        )
        partition = f"partition by {value('int')} " if self.chance(0.4) else ""
        over = f"over ({partition}order by {value('int')}{frame})"
        calls = [
            f"first_value({value(type_)})",
            f"last_value({value(type_)})",
            f"nth_value({value(type_)}, 2)",
        ]
        shifts = [f"lag({value(type_)})", f"lead({value(type_)}, 1, {value(type_)})"]
        if type_ == "int":
            calls += [
                f"(sum({value('int')})",
                f"(count({value('int')})",
                "(row_number()",
                "(rank()",
                f"max({value('int')})",
            ]
        call = self.pick(calls + shifts)
        return f"{call} {over})::integer" if call.startswith("(") else f"{call} {over}"

    def _aggregate(
        self, sql: str, where: str, columns: Scope, outer: Scope, wanted: list[str], *, plain: bool
    ) -> str:
        keys = [self.pick(columns) for _ in range(self.random.randint(0, 2))] if columns else []
        if self.chance(0.15) and columns:
            keys.append((f"coalesce({self.expression('int', columns, 1, plain=True)}, 0)", "int"))
        grouping = ""
        names = list(dict.fromkeys(name for name, _ in keys))
        if names:
            grouping = " group by " + ", ".join(names)
            if self.chance(0.3):
                grouping = " group by " + self.pick(
                    (
                        f"rollup ({', '.join(names)})",
                        f"cube ({', '.join(names)})",
                        f"grouping sets ({', '.join(f'({n})' for n in names)})",
                        f"grouping sets (({', '.join(names)}), ())",
                        f"{names[0]}, rollup ({', '.join(names)})",
                    )
                )
        reach = columns + outer

        def call(t: str) -> str:
            def value(kind: str) -> str:
                return self.expression(kind, reach, 1, plain=plain)

            filter_ = f" filter (where {self.condition(reach, 1, plain=plain)})" if self.chance(0.15) else ""
            match t:
                case "int":
                    inner = self.pick(
                        (
                            f"max({value('int')})",
                            f"count({value('int')})",
                            "count(*)",
                            f"sum({value('int')})",
                            f"min({value('int')})",
                        )
                    )
                    return f"({inner}{filter_})::integer"
                case "text":
                    return (
                        self.pick((f"min({value('text')})", f"string_agg({value('text')}, {value('text')})"))
                        + filter_
                    )
                case "bool":
                    return f"{self.pick(('bool_and', 'bool_or'))}({value('bool')}){filter_}"
                case "date":
                    return f"max({value('date')}){filter_}"
                case "numeric":
                    return (
                        self.pick(
                            (
                                f"avg({value('int')})",
                                f"sum({value('numeric')})",
                                f"stddev_samp({value('int')})",
                                f"var_pop({value('int')})",
                            )
                        )
                        + filter_
                    )
                case "jsonb":
                    return f"jsonb_agg({value('int')}){filter_}"
                case "ints":
                    return f"array_agg({value('int')}){filter_}"
                case _:
                    pass
            return f"max({value(t)}){filter_}"

        def output(t: str) -> str:
            same = [name for name, kind in keys if kind == t]
            roll = self.random.random()
            if same and roll < 0.5:
                return self.pick(same)
            if roll < 0.65:
                return f"coalesce({call(t)}, {self.pick(LITERALS[t])})"
            if same and roll < 0.72:
                return f"case when {same[0]} is null then {call(t)} else {same[0]} end"
            if t == "int" and names and roll < 0.76:
                return f"grouping({names[0]})"
            return call(t)

        outputs = [output(t) for t in wanted]
        having = ""
        if self.chance(0.25):
            known = [f"{n} is not null" for n in names]
            having = f" having {self.pick([call('int') + ' > 0', call('text') + ' is not null', *known])}"
        return f"select {', '.join(outputs)} from {sql}{where}{grouping}{having}"

    def _set_operation(
        self, depth: int, outer: Scope, *, plain: bool, types: list[str] | None
    ) -> tuple[str, list[str]]:
        wanted = types or [
            self.pick(("int", "text", "date", "bool")) for _ in range(self.random.randint(1, 3))
        ]
        word = self.pick(("union", "union all", "intersect", "except", "intersect all", "except all"))
        arms = [
            f"({self.query(depth - 1, outer, simple=self.chance(0.6), plain=plain, types=wanted)[0]})"
            for _ in range(2)
        ]
        if self.chance(0.2):
            arms.append(f"({self.query(0, outer, simple=True, plain=plain, types=wanted)[0]})")
        return f" {word} ".join(arms), wanted

    def _with(self, depth: int, outer: Scope, *, types: list[str] | None) -> tuple[str, list[str]]:
        before = len(self._ctes)
        name = f"cte{self.alias()}"
        if self.chance(0.25):
            base, wanted = self.query(0, [], simple=True, types=["int", "text"])
            step = (
                f"select {self.expression('int', [('r.a', 'int'), ('u.x', 'int')], 1)}, "
                f"{self.expression('text', [('r.b', 'text')], 1)}"
                f" from {name} as r, generate_series(1, 2) as u (x) where r.d < 2"
            )
            head, tail = step.split(f" from {name} as r", 1)
            columns = ["int", "text", "int"]
            step = f"{head}, r.d + 1 from {name} as r{tail}"
            sql = f"with recursive {name} (a, b, d) as (select z.*, 0 from ({base}) as z union all {step})"
            names = ["a", "b", "d"]
        else:
            body, columns = self.query(depth - 1, [], simple=self.chance(0.4))
            names = [f"k{i}" for i in range(len(columns))]
            materialized = self.pick(("", "", "materialized ", "not materialized "))
            sql = f"with {name} ({', '.join(names)}) as {materialized}({body})"
        self._ctes.append(Table(name, [Column(n, t) for n, t in zip(names, columns, strict=True)], view=True))
        rest, wanted = self.query(depth - 1, outer, simple=self.chance(0.5), types=types)
        del self._ctes[before:]
        if rest.startswith("with "):
            return f"select * from ({rest}) as {self.alias()}", wanted
        return f"{sql} {rest}", wanted

    # Writes

    def write(self) -> str:
        """A statement that writes, with ``returning``."""
        tables = [t for t in self.tables if not t.view]
        table = self.pick(tables)
        own = [c for c in table.columns if not c.generated]
        roll = self.random.random()
        target = f"{table.name} as t"
        scope: Scope = [(f"t.{c.name}", c.type) for c in table.columns]
        if roll < 0.35:
            sql = self._insert(table, own)
        elif roll < 0.7:
            assigned = self.random.sample(own, self.random.randint(1, min(3, len(own))))
            source: str = ""
            extra: Scope = []
            if self.chance(0.4):
                inner, extra = self.from_clause(1, [])
                source = f" from {inner}"
            reach = scope + extra
            sets = ", ".join(f"{c.name} = {self._value(c, reach)}" for c in assigned)
            where = f" where {self.condition(reach, 2)}" if self.chance(0.85) else ""
            if self.chance(0.3):
                where = (
                    f"{where} and t.id = {self.expression('int', extra, 0)}"
                    if where
                    else f" where t.id = {self.expression('int', extra, 0)}"
                )
            if self.chance(0.3):
                known = f"t.{assigned[0].name} is not null"
                where = f"{where} and {known}" if where else f" where {known}"
            sql = f"update {target} set {sets}{source}{where}"
            scope = reach + [(f"t.{c.name}", c.type) for c in assigned] * 3
        elif roll < 0.88:
            source, extra = "", []
            if self.chance(0.4):
                inner, extra = self.from_clause(1, [])
                source = f" using {inner}"
            reach = scope + extra
            where = f" where {self.condition(reach, 2)}" if self.chance(0.8) else ""
            sql = f"delete from {target}{source}{where}"
            scope = reach
        else:
            inner, extra = self.source(1, [], plain=False)
            ints = [n for n, t in extra if t == "int"] or ["1"]
            assigned = self.random.sample(own, 1)
            actions = [
                f"when matched then update set {c.name} = {self._value(c, scope + extra)}" for c in assigned
            ]
            if self.chance(0.3):
                actions = ["when matched then delete"]
            if self.chance(0.5):
                values = ", ".join(self._value(c, extra) for c in own)
                actions.append(
                    f"when not matched then insert ({', '.join(c.name for c in own)}) values ({values})"
                )
            if self.version >= 170000 and self.chance(0.3):
                actions.append("when not matched by source then delete")
            sql = f"merge into {target} using {inner} on t.id = {self.pick(ints)} {' '.join(actions)}"
            scope = scope + extra
            if self.version < 170000:
                return sql
        if roll < 0.35:
            scope = [(f"t.{c.name}", c.type) for c in table.columns]
        outputs = []
        for _ in range(self.random.randint(1, 4)):
            if self.chance(0.75):
                name = self.pick(scope)[0]
                if self.version >= 180000 and name.startswith("t.") and self.chance(0.25):
                    name = f"{self.pick(('old', 'new'))}{name[1:]}"
                outputs.append(name)
            else:
                outputs.append(self.expression(self.pick(("int", "text")), scope, 1))
        return f"{sql} returning {', '.join(outputs)}"

    def _value(self, column: Column, scope: Scope) -> str:
        if self.chance(0.08):
            return "default"
        value = self.expression(column.type, scope, 1)
        # Rather a value than an error: half of the not-null columns are made safe.
        return (
            value
            if column.nullable or self.chance(0.4)
            else f"coalesce({value}, {self.pick(LITERALS[column.type])})"
        )

    def _insert(self, table: Table, own: list[Column]) -> str:
        chosen = [c for c in own if not c.nullable or self.chance(0.7)] or own[:1]
        names = ", ".join(c.name for c in chosen)
        if self.chance(0.7):
            rows = [
                f"({', '.join(self._value(c, []) for c in chosen)})" for _ in range(self.pick((1, 1, 1, 2)))
            ]
            source = f"values {', '.join(rows)}"
        else:
            source, _ = self.query(1, [], simple=True, types=[c.type for c in chosen])
            if source.startswith("with "):
                source = f"select * from ({source}) as z"
        conflict = ""
        if table.keys and self.chance(0.5):
            conflict = " on conflict do nothing"
            if self.chance(0.7):
                column = self.pick(own)
                reach = [(f"t.{c.name}", c.type) for c in table.columns] + [
                    (f"excluded.{c.name}", c.type) for c in own
                ]
                where = f" where {self.condition(reach, 1)}" if self.chance(0.3) else ""
                assigned = f"{column.name} = {self._value(column, reach)}"
                conflict = f" on conflict ({', '.join(table.keys[0])}) do update set {assigned}{where}"
        return f"insert into {table.name} as t ({names}) {source}{conflict}"

    def statement(self) -> tuple[str, list[str]]:
        """One statement and the types of its parameters."""
        self.parameters, self._ctes, self._aliases = [], [], 0
        if self.chance(0.25):
            sql = self.write()
            if self.chance(0.15) and " returning " in sql:
                sql = f"with w as ({sql}) select * from w"
        elif self.chance(0.15):
            sql = self.by_key()
        else:
            sql, _ = self.query(2, [])
        # Parts of what was written have been thrown away: the parameters that are left are numbered anew.
        used = sorted({int(number) for number in re.findall(r"\$(\d+)", sql)})
        numbers = {old: new for new, old in enumerate(used, 1)}
        sql = re.sub(r"\$(\d+)", lambda match: f"${numbers[int(match[1])]}", sql)
        return sql, [self.parameters[number - 1] for number in used]

    def by_key(self) -> str:
        """A query that ought to find one row at most."""
        keyed = [t for t in self.tables if t.keys]
        if not keyed:
            return self.query(2, [])[0]
        table = self.pick(keyed)
        scope: Scope = [(f"a.{c.name}", c.type) for c in table.columns]
        types = {c.name: c.type for c in table.columns}
        conditions = [f"a.{name} = {self.expression(types[name], [], 0)}" for name in table.keys[0]]
        sql = f"{table.name} as a"
        if self.chance(0.6):
            other = self.pick(keyed)
            kinds = {c.name: c.type for c in other.columns}
            on = []
            for name in other.keys[0]:
                same = [n for n, t in scope if t == kinds[name]]
                on.append(f"b.{name} = {self.pick(same) if same else self.pick(LITERALS[kinds[name]])}")
            kind = self.pick(("left", "inner", "left", "full", "right"))
            sql += f" {kind} join {other.name} as b on {' and '.join(on)}"
            scope += [(f"b.{c.name}", c.type) for c in other.columns]
        outputs = ", ".join(self.pick(scope)[0] for _ in range(3))
        extra = f" and {self.condition(scope, 1)}" if self.chance(0.3) else ""
        return f"select {outputs} from {sql} where {' and '.join(conditions)}{extra}"
