"""The locks that a call of a query takes on rows and tables, from what it writes and its locking clauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from plainsql.review.model.sheets import Access, RowLock, TableSheet
from plainsql.statements.scanner import scan

__all__ = ["row_locks"]

_STRENGTHS: Final = (("no", "key", "update"), ("key", "share"), ("update",), ("share",))
_CLAUSE_ENDS: Final = frozenset({"for", "limit", "offset", "fetch", "order", "union", "intersect", "except"})


def row_locks(body: str, accesses: Sequence[Access], tables: Mapping[str, TableSheet]) -> tuple[RowLock, ...]:
    """Return the locks of a statement, the strongest kind of each table first.

    Args:
        body: the statement's text with ``:name``.
        accesses: the tables that it uses.
        tables: all tables by name.
    """
    clauses = list(_locking_clauses(body, accesses))
    found = [*clauses, *(lock for access in accesses for lock in _of_access(access, tables))]
    written = {access.table for access in accesses if access.action != "read"}
    locked = {lock.table for lock in clauses if lock.table in tables}
    for table in sorted({access.table for access in accesses}):
        mode, because = "access share", "it reads the table"
        if table in written:
            mode, because = "row exclusive", "it writes the table"
        elif table in locked:
            mode, because = "row share", "it locks rows of the table"
        found.append(RowLock(mode, table, because, on_rows=False))
    return tuple(dict.fromkeys(found))


def _of_access(access: Access, tables: Mapping[str, TableSheet]) -> Iterator[RowLock]:
    table = tables.get(access.table)
    via = ", ".join(access.via)
    if access.action == "delete":
        yield RowLock("for update", access.table, f"the deleted rows{_through(via)}")
    elif access.action == "cascade" and via.startswith("foreign key"):
        if access.columns:
            yield RowLock("for no key update", access.table, f"the rows that {via} sets")
        else:
            yield RowLock("for update", access.table, f"the rows that {via} deletes")
    elif access.action == "update":
        yield from _of_update(access, table, via)
    if access.action in ("insert", "update") and table is not None:
        yield from _of_foreign_keys(access, table)


def _of_update(access: Access, table: TableSheet | None, via: str) -> Iterator[RowLock]:
    keys = [
        column
        for index in (table.indexes if table else ())
        if index.is_unique and not index.predicate
        for column in index.columns
    ]
    changed = [column for column in access.columns if column in keys]
    if changed or access.whole_rows:
        what = f"the updated rows if {' or '.join(dict.fromkeys(changed)) or 'a key'} changes: it is in a key"
        yield RowLock("for update", access.table, f"{what}{_through(via)}")
    yield RowLock("for no key update", access.table, f"the updated rows{_through(via)}")


def _of_foreign_keys(access: Access, table: TableSheet) -> Iterator[RowLock]:
    for constraint in table.constraints:
        if constraint.kind != "foreign key" or not constraint.references:
            continue
        if access.action == "insert" or access.whole_rows or set(constraint.columns) & set(access.columns):
            yield RowLock(
                "for key share",
                constraint.references,
                f"the row that {constraint.name} refers to, until the transaction ends",
            )


def _through(via: str) -> str:
    return f", through {via}" if via else ""


def _locking_clauses(body: str, accesses: Sequence[Access]) -> Iterator[RowLock]:
    """Yield a lock for each table of ``for update`` and its like."""
    words = [
        body[token.start : token.end]
        for token in scan(body)
        if token.kind not in ("line_comment", "block_comment")
    ]
    lower = [word.lower() for word in words]
    aliases = dict(_aliases(words, {access.table for access in accesses}))
    read = sorted({access.table for access in accesses if access.action == "read" and not access.via})
    for at, word in enumerate(lower):
        if word != "for":
            continue
        strength = next((s for s in _STRENGTHS if tuple(lower[at + 1 : at + 1 + len(s)]) == s), None)
        if strength is None:
            continue
        rest = lower[at + 1 + len(strength) :]
        end = next((i for i, each in enumerate(rest) if each in _CLAUSE_ENDS or each in ");"), len(rest))
        rest = rest[:end]
        mode = f"for {' '.join(strength)}"
        waits = "nowait" if "nowait" in rest else "skip locked" if rest[-2:] == ["skip", "locked"] else ""
        because = (
            f"the rows that {mode} finds"
            + {
                "nowait": ", which fails if one is locked",
                "skip locked": ", but those that are locked: it skips them",
                "": "",
            }[waits]
        )
        named = [each for each in rest[1:] if each not in (",", "nowait", "skip", "locked")]
        if rest[:1] == ["of"] and named:
            for name in named:
                yield RowLock(mode, aliases.get(name, name), because)
        elif len(read) == 1:
            yield RowLock(mode, read[0], because)
        else:
            yield RowLock(mode, "all tables of its query", because)


def _aliases(words: Sequence[str], tables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names that tables have in a statement, in lower case, each with its table."""
    known = {**{table.partition(".")[2]: table for table in tables}, **{table: table for table in tables}}
    for at, word in enumerate(words):
        whole, after = word, at + 1
        if words[at + 1 : at + 2] == ["."] and at + 2 < len(words):
            whole, after = f"{word}.{words[at + 2]}", at + 3
        table = known.get(whole)
        if table is None:
            continue
        alias = words[after].lower() if after < len(words) else ""
        if alias == "as" and after + 1 < len(words):
            yield words[after + 1].lower(), table
        elif alias.isidentifier():
            yield alias, table
        yield word.lower(), table
