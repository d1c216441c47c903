"""The kinds of nodes in an analysed tree; a kind that is not listed here is not understood."""

from __future__ import annotations

from plainsql.analysis.nodes import Node

__all__ = ["is_known", "makes_values", "types_in"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The kinds of PostgreSQL 16 to 18. A kind that a later server adds may call functions in fields of its own.
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

# They pass on an existing value: the checks of its domain have already run.
_PASS_VALUES_ON = _names(
    """
    VAR FIELDSELECT RELABELTYPE CASEEXPR CASETESTEXPR COALESCEEXPR MINMAXEXPR NULLIFEXPR
    SUBSCRIPTINGREF COMMONTABLEEXPR RANGETBLENTRY SETOPERATIONSTMT ARRAYEXPR COERCETODOMAINVALUE
    SETTODEFAULT
    """
)


def is_known(node: Node) -> bool:
    """Return whether everything that a node of this kind may call is followed."""
    return node.kind in _KNOWN


def types_in(node: Node) -> set[int]:
    """Return the types in any field of a node that holds types."""
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
    """Return whether a node may make new values of the types in its fields."""
    return node.kind not in _PASS_VALUES_ON
