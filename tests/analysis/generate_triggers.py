"""Random trigger functions, with returns and assignments in forms that are understood and in others."""

from __future__ import annotations

from tests.analysis.generate_expressions import LITERALS, Column, Expressions, Table

_OPAQUE = (
    "declare r record; begin r := new; r.{column} := null; return r; end",
    "begin perform 1 / 0; return new; exception when others then return old; end",
    "begin return coalesce(old, new); end",
    "begin new.{column} := (select null); return new; end",
    "begin if new.{column} is null then raise exception 'no'; end if; return new; end",
)


class Triggers(Expressions):
    """The generator of row triggers."""

    def trigger(self, table: Table, number: int) -> list[str]:
        """Make a function and the trigger of a table that calls it."""
        name = f"f{number}"
        columns = [column for column in table.columns if not column.generated]
        closes = (
            f"begin if old.{self.pick(columns).name} is null then {self._return()} end if; return new; end"
        )
        body = (
            closes
            if self.chance(0.3)
            else (
                self.pick(_OPAQUE).format(column=self.pick(columns).name)
                if self.chance(0.15)
                else f"begin {self._statements(columns, 2)} {self._return()} end"
            )
        )
        events = " or ".join(self.random.sample(("insert", "update", "delete"), self.random.randint(1, 3)))
        when = "after" if self.chance(0.1) else "before"
        return [
            f"create function {name}() returns trigger language plpgsql as $${body}$$",
            f"create trigger {name} {when} {events} on {table.name} for each row execute function {name}()",
        ]

    def _statements(self, columns: list[Column], depth: int) -> str:
        parts = []
        for _ in range(self.random.randint(0, 2)):
            if depth and self.chance(0.6):
                otherwise = f" else {self._statements(columns, depth - 1)}" if self.chance(0.3) else ""
                ends = self._return() if self.chance(0.7) else ""
                parts.append(
                    f"if {self._test(columns)} then {self._statements(columns, depth - 1)} {ends}"
                    f"{otherwise} end if;"
                )
            else:
                column = self.pick(columns)
                literal = self.pick(LITERALS[column.type]).removeprefix("date ").partition("::")[0]
                value = self.pick(
                    ("null", literal, f"coalesce(new.{column.name}, {literal})", f"old.{column.name}")
                )
                if value != "null" and column.type in ("jsonb", "ints", "mood", "date"):
                    value = f"old.{column.name}"
                parts.append(f"new.{column.name} := {value};")
        return " ".join(parts)

    def _test(self, columns: list[Column]) -> str:
        name = self.pick(columns).name
        events = ("INSERT", "UPDATE", "DELETE")
        return self.pick(
            (
                f"tg_op = '{self.pick(events)}'",
                f"tg_op = '{self.pick(events)}' and new.{name} is not null",
                f"new.{name} is null",
                f"old.{name} is not null",
                f"new.{name} is distinct from old.{name}",
                "new.id = 1",
                "old.id in (1, 2)",
            )
        )

    def _return(self) -> str:
        return f"return {self.pick(('new', 'new', 'new', 'old', 'null'))};"
