"""The own types of a query's columns and parameters, with the reason for each, for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.merge import merge_column
from plainsql.analysis.model import PgType
from plainsql.codegen.modules import Checked
from plainsql.codegen.own_types import ChosenType, OwnTypes

__all__ = ["types_of"]


def types_of(checked: Checked, own: OwnTypes) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the type and the reason for each parameter (``:name``) and column with an own type."""
    statement = checked.statement
    facts = checked.parameters
    for parameter in statement.parameters:
        fact = facts[parameter.name]
        if parameter.encryption is not None:
            continue
        if parameter.type is not None:
            yield f":{parameter.name}", parameter.type, "the header"
            continue
        found = own.of_parameter(fact)
        chosen = found[0] if len(found) == 1 else _of_type(fact.type, own)
        if chosen is not None:
            yield f":{parameter.name}", _in_lists(fact.type, chosen.type.path), chosen.because
    hints = {hint.name: hint for hint in statement.columns}
    for index in range(len(checked.variants[0].columns)):
        column = merge_column(checked.variants, index)
        hint = hints.get(column.name)
        if hint is not None and (hint.type is not None or hint.encryption is not None):
            if hint.type is not None:
                yield column.name, hint.type, "the header"
            continue
        chosen = own.of_column(column) or _of_type(column.type, own)
        if chosen is not None:
            yield column.name, _in_lists(column.type, chosen.type.path), chosen.because


def _of_type(type: PgType, own: OwnTypes) -> ChosenType | None:
    chosen = own.of_type(type)
    if chosen is None and type.element is not None:
        return _of_type(type.element, own)
    return chosen


def _in_lists(type: PgType, path: str) -> str:
    while type.kind in ("array", "domain") and type.element is not None:
        path = f"list[{path}]" if type.kind == "array" else path
        type = type.element
    return path
