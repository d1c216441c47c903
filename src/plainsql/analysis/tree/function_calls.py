"""The function that a node of the tree calls."""

from __future__ import annotations

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nodes import Node

__all__ = ["called_function"]


def called_function(node: Node, catalog: Catalog) -> int | None:
    """Return the function that a node calls, or ``None``."""
    match node.kind:
        case "FUNCEXPR":
            return node.number("funcid")
        case "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" | "SCALARARRAYOPEXPR":
            oid = node.number("opfuncid")
            if not oid and (operator := catalog.operator(node.number("opno"))) is not None:
                oid = operator.function
            return oid
        case "AGGREF":
            return node.number("aggfnoid")
        case "WINDOWFUNC":
            return node.number("winfnoid")
        case _:
            pass
    return None
