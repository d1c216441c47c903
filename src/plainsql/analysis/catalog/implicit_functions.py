"""The functions that the server calls although no statement names them.

They belong to types, operators, aggregates and tables. An aggregate runs its support functions, a sort the
comparisons of an operator class, a cast to a domain the domain's checks, an insert the expressions of
indexes. Functions of the server that only compute are left out: in most databases little or nothing remains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from plainsql.analysis.catalog.definitions import FIRST_USER_OID
from plainsql.analysis.catalog.routines import Function, Routines
from plainsql.analysis.catalog.safe_functions import only_computes
from plainsql.analysis.nodes import Node, NodeTextError, read_tree

__all__ = [
    "ImplicitFunctions",
    "TableFunctions",
    "TypeFunctions",
    "load_implicit_functions",
    "operators_of_node",
]

_AGGREGATES = """
select a.aggfnoid::oid, f.oid
from pg_catalog.pg_aggregate as a
inner join pg_catalog.pg_type as t on t.oid = a.aggtranstype
left join pg_catalog.pg_operator as o on o.oid = a.aggsortop
cross join lateral (
  values (a.aggtransfn::oid), (a.aggfinalfn::oid), (a.aggcombinefn::oid), (a.aggserialfn::oid),
    (a.aggdeserialfn::oid), (a.aggmtransfn::oid), (a.aggminvtransfn::oid), (a.aggmfinalfn::oid),
    (o.oprcode::oid), (t.typinput::oid)
) as f (oid)
where a.aggfnoid::oid >= 16384 and f.oid <> 0
"""

# The state of an aggregate is a value that its first value is read into: a domain's checks run.
_AGGREGATE_STATES = """
select a.aggfnoid::oid, s.type
from pg_catalog.pg_aggregate as a
cross join lateral (values (a.aggtranstype), (a.aggmtranstype)) as s (type)
where a.aggfnoid::oid >= 16384 and s.type >= 16384
"""

_FAMILY_FUNCTIONS = """
select p.amprocfamily, p.amproc::oid from pg_catalog.pg_amproc as p where p.amproc::oid >= 16384
union
select a.amopfamily, o.oprcode::oid
from pg_catalog.pg_amop as a
inner join pg_catalog.pg_operator as o on o.oid = a.amopopr
where o.oprcode::oid >= 16384
"""

_OPERATOR_FAMILIES = (
    "select a.amopopr, a.amopfamily from pg_catalog.pg_amop as a where a.amopfamily = any(%s)"
)

# Comparisons of values, of arrays and of rows look up the default classes.
_DEFAULT_CLASSES = """
select c.opcintype, c.opcfamily
from pg_catalog.pg_opclass as c
inner join pg_catalog.pg_am as m on m.oid = c.opcmethod
where c.opcdefault and m.amname in ('btree', 'hash') and c.opcfamily = any(%s)
union
select r.type, c.opcfamily
from pg_catalog.pg_range as g
inner join pg_catalog.pg_opclass as c on c.oid = g.rngsubopc
cross join lateral (values (g.rngtypid), (g.rngmultitypid)) as r (type)
where c.opcfamily = any(%s)
"""

# Input and output in text and binary, and the other functions of a type; casts to JSON, which the JSON
# functions look up.
_TYPE_FUNCTIONS = """
select t.oid, f.oid
from pg_catalog.pg_type as t
cross join lateral (
  values (t.typinput::oid), (t.typoutput::oid), (t.typreceive::oid), (t.typsend::oid), (t.typmodin::oid),
    (t.typmodout::oid), (t.typsubscript::oid)
) as f (oid)
where f.oid >= 16384
union
select r.type, f.oid
from pg_catalog.pg_range as g
cross join lateral (values (g.rngtypid), (g.rngmultitypid)) as r (type)
cross join lateral (values (g.rngcanonical::oid), (g.rngsubdiff::oid)) as f (oid)
where f.oid >= 16384
union
select c.castsource, c.castfunc
from pg_catalog.pg_cast as c
where c.castfunc >= 16384 and c.casttarget in ('json'::regtype, 'jsonb'::regtype)
"""

_DOMAIN_CHECKS = """
select k.contypid, k.conbin::text
from pg_catalog.pg_constraint as k
where k.contypid <> 0 and k.conbin is not null
"""

_TYPE_DEFAULTS = """
select t.oid, t.typdefaultbin::text from pg_catalog.pg_type as t where t.typdefaultbin is not null
"""

# The types that other types are made of: arrays, domains, ranges, rows.
_TYPE_PARTS = """
select t.oid, t.typbasetype from pg_catalog.pg_type as t where t.typbasetype <> 0
union all
select t.oid, t.typelem from pg_catalog.pg_type as t where t.typelem <> 0
union all
select r.type, g.rngsubtype
from pg_catalog.pg_range as g
cross join lateral (values (g.rngtypid), (g.rngmultitypid)) as r (type)
union all
select c.reltype, a.atttypid
from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid
where c.reltype <> 0 and c.oid >= 16384 and a.attnum > 0 and not a.attisdropped
"""

_ARGUMENT_DEFAULTS = """
select p.oid, p.pronargs, p.proargdefaults::text
from pg_catalog.pg_proc as p
where p.oid >= 16384 and p.proargdefaults is not null
"""

# The types of a function's arguments and result: values of a declared type are made by a call.
_SIGNATURES = """
select p.oid, s.type
from pg_catalog.pg_proc as p
cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype) as s (type)
where p.oid >= 16384 and s.type = any(%s)
"""

_INDEX_EXPRESSIONS = """
select i.indrelid, coalesce(i.indexprs::text, ''), coalesce(i.indpred::text, ''),
  array(
    select c.opcfamily from unnest(i.indclass::oid[]) as u (oid)
    inner join pg_catalog.pg_opclass as c on c.oid = u.oid
  )
