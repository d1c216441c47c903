"""The kinds of nodes that an analysed tree is made of: what is not known here is not understood."""

from __future__ import annotations

from plainsql.analysis.nodes import Node

__all__ = ["is_known", "makes_values", "types_met"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Of PostgreSQL 16 to 18. A kind that a later server adds may call functions in fields of its own.
_KNOWN = _names(
    """
    AGGREF ALIAS ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASEEXPR CASETESTEXPR CASEWHEN
    COALESCEEXPR COERCETODOMAIN COERCETODOMAINVALUE COERCEVIAIO COLLATEEXPR COMMONTABLEEXPR CONST
    CONVERTROWTYPEEXPR CTECYCLECLAUSE CTESEARCHCLAUSE CURRENTOFEXPR DISTINCTEXPR FIELDSELECT
    FIELDSTORE FROMEXPR FUNCEXPR GROUPINGFUNC GROUPINGSET INFERENCEELEM JOINEXPR JSONBEHAVIOR
    JSONCONSTRUCTOREXPR JSONEXPR JSONFORMAT JSONISPREDICATE JSONRETURNING JSONTABLEPATH
    JSONTABLEPATHSCAN JSONTABLESIBLINGJOIN JSONVALUEEXPR MERGEACTION MERGESUPPORTFUNC MINMAXEXPR
    NAMEDARGEXPR NEXTVALUEEXPR NULLIFEXPR NULLTEST ONCONFLICTEXPR OPEXPR PARAM QUERY RANGETBLENTRY
    RANGETBLFUNCTION RANGETBLREF RELABELTYPE RETURNINGEXPR ROWCOMPAREEXPR ROWEXPR ROWMARKCLAUSE
    RTEPERMISSIONINFO SCALARARRAYOPEXPR SETOPERATIONSTMT SETTODEFAULT SORTGROUPCLAUSE
    SQLVALUEFUNCTION SUBLINK SUBSCRIPTINGREF TABLEFUNC TABLESAMPLECLAUSE TARGETENTRY VAR
    WINDOWCLAUSE WINDOWFUNC WITHCHECKOPTION XMLEXPR
    """
)

# They hand on a value that is there: what checks a domain's values has seen it before.
_HANDS_ON = _names(
    """
    VAR FIELDSELECT RELABELTYPE CASEEXPR CASETESTEXPR COALESCEEXPR MINMAXEXPR NULLIFEXPR
    SUBSCRIPTINGREF COMMONTABLEEXPR RANGETBLENTRY SETOPERATIONSTMT ARRAYEXPR COERCETODOMAINVALUE
    SETTODEFAULT
    """
)


def is_known(node: Node) -> bool:
    """Return whether all that a node of this kind may call is looked at."""
    return node.kind in _KNOWN


def types_met(node: Node) -> set[int]:
    """The types in any field of a node that holds types."""
    found: set[int] = set()
    for name, value in node.fields.items():
        if "typ" in name.lower() and not name.endswith("typmod"):
            if isinstance(value, str):
                if value.isdigit():
                    found.add(int(value))
            elif isinstance(value, list):
                found |= {int(item) for item in value if isinstance(item, str) and item.isdigit()}
    return found


def makes_values(node: Node) -> bool:
    """Return whether a node may make new values of the types that stand in it."""
    return node.kind not in _HANDS_ON
