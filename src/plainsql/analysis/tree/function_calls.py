"""The function behind a node of the tree that calls one."""

from __future__ import annotations

from plainsql.analysis.catalog.server_catalog import Catalogue
from plainsql.analysis.nodes import Node

__all__ = ["function_of"]


def function_of(node: Node, catalogue: Catalogue) -> int | None:
    """The function that a node calls, if it calls one."""
    match node.kind:
        case "FUNCEXPR":
            return node.number("funcid")
        case "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" | "SCALARARRAYOPEXPR":
            oid = node.number("opfuncid")
            if not oid and (operator := catalogue.operator(node.number("opno"))) is not None:
                oid = operator.function
            return oid
        case "AGGREF":
            return node.number("aggfnoid")
        case "WINDOWFUNC":
            return node.number("winfnoid")
        case _:
            pass
    return None
