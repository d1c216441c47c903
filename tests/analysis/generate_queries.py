"""Random queries: aggregates, windows, set operations and ``with``."""

from __future__ import annotations

from tests.analysis.generate_expressions import LITERALS, TYPES, Column, Expressions, Scope, Table

COUNTS = (
    "1",
    "1",
    "1",
    "2",
    "0",
    "0.4",
    "1.4",
    "1::smallint",
    "null",
    "page(0)",
    "abs(-1::bigint)",
    "(select 1)",
)


class Queries(Expressions):
    """The generator of queries."""

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
        if not simple and not plain and self.chance(0.05):
            at = [i for i, t in enumerate(wanted) if t == "int"]
            for i in self.random.sample(at, min(len(at), self.random.randint(1, 2))):
                outputs[i] = self.returned_set(reach)
        if self.chance(0.1):
            tail += f" limit {self.pick(COUNTS)}"
            if self.chance(0.2):
                tail += f" offset {self.pick(COUNTS)}"
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
        if self.chance(0.08):
            grouping = (
                f"{grouping}, {self.returned_set(columns)}"
                if grouping
                else (f" group by {self.returned_set(columns)}")
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
                            f"adding({value('int')})",
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
