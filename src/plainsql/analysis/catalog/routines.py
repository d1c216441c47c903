"""The functions and operators of a database, and the operators that an index uses as equality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from plainsql.analysis.model import Volatility

__all__ = ["Function", "Operator", "Routines", "load_routines"]

# A function of an extension is trusted by the extension's name: `deptype` e ties the object to it.
_FUNCTIONS = """
select p.oid, n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes), p.prokind, p.provolatile,
  p.proisstrict, p.proretset, l.lanname, p.prorettype, coalesce(e.extname, ''),
  case when p.oid >= 16384 then coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), '') else '' end
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
left join pg_catalog.pg_depend as d
  on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
left join pg_catalog.pg_extension as e on e.oid = d.refobjid
"""

_OPERATORS = """
select o.oid, n.nspname, o.oprname, o.oprcode::oid, o.oprcom, o.oprnegate, o.oprleft, o.oprright
from pg_catalog.pg_operator as o
inner join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
"""

# Every search operator of a btree or hash index, and every ordering operator of any.
_INDEX_OPERATORS = """
select a.amopopr, a.amopfamily, a.amopstrategy::int, m.amname, a.amoppurpose
from pg_catalog.pg_amop as a
inner join pg_catalog.pg_am as m on m.oid = a.amopmethod
"""

_COLLATIONS = "select c.oid from pg_catalog.pg_collation as c where not c.collisdeterministic"

# Casts by function are as safe as the function; binary casts (no function) keep null null and the rest not
# null.
_CASTS = "select c.castsource, c.casttarget, c.castfunc from pg_catalog.pg_cast as c"

_VOLATILITY: dict[str, Volatility] = {"i": "immutable", "s": "stable", "v": "volatile"}


@dataclass(frozen=True, slots=True)
class Function:
    """A function, aggregate or procedure."""

    oid: int
    schema: str
    name: str
    arguments: str
    """The argument types as SQL writes them: ``text, integer``."""
    kind: str
    """``f`` function, ``a`` aggregate, ``w`` window function, ``p`` procedure."""
    volatility: Volatility
    strict: bool
    returns_set: bool
    language: str
    result: int
    extension: str
    """The extension that it belongs to; empty for functions of the server and of users."""
    comment: str = ""
    """The text of ``comment on function``; empty for the server's own."""

    def __str__(self) -> str:
        prefix = "" if self.schema == "pg_catalog" else f"{self.schema}."
        return f"{prefix}{self.name}({self.arguments})"

    @property
    def is_builtin(self) -> bool:
        """Return whether it belongs to the server itself, whose behaviour is known."""
        return self.schema == "pg_catalog" and self.oid < 16384


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator and the function behind it."""

    oid: int
    schema: str
    name: str
    function: int
    commutator: int
    negator: int
    left: int
    right: int


class Routines:
    """All functions and operators of one database."""

    def __init__(
        self,
        functions: dict[int, Function],
        operators: dict[int, Operator],
        index_operators: list[tuple[int, int, int, str, str]],
        nondeterministic: frozenset[int],
        casts: dict[tuple[int, int], int],
    ) -> None:
        self.functions = functions
        self.operators = operators
        self.nondeterministic_collations = nondeterministic
        self.casts = casts
        self.index_operators = index_operators
        self._named: dict[str, list[Function]] | None = None
        self._operators_of: dict[int, list[Operator]] = {}
        for operator in operators.values():
            self._operators_of.setdefault(operator.function, []).append(operator)
        self.search_families: dict[int, set[int]] = {}
        """The families of any method in which an operator is a search operator."""
        self.ordering_families: dict[int, set[int]] = {}
        """The families in which an operator can order an index scan, by a distance."""
        self.families_of_equality: dict[int, set[int]] = {}
        """The btree operator families in which an operator is the equality."""
        self.comparisons: set[int] = set()
        """The functions behind the operators of btree and hash families: by contract they never return null.
        """
        for oid, family, strategy, method, purpose in index_operators:
            by_purpose = self.search_families if purpose == "s" else self.ordering_families
            by_purpose.setdefault(oid, set()).add(family)
            if purpose != "s" or method not in ("btree", "hash"):
                continue
            if method == "btree" and strategy == 3 and self._is_exact(oid):
                self.families_of_equality.setdefault(oid, set()).add(family)
            for mate in (oid, operators[oid].negator if oid in operators else 0):
                if mate in operators:
                    self.comparisons.add(operators[mate].function)

    def _is_exact(self, operator: int) -> bool:
        """Return whether equality depends on the two values alone.

        It does not for timestamps with and without time zone. In the hour in which clocks go
        forward, two timestamps equal the same one with time zone.
        """
        known = self.operators.get(operator)
        function = self.functions.get(known.function) if known is not None else None
        return function is not None and function.volatility == "immutable"

    def operators_of(self, function: int) -> list[Operator]:
        """Return the operators that call a function."""
        return self._operators_of.get(function, [])

    def named(self, name: str) -> list[Function]:
        """Return the functions of this name, in any schema."""
        if self._named is None:
            self._named = {}
            for function in self.functions.values():
                self._named.setdefault(function.name, []).append(function)
        return self._named.get(name, [])

    def has_volatile_operators(self) -> bool:
        """Return whether a user has made an operator or cast whose function may do more than compute."""
        behind = {operator.function for operator in self.operators.values()} | set(self.casts.values())
        users = (self.functions[oid] for oid in behind if oid in self.functions)
        return any(f.volatility == "volatile" and not f.is_builtin and not f.extension for f in users)


def load_routines(connection: Connection[Any]) -> Routines:
    """Read all functions, operators and casts, with one query each."""
    functions: dict[int, Function] = {}
    for oid, schema, name, arguments, kind, volatility, *rest in connection.execute(_FUNCTIONS):
        functions[oid] = Function(oid, schema, name, arguments, kind, _VOLATILITY[volatility], *rest)
    return Routines(
        functions,
        {row[0]: Operator(*row) for row in connection.execute(_OPERATORS)},
        connection.execute(_INDEX_OPERATORS).fetchall(),
        frozenset(row[0] for row in connection.execute(_COLLATIONS)),
        {(row[0], row[1]): row[2] for row in connection.execute(_CASTS)},
    )