from pg_catalog.pg_index as i
where i.indrelid >= 16384 and (i.indexprs is not null or i.indpred is not null
  or exists (
    select from unnest(i.indclass::oid[]) as u (oid)
    inner join pg_catalog.pg_opclass as c on c.oid = u.oid
    where c.opcfamily = any(%s)
  ))
union all
select p.partrelid, coalesce(p.partexprs::text, ''), '',
  array(
    select c.opcfamily from unnest(p.partclass::oid[]) as u (oid)
    inner join pg_catalog.pg_opclass as c on c.oid = u.oid
  )
from pg_catalog.pg_partitioned_table as p
"""

# The planner also reads these of any table in a statement, in addition to those of indexes and partitions.
_PLANNED_EXPRESSIONS = """
select k.conrelid, k.conbin::text
from pg_catalog.pg_constraint as k
where k.contype = 'c' and k.conrelid >= 16384
union all
select s.stxrelid, s.stxexprs::text from pg_catalog.pg_statistic_ext as s where s.stxexprs is not null
"""

_USER_FUNCTION_CALL = re.compile(r":(?:funcid|opfuncid|opno) [1-9]\d{4}")
"""A call of a function or an operator that is not the server's own, in its node format."""

_TRIGGER_CONDITIONS = """
select t.tgrelid, t.tgname, t.tgqual::text
from pg_catalog.pg_trigger as t
where t.tgqual is not null and not t.tgisinternal
"""

_CALLING_FIELDS = ("opno", "eqop", "sortop", "cycle_mark_neop")


@dataclass(slots=True)
class TypeFunctions:
    """The functions and checks of a type, and of the types that it is made of."""

    functions: set[int] = field(default_factory=set)
    """Functions for input, output and comparison: they may run wherever a value of the type is used."""
    checks: set[str] = field(default_factory=set)
    """The checks of domains, in the server's node format: they run when a value is made."""


@dataclass(slots=True)
class TableFunctions:
    """The expressions and functions that are evaluated when rows of a table are written."""

    expressions: list[str] = field(default_factory=list)
    """The expressions of indexes, of their conditions and of the partition key, in the server's node format.
    """
    functions: set[int] = field(default_factory=set)
    """Functions of the operator classes of its indexes."""
    conditions: dict[str, str] = field(default_factory=dict)
    """The ``when`` conditions by trigger."""


@dataclass(slots=True)
class ImplicitFunctions:
    """All implicit functions of one database."""

    aggregates: dict[int, set[int]] = field(default_factory=dict)
    """The support functions of each aggregate."""
    state_types: dict[int, set[int]] = field(default_factory=dict)
    """The types of each aggregate's state."""
    operators: dict[int, set[int]] = field(default_factory=dict)
    """For each operator, the functions of its families and mates, which a plan may use in its place."""
    arguments: dict[int, tuple[int, str]] = field(default_factory=dict)
    """For each function, the number of its arguments and the defaults of those that are left out."""
    types: dict[int, TypeFunctions] = field(default_factory=dict)
    signatures: dict[int, set[int]] = field(default_factory=dict)
    """For each function, those of ``types`` that its arguments and its result have."""
    defaults: dict[int, str] = field(default_factory=dict)
    """The default of each domain, in the server's node format."""
    tables: dict[int, TableFunctions] = field(default_factory=dict)
    planned: dict[int, set[str]] = field(default_factory=dict)
    """For each table, its expressions with users' functions: the planner simplifies them for each statement.
    """
    operator_functions: set[int] = field(default_factory=set)
    """The functions behind operators and casts that do more than compute."""


