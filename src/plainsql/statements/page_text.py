"""The texts of a page: the statement without its order, in a sub-select that begins behind a row.

::

    select plainsql_page.* from (
      select l.id, l.created_at … from leads as l
    ) as plainsql_page
    where (plainsql_page.created_at, plainsql_page.id) > ($1, $2)
    order by plainsql_page.created_at, plainsql_page.id
    limit $3

PostgreSQL merges a sub-select without an order into the outer query, so an index on the order finds the page.
The order stays in a ``select distinct on``: it chooses the row of each group.
The names in the text are columns of the analysed statement; values are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from plainsql.statements.scanner import scan

__all__ = ["PageKey", "PageOrder", "order_start", "page_sql", "total_sql"]


class PageKey(NamedTuple):
    """A column of a page's order."""

    column: str
    """The column of the result."""
    descending: bool = False
    nullable: bool = False
    nulls_first: bool = False


class PageOrder(NamedTuple):
    """The order of a query's pages, which is total."""

    keys: tuple[PageKey, ...]
    choices: tuple[tuple[str, str | bool], ...] = ()
    """The choices with which the query has this order; empty if it always has it."""


def order_start(sql: str) -> int | None:
    """Return the offset of the last ``order by`` outside of all brackets."""
    return _outside_of_brackets(sql, "order", "by")


def _outside_of_brackets(sql: str, first: str, second: str) -> int | None:
    """Return the offset of the last place of two words, one after the other, outside of all brackets."""
    depth, found = 0, None
    tokens = [token for token in scan(sql, path="") if token.kind not in ("line_comment", "block_comment")]
    for token, following in pairwise(tokens):
        if token.kind == "open":
            depth += 1
        elif token.kind == "close":
            depth -= 1
        elif depth == 0 and [sql[t.start : t.end].lower() for t in (token, following)] == [first, second]:
            found = token.start
    return found


def page_sql(sql: str, keys: Sequence[PageKey], parameters: int, name: str, *, after: bool) -> str:
    """Return the text of a page of a statement that has ``parameters`` parameters.

    The values of the keys follow these if ``after``, and then the number of rows.
    """
    columns = [f"plainsql_page.{_quoted(key.column)}" for key in keys]
    values = [f"${parameters + number}" for number in range(1, len(keys) + 1)]
    lines = [_sub_select("plainsql_page.*", sql)]
    if after:
        lines.append(f"where {_behind(columns, values, keys)}")
    lines.append(f"order by {', '.join(map(_order, columns, keys))}")
    lines.append(f"limit ${parameters + 1 + len(keys) * after}")
    return "\n".join([*lines, f"/* {name} */"])


def total_sql(sql: str, name: str) -> str:
    """Return the text that counts the rows of all pages."""
    return f"{_sub_select('count(*)', sql)}\n/* {name} */"


def _sub_select(columns: str, sql: str) -> str:
    text = sql if _is_distinct_on(sql) else sql[: order_start(sql)]
    return f"select {columns} from (\n{text.rstrip()}\n) as plainsql_page"


def _is_distinct_on(sql: str) -> bool:
    """Return whether a statement begins with ``select distinct on``."""
    return _outside_of_brackets(sql, "distinct", "on") is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _order(column: str, key: PageKey) -> str:
    text = f"{column} desc" if key.descending else column
    if key.nulls_first == key.descending:  # PostgreSQL's default
        return text
    return f"{text} nulls {'first' if key.nulls_first else 'last'}"


def _behind(columns: Sequence[str], values: Sequence[str], keys: Sequence[PageKey]) -> str:
    """Return the condition of the rows behind the one with these values."""
    descending = {key.descending for key in keys}
    if len(descending) == 1 and not any(key.nullable for key in keys):
        operator = "<" if keys[0].descending else ">"
        if len(keys) == 1:
            return f"{columns[0]} {operator} {values[0]}"
        return f"({', '.join(columns)}) {operator} ({', '.join(values)})"
    condition = ""
    for column, value, key in reversed(list(zip(columns, values, keys, strict=True))):
        behind = f"{column} {'<' if key.descending else '>'} {value}"
        same = f"{column} = {value}"
        if key.nullable:
            null, other = (value, column) if key.nulls_first else (column, value)
            behind = f"({behind} or ({null} is null and {other} is not null))"
            same = f"{column} is not distinct from {value}"
        condition = f"({behind} or ({same} and {condition}))" if condition else behind
    first = keys[0]
    if not first.nullable:
        # An index on the first column bounds the rows; the rest of the condition is a filter.
        bound = f"{columns[0]} {'<=' if first.descending else '>='} {values[0]}"
        return f"{bound} and {condition}"
    return condition
