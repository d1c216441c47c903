"""Types that a driver does not support: a check refuses them, before the first call fails.

Both drivers support each type that has an annotation, and arrays of it. asyncpg reads and writes composite
types and ranges in the binary format only, and so all of their parts; some types it knows only as text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from plainsql.analysis.model import PgType
from plainsql.codegen.python_types import below_domains

__all__ = ["unsupported"]

_TEXT_ONLY: Final = frozenset(
    {
        *("macaddr", "macaddr8", "money", "tsquery", "tsvector"),
        *("regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator"),
        *("regproc", "regprocedure", "regrole", "regtype"),
    }
)


def _is_known_as_text(type: PgType) -> bool:
    return type.name in _TEXT_ONLY


def unsupported(
    type: PgType, *, parameter: bool = False, is_text_only: Callable[[PgType], bool] = _is_known_as_text
) -> str | None:
    """Return why the drivers do not support values of the type, as a phrase after "it"; ``None`` if they
    do.

    ``is_text_only`` reports the types that a codec of the project has as text only.
    """
    return _inside(type, "", parameter, lambda part: _is_known_as_text(part) or is_text_only(part))


def _inside(
    type: PgType, container: str, parameter: bool, is_text_only: Callable[[PgType], bool]
) -> str | None:
    type = below_domains(type)
    if type.kind == "composite":
        return _composite(type, parameter, is_text_only)
    if type.kind in ("range", "multirange") and type.element is not None:
        if (made := _decoded_with_row(type.element)) is not None:
            return f"holds {made} in the {type.kind} {type}, and bounds are not decoded"
        return _inside(type.element, f"the {type.kind} {type}", parameter, is_text_only)
    if type.kind == "array" and type.element is not None:
        if parameter and (problem := _unsendable(type, below_domains(type.element))):
            return problem
        return _inside(type.element, container, parameter, is_text_only)
    if container and is_text_only(type):
        return f"holds {type} in {container}, which asyncpg cannot carry there"
    return None


def _unsendable(array: PgType, element: PgType) -> str | None:
    """Return why an array cannot be a parameter; ``None`` if it can."""
    if array.name in ("int2vector", "oidvector"):
        return "counts its elements from 0, which asyncpg cannot send"
    if element.name == "path":
        # A list of points and a list of paths look the same to asyncpg.
        return "has paths in an array, which asyncpg cannot send"
    # An array of a domain over an array: lists in lists would be more dimensions of it.
    if element.kind == "array" and element.element is not None and _decoded_with_row(element.element):
        return f"has arrays of {below_domains(element.element)} in an array, which no driver can send"
    return None


def _decoded_with_row(type: PgType) -> PgType | None:
    """Return the type of the values inside a range that a row decoder would have to make: JSON or
    composite.
    """
    type = below_domains(type)
    if type.kind == "composite" or type.name in ("json", "jsonb"):
        return type
    return None if type.element is None else _decoded_with_row(type.element)


def _composite(type: PgType, parameter: bool, is_text_only: Callable[[PgType], bool]) -> str | None:
    if not type.attributes:
        return f"holds {type}, a composite type without fields, which asyncpg cannot read"
    parts = (
        _inside(part.type, f"the composite type {type}", parameter, is_text_only) for part in type.attributes
    )
    return next((problem for problem in parts if problem is not None), None)
