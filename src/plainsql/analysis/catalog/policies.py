"""The settings of a session that row-level security requires: without them its policies show no row."""

from __future__ import annotations

from collections.abc import Callable

from plainsql.analysis.catalog.relations import Policy, Relation
from plainsql.analysis.nodes import Node, read_tree

__all__ = ["required_settings", "setting_name"]

IsSetting = Callable[[int], bool]
"""A predicate: is this the oid of ``current_setting``."""


def required_settings(relation: Relation, is_setting: IsSetting) -> set[str]:
    """Return the settings that decide which rows of a table are visible, if no row is visible without them.

    That is so if every permissive policy reads a setting, or if a restrictive one does: a permissive policy
    that reads none may show rows to every session. A policy for some roles shows rows to these roles only;
    whether the session has such a role is checked when a query is called.
    """
    if not relation.row_security:
        return set()
    read = [(policy, _read_by(policy, is_setting)) for policy in relation.policies]
    open_to_all = any(policy.permissive and policy.for_all and not names for policy, names in read)
    restricted = any(names for policy, names in read if not policy.permissive)
    return set().union(*(names for _, names in read)) if restricted or not open_to_all else set()


def setting_name(call: Node | None) -> str:
    """Return the constant name that ``current_setting`` is called with; empty if it is no constant."""
    arguments = call.nodes("args") if call is not None else []
    if not arguments or arguments[0].kind != "CONST" or arguments[0].flag("constisnull"):
        return ""
    value = arguments[0].datum("constvalue")
    return value[4:].decode("utf-8", "replace") if value else ""


def _read_by(policy: Policy, is_setting: IsSetting) -> set[str]:
    found: set[str] = set()
    for text in policy.expressions:
        tree = read_tree(text)
        for node in tree.walk() if isinstance(tree, Node) else ():
            if node.kind == "FUNCEXPR" and is_setting(node.number("funcid")) and (name := setting_name(node)):
                found.add(name)
    return found