def load_implicit_functions(connection: Connection[Any], routines: Routines) -> ImplicitFunctions:
    """Read all of them, with one query each."""

    def rows(query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode(), parameters or None).fetchall()

    def counts(oid: int) -> bool:
        function = routines.functions.get(oid)
        if function is None:
            return True
        # An extension's functions for its types are input, output and comparison: there its label is trusted.
        # A call of a function of an unknown extension may do anything.
        return not only_computes(function) and not (function.extension and function.volatility != "volatile")

    found = ImplicitFunctions()
    for aggregate, oid in rows(_AGGREGATES):
        if counts(oid):
            found.aggregates.setdefault(aggregate, set()).add(oid)
    for aggregate, type_ in rows(_AGGREGATE_STATES):
        found.state_types.setdefault(aggregate, set()).add(type_)
    families: dict[int, set[int]] = {}
    for family, oid in rows(_FAMILY_FUNCTIONS):
        if counts(oid):
            families.setdefault(family, set()).add(oid)
    if families:
        for operator, family in rows(_OPERATOR_FAMILIES, list(families)):
            found.operators.setdefault(operator, set()).update(families[family])
        for type_, family in rows(_DEFAULT_CLASSES, list(families), list(families)):
            found.types.setdefault(type_, TypeFunctions()).functions.update(families[family])
    for operator in routines.operators.values():
        # The planner turns `not (a = b)` into `a <> b`, and swaps sides.
        for mate in (operator.commutator, operator.negator):
            known = routines.operators.get(mate)
            if (
                mate >= FIRST_USER_OID
                and mate != operator.oid
                and known is not None
                and counts(known.function)
            ):
                found.operators.setdefault(operator.oid, set()).add(known.function)
    for type_, oid in rows(_TYPE_FUNCTIONS):
        if counts(oid):
            found.types.setdefault(type_, TypeFunctions()).functions.add(oid)
    for type_, text in rows(_DOMAIN_CHECKS):
        if _calls_more_than_builtins(text, routines):
            found.types.setdefault(type_, TypeFunctions()).checks.add(text)
    if found.types:
        _add_parts(found.types, rows(_TYPE_PARTS))
        for function, type_ in rows(_SIGNATURES, list(found.types)):
            found.signatures.setdefault(function, set()).add(type_)
    for type_, text in rows(_TYPE_DEFAULTS):
        found.defaults[type_] = text
    for function, count, text in rows(_ARGUMENT_DEFAULTS):
        found.arguments[function] = (count, text)
    for table, expressions, condition, classes in rows(_INDEX_EXPRESSIONS, list(families)):
        of = found.tables.setdefault(table, TableFunctions())
        of.expressions += [text for text in (expressions, condition) if text]
        of.functions |= set[int]().union(*(families.get(family, ()) for family in classes))
    stored = [(table, text) for table, of in found.tables.items() for text in of.expressions]
    for table, text in [*stored, *rows(_PLANNED_EXPRESSIONS)]:
        if _USER_FUNCTION_CALL.search(text):
            found.planned.setdefault(table, set()).add(text)
    for table, trigger, text in rows(_TRIGGER_CONDITIONS):
        found.tables.setdefault(table, TableFunctions()).conditions[trigger] = text
    operator_functions = {operator.function for operator in routines.operators.values()} | set(
        routines.casts.values()
    )
    found.operator_functions = {oid for oid in operator_functions if oid >= FIRST_USER_OID and counts(oid)}
    return found


def operators_of_node(node: Node) -> Iterable[int]:
    """Return the operators by which a node compares, sorts or groups, in addition to the functions that it
    names.
    """
    for name in _CALLING_FIELDS:
        if number := node.number(name):
            yield number
    yield from node.numbers("opnos")


def _calls_more_than_builtins(text: str, routines: Routines) -> bool:
    """Return whether an expression contains anything but the server's own computing."""
    try:
        tree = read_tree(text)
    except NodeTextError:
        return True
    if not isinstance(tree, Node):
        return True
    return any(_node_calls_more(node, routines) for node in tree.walk())


def _node_calls_more(node: Node, routines: Routines) -> bool:
    if node.kind in ("COERCETODOMAIN", "COERCEVIAIO", "SUBLINK", "SQLVALUEFUNCTION"):
        return True
    names = ("funcid", "opfuncid", "aggfnoid", "winfnoid")
    functions: list[Function | None] = [
        routines.functions.get(oid) for name in names if (oid := node.number(name))
    ]
    for operator in operators_of_node(node):
        known = routines.operators.get(operator)
        functions.append(routines.functions.get(known.function) if known is not None else None)
    return any(function is None or not only_computes(function) for function in functions)


def _add_parts(types: dict[int, TypeFunctions], parts: list[tuple[int, int]]) -> None:
    """Add the functions and checks of each part to the types that are made of it."""
    wholes: dict[int, list[int]] = {}
    for whole, part in parts:
        wholes.setdefault(part, []).append(whole)
    pending = list(types)
    while pending:
        part = pending.pop()
        for whole in wholes.get(part, ()):
            of, carried = types.setdefault(whole, TypeFunctions()), types[part]
            if carried.functions <= of.functions and carried.checks <= of.checks:
                continue
            of.functions |= carried.functions
            of.checks |= carried.checks
            pending.append(whole)
