"""The SQL files of a table: create, get, list by key, update of the given columns, delete.

They are a beginning for a person to edit: each is complete, in the form of a hand-written file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plainsql.scaffold.scaffold_table import ScaffoldColumn, ScaffoldTable

__all__ = ["table_queries"]

_PAGE: Final = "-- param limit: 1..200 = 50"


def table_queries(table: ScaffoldTable) -> dict[str, str]:
    """Return the text of each file by its name without ending; without a key, only those that need none."""
    queries = {}
    if table.is_writable and any(not each.computed for each in table.columns):
        queries["create"] = _create(table)
    if table.key:
        queries[f"get_by_{'_and_'.join(each.python for each in table.key)}"] = _get(table)
        queries["list"] = _list(table)
    if table.key and table.is_writable:
        if _changed(table):
            queries["update"] = _update(table)
        queries["delete"] = _delete(table)
    return queries


def _create(table: ScaffoldTable) -> str:
    given = [each for each in table.columns if not each.is_left_to_default]
    if not given:
        # A table whose columns all have defaults: its key is given, so that the statement has a column.
        given = [each for each in table.columns if not each.computed][:1]
    # A column with a default may be left out; the last line has no comma, so it stays.
    optional = [each for each in given if each.default is not None]
    fixed = [each for each in given if each.default is None]
    if not fixed:
        optional, fixed = optional[:-1], optional[-1:]
    nulls = [f"-- param {each.python}: = null" for each in fixed if not each.not_null]
    lines = [
        f"-- Create {_article(table)}.",
        f"-- returns: one {table.row}",
        *nulls,
        f"insert into {table.sql} as {table.alias} (",
        *_items([each.sql for each in optional], [each.sql for each in fixed], optional),
        ")",
        "values (",
        *_items([f":{each.python}" for each in optional], [f":{each.python}" for each in fixed]),
        ")",
        *_selected("returning", table),
    ]
    return _text(lines)


def _get(table: ScaffoldTable) -> str:
    names = " and ".join(each.python.replace("_", " ") for each in table.key)
    lines = [
        f"-- The {table.thing} with this {names}.",
        f"-- returns: optional {table.row}",
        *_selected("select", table),
        f"from {table.sql} as {table.alias}",
        *_where_key(table),
    ]
    return _text(lines)


def _list(table: ScaffoldTable) -> str:
    columns = [f"{table.alias}.{each.sql}" for each in table.key]
    values = [f":after_{each.python}" for each in table.key]
    after = (
        f"{columns[0]} > {values[0]}"
        if len(columns) == 1
        else f"({', '.join(columns)}) > ({', '.join(values)})"
    )
    names = " and ".join(f"``{each.python}``" for each in table.key)
    lines = [
        f"-- List {table.name.replace('_', ' ')} in the order of their key.",
        "--",
        f"-- For the next page, pass the last row's {names}.",
        f"-- returns: many {table.row}",
        _PAGE,
        *_selected("select", table),
        f"from {table.sql} as {table.alias}",
        f"where {after}  --?",
        f"order by {', '.join(columns)}",
        "limit :limit",
    ]
    return _text(lines)


def _update(table: ScaffoldTable) -> str:
    changed = _changed(table)
    # The last line stays in every call; a value that does not change costs nothing.
    kept = next((each for each in table.columns if each not in changed and not each.computed), None)
    touched = next((each for each in table.columns if each.is_touched), None)
    nulls: list[str] = []
    if touched is not None:
        last = f"{touched.sql} = now()"
    elif kept is not None:
        last = f"{kept.sql} = {table.alias}.{kept.sql}"
    else:
        # The server makes the key, and refuses an update of it.
        kept = next((each for each in reversed(changed) if each.not_null), changed[-1])
        changed = [each for each in changed if each is not kept]
        last = f"{kept.sql} = :{kept.python}"
        if kept.not_null:
            last = f"{kept.sql} = coalesce(:{kept.python}, {table.alias}.{kept.sql})"
            nulls = [f"-- param {kept.python}: = null"]
    lines = [
        f"-- Change the given columns of {_article(table)}, and leave the others.",
        f"-- returns: optional {table.row}",
        *nulls,
        f"update {table.sql} as {table.alias}",
        "set",
        *_items([f"{each.sql} = :{each.python}" for each in changed], [last]),
        *_where_key(table),
        *_selected("returning", table),
    ]
    return _text(lines)


def _delete(table: ScaffoldTable) -> str:
    lines = [
        f"-- Delete {_article(table)}.",
        "-- returns: count",
        f"delete from {table.sql} as {table.alias}",
        *_where_key(table),
    ]
    return _text(lines)


def _changed(table: ScaffoldTable) -> list[ScaffoldColumn]:
    """Return the columns that an update may be given: not the key, the server's own, nor the tenant."""
    return [
        each
        for each in table.columns
        if each not in table.key and not each.is_left_to_default and not each.is_touched
    ]


def _selected(word: str, table: ScaffoldTable) -> list[str]:
    fields = [
        f"{table.alias}.{each.sql}" + (f" as {each.python}" if each.name != each.python else "")
        for each in table.columns
    ]
    return [word, *_items([], fields)]


def _where_key(table: ScaffoldTable) -> list[str]:
    conditions = [f"{table.alias}.{each.sql} = :{each.python}" for each in table.key]
    if len(conditions) == 1:
        return [f"where {conditions[0]}"]
    return ["where", f"  {conditions[0]}", *(f"  and {each}" for each in conditions[1:])]


def _items(optional: Sequence[str], fixed: Sequence[str], named: Sequence[ScaffoldColumn] = ()) -> list[str]:
    """Return a list of items, one a line; the optional ones first, each with the mark of its line.

    A line without a parameter names the one of its column: ``named`` are those of the optional items.
    """
    width = max((len(each) for each in optional), default=0) + 1
    marks = [f"--? :{each.python}" for each in named] or ["--?"] * len(optional)
    lines = [f"  {each + ',':<{width}}  {mark}" for each, mark in zip(optional, marks, strict=True)]
    return [*lines, *(f"  {each}," for each in fixed[:-1]), f"  {fixed[-1]}"]


def _article(table: ScaffoldTable) -> str:
    return f"{'an' if table.thing[:1].lower() in 'aeiou' else 'a'} {table.thing}"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
