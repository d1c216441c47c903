"""Random schemas, data full of nulls and unmatched rows, and statements over them.

Everything comes from one ``random.Random``: the same seed makes the same case. The grammar is typed, so
that nearly every statement is one that PostgreSQL accepts.
"""

from __future__ import annotations

import re

from tests.analysis.generate_expressions import LITERALS, SQL_TYPES, TYPES, Column, Schema, Scope, Table
from tests.analysis.generate_queries import Queries
from tests.analysis.generate_triggers import Triggers

__all__ = ["SQL_TYPES", "Generator", "Schema"]

DOMAINS = {"int": ("positive",), "text": ("present", "noted")}


class Generator(Queries, Triggers):
    """The generator of cases for one server version."""

    def schema(self) -> Schema:
        statements = [
            "create type mood as enum ('sad', 'ok', 'happy')",
            "create domain positive as integer check (value > 0)",
            "create domain present as text not null",
            "create domain noted as text not null default 'n'",
            "create function plus(a int, b int default 1) returns int language sql as 'select a + b'",
            "create function page(n int) returns bigint language sql immutable as 'select n + 1::bigint'",
            "create aggregate adding(int) (sfunc = int4pl, stype = int)",
        ]
        rows: list[str] = []
        self.tables = []
        for number in range(self.random.randint(2, 4)):
            table, ddl = self._table(f"t{number}")
            statements.append(ddl)
            self.tables.append(table)
            if self.chance(0.5):
                statements.append(self._unique_index(table))
        rows = [row for table in self.tables for row in self._rows(table)]
        statements += [sql for table in self.tables for sql in self._references(table)]
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
        if self.chance(0.6):
            statements.append(self._outer_join_view())
        # After the rows: they are the data on which the triggers are tried.
        for number, table in enumerate(self.tables):
            if not table.view and self.chance(0.35):
                rows += self.trigger(table, number)
        return Schema(statements, self.tables, rows)

    def _outer_join_view(self) -> str:
        """Make a view over an outer join: read twice, it has outer joins of two readers."""
        one, other = (self.pick([t for t in self.tables if not t.view]) for _ in range(2))
        word = self.pick(("full", "full", "left"))
        columns = [Column("l", "int"), Column("r", "int")]
        self.tables.append(Table("joined", columns, view=True))
        return (
            f"create view joined as select a.id as l, b.id as r"
            f" from {one.name} as a {word} join {other.name} as b on a.id = b.id"
        )

    def _table(self, name: str) -> tuple[Table, str]:
        columns = [Column("id", "int", nullable=not self.chance(0.8))]
        for i in range(self.random.randint(2, 5)):
            type_ = self.pick(TYPES) if self.chance(0.6) else self.pick(("int", "text"))
            columns.append(Column(f"c{i}", type_, nullable=self.chance(0.6)))
        parts = []
        keys: list[tuple[str, ...]] = []
        for column in columns:
            sql_type = SQL_TYPES[column.type]
            if column.name != "id" and column.type in DOMAINS and self.chance(0.15):
                sql_type = self.pick(DOMAINS[column.type])
                column.nullable = column.nullable and sql_type == "positive"
            part = f"{column.name} {sql_type}"
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

    def _references(self, table: Table) -> list[str]:
        """Make foreign keys of a table to the ``id`` of other tables."""
        found = []
        for column in table.columns:
            targets = [t for t in self.tables if t.keys and t.keys[0] == ("id",) and t is not table]
            if column.type != "int" or column.name == "id" or not targets or not self.chance(0.5):
                continue
            target = self.pick(targets)
            action = self.pick(("", "", " on delete cascade", " on delete set null"))
            deferred = self.pick(("", "", "", " deferrable", " not valid"))
            if action.endswith("null") and column.generated:
                action = ""
            table.references.append((column.name, target.name, not deferred))
            found.append(
                f"alter table {table.name} add foreign key ({column.name})"
                f" references {target.name} (id){action}{deferred}"
            )
        return found

    def _unique_index(self, table: Table) -> str:
        """Make a unique index on an expression, on some rows, or with equal nulls."""
        keyed = [c for c in table.columns if c.type in ("int", "text")]
        column, other = self.pick(keyed), self.pick(table.columns)
        value, name = f"{{{column.type}}}", column.name
        match self.random.randint(0, 4):
            case 0:
                call = f"coalesce({{t}}{name}, {LITERALS[column.type][0]})"
                table.lookups.append((f"{call} = {value}",))
                return f"create unique index on {table.name} (({call.format(t='')}))"
            case 1 if column.type == "text":
                table.lookups.append((f"upper({{t}}{name}) = {value}",))
                return f"create unique index on {table.name} (upper({name}))"
            case 2:
                table.lookups.append((f"{{t}}{name} = {value}", f"{{t}}{other.name} is null"))
                table.lookups.append((f"{{t}}{other.name} is null", f"{{t}}{name} is null"))
                return f"create unique index on {table.name} ({name}, {other.name}) nulls not distinct"
            case _:
                word = self.pick(("is null", "is not null", "is not distinct from null"))
                table.lookups.append((f"{{t}}{name} = {value}", f"{{t}}{other.name} {word}"))
                return f"create unique index on {table.name} ({name}) where {other.name} {word}"

    def _lookup(self, table: Table, alias: str) -> list[str]:
        """Make conditions that find one row of a table, or nearly."""
        types = {c.name: c.type for c in table.columns}
        if table.lookups and (not table.keys or self.chance(0.6)):
            parts = [
                part.format(
                    t=f"{alias}.", int=self.expression("int", [], 0), text=self.expression("text", [], 0)
                )
                for part in self.pick(table.lookups)
            ]
            return parts if self.chance(0.8) else parts[:1]
        return [f"{alias}.{name} = {self.expression(types[name], [], 0)}" for name in table.keys[0]]

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

    def write(self) -> str:
        """Make a statement that writes, with ``returning``."""
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
            before = ""
            if self.chance(0.4):
                given = [self._value(c, []) for c in own if c.type in ("int", "text")]
                types = [c.type for c in own if c.type in ("int", "text")]
                given = [
                    f"({v})::{SQL_TYPES[t]}" if v != "default" else "null"
                    for v, t in zip(given, types, strict=True)
                ]
                names = ", ".join(f"m{i}" for i in range(len(given)))
                inner = f"(values ({', '.join(given)})) as s ({names})"
                if self.chance(0.3):
                    before, inner = f"with s ({names}) as (values ({', '.join(given)})) ", "s"
                extra = [(f"s.m{i}", t) for i, t in enumerate(types)]
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
            sql = f"{before}merge into {target} using {inner} on t.id = {self.pick(ints)} {' '.join(actions)}"
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
        # A value is better than an error: half of the not-null columns are made safe.
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
            if len(rows) == 1 and self.chance(0.15):
                values = [
                    self.returned_set([]) if c.type == "int" and self.chance(0.6) else self._value(c, [])
                    for c in chosen
                ]
                source = f"values ({', '.join(values)})"
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
        """Make one statement, with the types of its parameters."""
        self.parameters, self._ctes, self._aliases = [], [], 0
        if self.chance(0.25):
            sql = self.write()
            if self.chance(0.15) and " returning " in sql:
                sql = f"with w as ({sql}) select * from w"
        elif self.chance(0.15):
            sql = self.by_key()
        else:
            sql, _ = self.query(2, [])
        # Parts of the text have been dropped: the remaining parameters are numbered again.
        used = sorted({int(number) for number in re.findall(r"\$(\d+)", sql)})
        numbers = {old: new for new, old in enumerate(used, 1)}
        sql = re.sub(r"\$(\d+)", lambda match: f"${numbers[int(match[1])]}", sql)
        return sql, [self.parameters[number - 1] for number in used]

    def by_key(self) -> str:
        """Make a query that should find one row at most."""
        keyed = [t for t in self.tables if t.keys or t.lookups]
        if not keyed:
            return self.query(2, [])[0]
        table = self.pick(keyed)
        scope: Scope = [(f"a.{c.name}", c.type) for c in table.columns]
        conditions = self._lookup(table, "a")
        sql = f"{table.name} as a"
        if self.chance(0.6):
            other = self.pick(keyed)
            kinds = {c.name: c.type for c in other.columns}
            on = []
            for name in other.keys[0] if other.keys else ():
                same = [n for n, t in scope if t == kinds[name]]
                on.append(f"b.{name} = {self.pick(same) if same else self.pick(LITERALS[kinds[name]])}")
            if not on or (other.lookups and self.chance(0.5)):
                on = self._lookup(other, "b")
            kind = self.pick(("left", "inner", "left", "full", "right"))
            sql += f" {kind} join {other.name} as b on {' and '.join(on)}"
            scope += [(f"b.{c.name}", c.type) for c in other.columns]
        outputs = ", ".join(self.pick(scope)[0] for _ in range(3))
        extra = f" and {self.condition(scope, 1)}" if self.chance(0.3) else ""
        return f"select {outputs} from {sql} where {' and '.join(conditions)}{extra}"
