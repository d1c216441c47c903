"""The types that headers declare for JSON columns, compared with the JSON that the queries build."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.merge import merge_column
from plainsql.analysis.model import Finding
from plainsql.codegen import Checked
from plainsql.codegen.json_types import JsonTypes
from plainsql.errors import Place

__all__ = ["unbuilt_types"]


def unbuilt_types(checked: Checked, json_types: JsonTypes) -> Iterator[tuple[Finding, Place]]:
    """Yield a finding, with its place, for each part of a declared type that the query does not build."""
    statement, variants = checked.statement, checked.variants
    names = [column.name for column in variants[0].columns]
    for hint in statement.columns:
        if hint.type is None or hint.name not in names:
            continue
        column = merge_column(variants, names.index(hint.name))
        for difference in json_types.differences(hint, column, statement):
            finding = Finding(
                "json-type",
                f"the header gives {hint.name} the type {hint.type}, "
                f"which the query does not build: {difference}",
                hint="change the type or the query, or remove the line: a type is generated for this JSON",
            )
            yield finding, hint.place
