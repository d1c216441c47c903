"""Parts of a schema that the oldest server in production does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_versions import first_major
from plainsql.analysis.findings.server_findings import grammar_of, major_of_call
from plainsql.analysis.nodes import Node, read_tree

__all__ = ["SchemaVersion", "schema_versions"]


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A part of the schema, and the first major that has what it is made with."""

    schema: str
    name: str
    """The table, view or other object that it belongs to."""
    what: str
    major: int


def _query(value: str, source: str, relation: str, where: str = "true") -> str:
    """Return a query for a value of each row of a source, with the user's relation that it belongs to."""
    return f"""
select n.nspname, c.relname, {value}
from pg_catalog.{source}
inner join pg_catalog.pg_class as c on c.oid = {relation}
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and {where}"""


_CONSTRAINT: Final = ("pg_constraint as k", "k.conrelid")
_ATTRIBUTE: Final = ("pg_attribute as a", "a.attrelid")
_OPTION: Final = "array(select split_part(o, '=', 1) from unnest(v.reloptions) as o)"
_PERIOD: Final = "case k.contype when 'f' then 'a key with period' else 'without overlaps' end"

_PARTS: Final = {
    15: (
        _query("'nulls not distinct'", "pg_index as i", "i.indrelid", "i.indnullsnotdistinct"),
        _query("'security_invoker'", "pg_class as v", "v.oid", f"'security_invoker' = any({_OPTION})"),
        _query("'on delete set of some columns'", *_CONSTRAINT, "k.confdelsetcols is not null"),
    ),
    17: (
        _query(
            "'an exclusion constraint of partitions'", *_CONSTRAINT, "k.contype = 'x' and c.relkind = 'p'"
        ),
        _query("'an identity of partitions'", *_ATTRIBUTE, "a.attidentity <> '' and c.relkind = 'p'"),
    ),
    18: (
        _query("'a virtual generated column'", *_ATTRIBUTE, "a.attgenerated = 'v' and not a.attisdropped"),
        _query(_PERIOD, *_CONSTRAINT, "k.conperiod"),
        _query("'a constraint that is not enforced'", *_CONSTRAINT, "not k.conenforced"),
        _query("'a not valid not-null constraint'", *_CONSTRAINT, "k.contype = 'n' and not k.convalidated"),
    ),
}
"""By the major that has them first, the queries for the parts of the schema, with the object and the name."""

_TREES: Final = (
    _query("d.adbin::text", "pg_attrdef as d", "d.adrelid"),
    _query("k.conbin::text", *_CONSTRAINT, "k.conbin is not null"),
    _query("i.indexprs::text", "pg_index as i", "i.indrelid", "i.indexprs is not null"),
    _query("i.indpred::text", "pg_index as i", "i.indrelid", "i.indpred is not null"),
    _query("p.polqual::text", "pg_policy as p", "p.polrelid", "p.polqual is not null"),
    _query("p.polwithcheck::text", "pg_policy as p", "p.polrelid", "p.polwithcheck is not null"),
    _query("r.ev_action::text", "pg_rewrite as r", "r.ev_class", "c.relkind in ('v', 'm')"),
)
"""The queries for the expressions of a schema: defaults, checks, indexes, policies and views."""

_FUNCTIONS: Final = """
select p.oid, p.proname, pg_catalog.oidvectortypes(p.proargtypes)
from pg_catalog.pg_proc as p
where p.pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384
"""

_OPERATORS: Final = "select o.oid, o.oprcode::oid from pg_catalog.pg_operator as o where o.oid < 16384"


def schema_versions(connection: Any, oldest: int) -> Iterator[SchemaVersion]:
    """Yield the parts of a scratch database that a server of the major ``oldest`` does not have.

    The bodies of functions are texts, and are not read.
    """
    version = connection.info.server_version // 10000
    for major, queries in _PARTS.items():
        for query in queries if oldest < major <= version else ():
            for schema, name, what in connection.execute(query.encode()):
                yield SchemaVersion(schema, name, what, major)
    functions = {
        oid: Function(oid, "pg_catalog", name, arguments, "f", "immutable", False, False, "", 0, "")
        for oid, name, arguments in connection.execute(_FUNCTIONS.encode())
        if first_major("function", f"{name}({arguments})") > oldest
    }
    operators = {oid: function for oid, function in connection.execute(_OPERATORS) if function in functions}
    for query in _TREES:
        for schema, name, text in connection.execute(query.encode()):
            for what, major in _needs(text, functions, operators):
                if major > oldest:
                    yield SchemaVersion(schema, name, what, major)


def _needs(text: str, functions: dict[int, Function], operators: dict[int, int]) -> Iterator[tuple[str, int]]:
    """Yield what an expression or a view needs, with the first major that has it."""
    tree = read_tree(text)
    roots = tree if isinstance(tree, list) else [tree]
    for root in roots:
        for node in root.walk() if isinstance(root, Node) else ():
            if (found := grammar_of(node)) is not None:
                yield found
                continue
            oid = next((n for f in ("funcid", "aggfnoid", "winfnoid") if (n := node.number(f))), 0)
            function = functions.get(oid or operators.get(node.number("opno"), 0))
            if function is not None:
                yield (
                    f"{function.name}({function.arguments})",
                    major_of_call(function, len(node.nodes("args"))),
                )
