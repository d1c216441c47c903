"""The tenant of the rows that row-level security shows and accepts."""

from __future__ import annotations

from typing import Final, Literal

from plainsql.analysis.catalog.relations import Policy, Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import equality_families, strip_relabel
from plainsql.analysis.distribution.tenant_values import TenantValue, TenantValues
from plainsql.analysis.nodes import Node, conjuncts, read_tree
from plainsql.analysis.tree.query_tree import Scope

__all__ = ["PolicyEvent", "policy_values"]

PolicyEvent = Literal["select", "insert", "update", "delete"]

_COMMANDS: Final[dict[PolicyEvent, str]] = {"select": "r", "insert": "a", "update": "w", "delete": "d"}
"""``pg_policy.polcmd``."""


def policy_values(
    catalog: Catalog,
    values: TenantValues,
    relation: Relation,
    column: int,
    scope: Scope,
    event: PolicyEvent,
) -> set[TenantValue]:
    """Return the values that a column has in every row that row-level security shows or accepts.

    A restrictive policy is enough; otherwise all permissive ones must have the value.
    """
    if not relation.row_security:
        return set()
    each = [
        (policy, _values_of_policy(catalog, values, policy, column, scope))
        for policy in relation.policies
        if policy.command in ("*", _COMMANDS[event])
    ]
    found: set[TenantValue] = set()
    for policy, own in each:
        if not policy.permissive and policy.for_all:
            found |= own
    permissive = [own for policy, own in each if policy.permissive]
    return found | (set.intersection(*permissive) if permissive else set())


def _values_of_policy(
    catalog: Catalog, values: TenantValues, policy: Policy, column: int, scope: Scope
) -> set[TenantValue]:
    found: set[TenantValue] | None = None
    for text in policy.expressions:
        tree = read_tree(text)
        own: set[TenantValue] = set()
        for part in conjuncts(tree) if isinstance(tree, Node) else ():
            args = part.nodes("args")
            if part.kind != "OPEXPR" or len(args) != 2:
                continue
            if not equality_families(catalog, part.number("opno")):
                continue
            for side, other in (args, args[::-1]):
                one = strip_relabel(side)
                if one.kind == "VAR" and one.number("varattno") == column:
                    value = values.of(other, scope, one.number("vartype"))
                    own |= {value} if value is not None else set()
        found = own if found is None else found & own
    return found or set()
