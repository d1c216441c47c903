"""The counters of statements, summed by query: the forms and variants of one query together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from plainsql.statements.safe_text import safe_text
from plainsql.workload.counters import Counters, Entry, Reading
from plainsql.workload.query_files import QueryFile, QueryFiles
from plainsql.workload.statement_names import Form, name_of

__all__ = ["ORDERS", "OtherWorkload", "QueryWorkload", "Sort", "Workload", "rank"]

Sort = Literal["total", "mean", "calls", "rows", "blocks", "reads", "temp"]

ORDERS: Final[Mapping[str, Callable[[Counters], float]]] = {
    "total": lambda each: each.total_ms,
    "mean": lambda each: each.mean_ms,
    "calls": lambda each: each.calls,
    "rows": lambda each: each.rows,
    "blocks": lambda each: each.blocks_hit + each.blocks_read,
    "reads": lambda each: each.blocks_read,
    "temp": lambda each: each.temp_blocks_read + each.temp_blocks_written,
}
"""The numbers to sort by, largest first."""


class QueryWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """One query: its single, joined, batched and other forms, all variants and all roles together."""

    name: str
    file: str | None
    """None if the project has no file of that name."""
    line: int | None
    is_known: bool | None
    """False if the project no longer has the query; None without a project."""
    share: float
    """The part of all time in the database, 0 to 1."""
    mean_ms: float
    counters: Counters
    forms: dict[Form, Counters]
    query_ids: tuple[int, ...]
    """The identities of its statements in ``pg_stat_statements``."""

    @property
    def place(self) -> str:
        """The file and line, or what is known of it."""
        if self.file is not None:
            return str(QueryFile(self.file, self.line or 1))
        return "" if self.is_known is None else "no longer in the project"


class OtherWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """Statements that are no queries of the project, with the same shortened text."""

    statement: str
    """Without constants and comments."""
    share: float
    mean_ms: float
    counters: Counters


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one database, by query."""

    database: str
    server_version: str
    since: datetime | None
    """The beginning of the counters."""
    until: datetime
    total: Counters
    queries: tuple[QueryWorkload, ...]
    others: tuple[OtherWorkload, ...]
    hidden: Counters
    """The statements whose text this role may not read, or that the server has lost."""
    nested: Counters
    """The statements inside of functions: their time is also in the total of those that call them."""
    notes: tuple[str, ...]


def rank(reading: Reading, files: QueryFiles, *, since: datetime | None, sort: Sort = "total") -> Workload:
    """Sum the counters of a reading by query, and sort them, largest first.

    ``since`` is the beginning of the counters.
    """
    named: dict[str, list[tuple[Form, Entry]]] = {}
    others: dict[str, Counters] = {}
    hidden = total = Counters()
    for entry in reading.entries:
        total += entry.counters
        if entry.text is None:
            hidden += entry.counters
        elif (found := name_of(entry.text)) is not None:
            named.setdefault(found.name, []).append((found.form, entry))
        else:
            text = safe_text(entry.text)
            others[text] = others.get(text, Counters()) + entry.counters
    order = ORDERS[sort]
    queries = [_query(name, entries, total, files) for name, entries in named.items()]
    rest = [
        OtherWorkload(
            statement=text, share=_share(counters, total), mean_ms=counters.mean_ms, counters=counters
        )
        for text, counters in others.items()
    ]
    return Workload(
        database=reading.database,
        server_version=reading.server_version,
        since=since,
        until=reading.taken_at,
        total=total,
        queries=tuple(sorted(queries, key=lambda each: (-order(each.counters), each.name))),
        others=tuple(sorted(rest, key=lambda each: (-order(each.counters), each.statement))),
        hidden=hidden,
        nested=reading.nested,
        notes=reading.notes,
    )


def _query(name: str, entries: list[tuple[Form, Entry]], total: Counters, files: QueryFiles) -> QueryWorkload:
    counters = Counters()
    forms: dict[Form, Counters] = {}
    for form, entry in entries:
        counters += entry.counters
        forms[form] = forms.get(form, Counters()) + entry.counters
    file = files.find(name)
    return QueryWorkload(
        name=name,
        file=file.path if file else None,
        line=file.line if file else None,
        is_known=True if file else False if files.has_project else None,
        share=_share(counters, total),
        mean_ms=counters.mean_ms,
        counters=counters,
        forms=forms,
        query_ids=tuple(sorted({entry.key[1] for _, entry in entries})),
    )


def _share(part: Counters, total: Counters) -> float:
    return part.total_ms / total.total_ms if total.total_ms else 0.0
