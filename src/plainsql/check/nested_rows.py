"""Nested rows that look like no match: every column of them may be null when the join finds a row."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis import Analysis
from plainsql.analysis.model import ColumnFact, Finding
from plainsql.statements import Statement
from plainsql.statements.column_paths import level_of

__all__ = ["nested_rows_without_key"]


def nested_rows_without_key(statement: Statement, analysis: Analysis) -> Iterator[Finding]:
    """Yield the nested rows of an outer join without a column that is never null when the join finds a
    match.
    """
    if statement.returns.row is None:
        return
    nested: dict[str, list[ColumnFact]] = {}
    not_null = {name for level in analysis.levels for name in level.not_null}
    for column in analysis.columns:
        level = level_of(column.name)
        outer, dot, _ = column.name.removeprefix(level).partition(".")
        if dot and column.name not in not_null:
            nested.setdefault(level + outer, []).append(column)
    for outer, columns in nested.items():
        group = columns[0].nullable_group
        together = group is not None and all(column.nullable_group == group for column in columns)
        if together and all(column.nullable_in_group for column in columns):
            yield Finding(
                "nested-without-key",
                f"{outer} is None also if a row was found, when all its selected columns are null",
                columns[0].position,
                f'select its key as well, as "{outer}.id"',
            )
