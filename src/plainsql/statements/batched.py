"""The text of the batched statement: one read for many sets of parameters.

Each set is a row of ``unnest`` over arrays of the parameters. The query is a lateral sub-select, in which
each parameter is that row's column. It is planned with the same indexes as the query alone: a lateral
sub-select runs for each row, with the row's values as the index's keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from plainsql.statements.variants import Variant

__all__ = ["PARAMETER_TYPES", "ParameterType", "batched_sql"]

# No query contains these names by chance. A name that a query may contain, such as a column's, could be
# resolved here to something else than in the query alone, as in ``select row_to_json(n) from notes as n``.
_CALLS = "plainsql_call"
_READ = "plainsql_read"
_NUMBER = "plainsql_number"

# A type's name as a cast takes it. With the type modifier -1, `format_type` returns `bpchar` and not
# `character`, which a cast would read as `character(1)`. A domain has its base type's category.
PARAMETER_TYPES = """
select pg_catalog.format_type(t.oid, -1), t.typcategory = 'A', t.typcategory = 'C'
from unnest($1::oid[]) with ordinality as p (oid, n)
inner join pg_catalog.pg_type as t on t.oid = p.oid
order by p.n
"""
"""The `ParameterType` of each of an array of oids, in its order."""


class ParameterType(NamedTuple):
    """The facts of a parameter's type that decide how to make arrays of it."""

    name: str
    """The name in a cast: ``uuid``, ``text[]``, ``shop.mood``."""
    is_array: bool
    is_composite: bool


def batched_sql(variant: Variant, types: Sequence[ParameterType]) -> str:
    """Return the text of the batched statement.

    Its arguments are, for each parameter in order, the array of its values. A parameter that is an array
    itself has
    three: all elements in one array, and two arrays of ``int4`` with each call's bounds in it. Without
    parameters there is one argument, an array of ``int4`` with an element for each call. The last column is
    the call's number, from 1.
    """
    sources: list[str] = []
    names: list[str] = []
    made: list[str] = []
    """Columns that ``unnest`` does not return as they are."""
    number = 0
    for index, type_ in enumerate(types, 1):
        if type_.is_array:
            # Arrays of different lengths do not stack.
            sources += [f"${number + 2}::int4[]", f"${number + 3}::int4[]"]
            names += [f"plainsql_low{index}", f"plainsql_high{index}"]
            made.append(
                f"(${number + 1}::{type_.name})[plainsql_low{index}:plainsql_high{index}] as plainsql_{index}"
            )
            number += 3
        elif type_.is_composite:  # `unnest` would return a column for each of its fields
            made.append(f"(${number + 1}::{type_.name}[])[{_NUMBER}] as plainsql_{index}")
            sources.append(f"array_fill(0, array[coalesce(cardinality(${number + 1}::{type_.name}[]), 0)])")
            names.append(f"plainsql_same{index}")
            number += 1
        else:
            sources.append(f"${number + 1}::{type_.name}[]")
            names.append(f"plainsql_{index}")
            number += 1
    if not sources:
        sources, names = ["$1::int4[]"], ["plainsql_0"]
    # `(select …)` hides the arrays' lengths from the planner. For a few calls it would find a plan that is
    # cheaper than the generic one, which assumes ten, and plan each statement again.
    calls = f"unnest({', '.join(f'(select {source})' for source in sources)}) with ordinality"
    alias = f"({', '.join(names)}, {_NUMBER})"
    if made:
        # `offset 0` keeps the slices out of the query, which would make each of them for every row that it
        # scans.
        taken = [
            name for name in names if not name.startswith(("plainsql_low", "plainsql_high", "plainsql_same"))
        ]
        columns = ", ".join([*taken, *made, _NUMBER])
        calls = f"(select {columns} from {calls} as plainsql_raw {alias} offset 0)"
        alias = ""
    expressions = {name: f"{_CALLS}.plainsql_{index}" for index, name in enumerate(variant.parameters, 1)}
    return (
        f"select {_READ}.*, {_CALLS}.{_NUMBER}::int4\n"
        f"from {calls} as {_CALLS} {alias}\n"
        f"cross join lateral (\n{variant.substituted(expressions)}\n) as {_READ}"
    )
