"""The classes of rows with lists of child rows: ``orders: list[Order]`` of columns like ``orders[].id``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from plainsql.analysis.merge import merge_variants
from plainsql.analysis.model import Analysis, ColumnFact, RowLevel
from plainsql.codegen.classes import Classes, Field, child_class, child_key, row_class, row_key
from plainsql.codegen.python_types import Annotation, reference
from plainsql.codegen.source_names import is_field_name, normalized
from plainsql.codegen.source_places import column_place, statement_place
from plainsql.errors import ContractError
from plainsql.statements import Statement
from plainsql.statements.column_paths import LIST_MARK, has_lists, level_of, levels_of
from plainsql.statements.model import ColumnHint

__all__ = ["Plain", "add_lists", "list_keys", "list_names"]

Plain = Callable[[str, Sequence[Analysis], str], list[Field]]
"""Return the fields of columns without lists: of a row's name, the variants with these columns alone, and the
prefix of their names.
"""

_ROW: Final = re.compile(r"[A-Z][A-Za-z0-9_]*", re.ASCII)


def list_names(columns: Sequence[ColumnFact]) -> list[str]:
    """Return the names by which a header refers to the lists of a result: ``orders[]``."""
    return [path.removesuffix(".") for path in levels_of(column.name for column in columns) if path]


def list_keys(analysis: Analysis) -> dict[str, tuple[str, ...]]:
    """Return the proved key of each level as generated modules have it, by the level's name: ``orders[]``."""
    return {
        level.path.removesuffix("."): tuple(normalized(name) for name in level.key)
        for level in analysis.levels
    }


def add_lists(
    classes: Classes, row: str, variants: Sequence[Analysis], statement: Statement, plain: Plain
) -> list[Field]:
    """Return the fields of a row with lists, and add the classes of its lists."""
    return _Lists(classes, row, variants, statement, plain).fields("")


class _Lists:
    def __init__(
        self, classes: Classes, row: str, variants: Sequence[Analysis], statement: Statement, plain: Plain
    ) -> None:
        self._classes, self._row, self._statement, self._plain = classes, row, statement, plain
        columns = variants[0].columns
        for column in columns:
            self._check_name(column)
        self._paths = [level_of(column.name) for column in columns]
        levels = {level.path: level for level in merge_variants(variants).levels}
        for path in levels_of(column.name for column in columns):
            if path not in levels and all(any(e.path == path for e in v.levels) for v in variants):
                raise self._error(
                    f"the key of {path.removesuffix('.') or 'the parent'} differs with the optional lines",
                    "select the primary key",
                    columns[self._paths.index(path)] if path in self._paths else columns[0],
                )
        self._variants = [_of_existing_rows(variant, levels) for variant in variants]

    def fields(self, level: str) -> list[Field]:
        """Return the fields of one level, and add the classes of the lists in it."""
        fields: list[Field] = []
        columns = self._variants[0].columns
        run: list[int] = []
        at = [i for i, path in enumerate(self._paths) if path.startswith(level)]
        lists: set[str] = set()
        previous = level
        for position in at:
            path = self._paths[position]
            inner = level if path == level else path[: path.index(LIST_MARK, len(level)) + len(LIST_MARK)]
            if inner == level:
                run.append(position)
            elif inner != previous:
                fields += self._own(run, level)
                run = []
                if inner in lists:
                    raise self._error(
                        f"the columns of {inner.removesuffix('.')} are not next to each other",
                        f'move "{columns[position].name}" to the other columns of "{inner}…"',
                        columns[position],
                    )
                lists.add(inner)
                fields.append(self._list(inner, level))
            previous = inner
        fields += self._own(run, level)
        names = [field.name for field in fields]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise self._error(
                f"two fields are called {twice!r}" + f" in a row of {level.removesuffix('.')}" * bool(level),
                "give one of them an alias, and write the columns of a nested row next to each other",
                columns[at[0]],
            )
        return fields

    def _own(self, run: list[int], level: str) -> list[Field]:
        if not run:
            return []
        variants = [
            replace(variant, columns=tuple(variant.columns[i] for i in run)) for variant in self._variants
        ]
        return self._plain(f"{self._row}.{level.removesuffix('.')}" if level else self._row, variants, level)

    def _list(self, path: str, outer: str) -> Field:
        fields = self.fields(path)
        hint = self._hint(path)
        if hint is not None and hint.type is not None:
            self._classes.add(row_class(hint.type, fields, self._statement), self._statement)
            key = row_key(hint.type)
        else:
            self._classes.add(child_class(self._row, path, fields, self._statement), self._statement)
            key = child_key(self._row, path)
        name = normalized(path.removeprefix(outer).removesuffix(LIST_MARK))
        return Field(name, Annotation(f"list[{reference(key)}]"), nullable=False)

    def _hint(self, path: str) -> ColumnHint | None:
        name = path.removesuffix(".")
        hint = next((hint for hint in self._statement.columns if hint.name == name), None)
        if hint is not None and (
            hint.type is None or hint.nullable is not None or not _ROW.fullmatch(hint.type)
        ):
            raise ContractError(
                f"{self._statement.name}: {name} is a list of rows, and its line can only name their class",
                place=hint.place,
                hint=f'write column "{name}": Order, or remove the line',
            )
        return hint

    def _check_name(self, column: ColumnFact) -> None:
        *lists, own = column.name.split(LIST_MARK)
        wrong = next((name for name in lists if not is_field_name(name)), None)
        if wrong is not None and "." in wrong:
            raise self._error(
                f'"{column.name}": a nested row has no lists',
                f'give the list to the parent itself: as "{wrong.replace(".", "_")}[].{own}"',
                column,
            )
        if wrong is not None:
            raise self._error(
                f'"{column.name}": {wrong!r} cannot be the name of a field',
                f'give it an alias such as "orders[].{own}"',
                column,
            )
        if lists and (own.count(".") > 1 or not all(map(is_field_name, own.split(".")))):
            raise self._error(
                f'"{column.name}": {own!r} cannot be the name of a field',
                f'give it an alias such as "{level_of(column.name)}name"',
                column,
            )

    def _error(self, message: str, hint: str, column: ColumnFact) -> ContractError:
        place = column_place(self._statement, column) if column.position else statement_place(self._statement)
        return ContractError(f"{self._statement.name}: {message}", place=place, hint=hint)


def _of_existing_rows(analysis: Analysis, levels: dict[str, RowLevel]) -> Analysis:
    """Return the analysis with the nulls of columns as they are in rows of a list that exist."""
    if not has_lists(column.name for column in analysis.columns):
        return analysis
    by_name = {column.name: column for column in analysis.columns}
    return replace(
        analysis,
        columns=tuple(_of_existing_row(column, levels, by_name, analysis) for column in analysis.columns),
    )


def _of_existing_row(
    column: ColumnFact, levels: dict[str, RowLevel], by_name: dict[str, ColumnFact], analysis: Analysis
) -> ColumnFact:
    path = level_of(column.name)
    if not path or column.overridden:
        return replace(column, nullable_group=None) if path else column
    level = levels.get(path)
    if level is None:
        # All columns are null together if there is no row.
        groups = {each.nullable_group for each in analysis.columns if level_of(each.name) == path}
        group = groups.pop() if len(groups) == 1 else None
    else:
        if column.name in level.not_null:
            return replace(column, nullable=False, nullable_group=None, nullable_in_group=False)
        group = by_name[level.key[0]].nullable_group
    if group is None or column.nullable_group != group:
        return column
    return replace(column, nullable=column.nullable_in_group, nullable_group=None)
