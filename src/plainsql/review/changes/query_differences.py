"""The differences of queries between two states of a project."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from plainsql.review.changes.change_sheets import Difference, QueryChange
from plainsql.review.changes.query_facts import Facts, ParameterFacts, QueryFacts

__all__ = ["changed_queries", "text_diff"]


def changed_queries(
    before: Mapping[str, QueryFacts], now: Mapping[str, QueryFacts], plans: Mapping[str, Difference]
) -> list[QueryChange]:
    """Return the queries that differ, the worst first.

    A query that is gone and a new one with the same SQL are one query that was renamed, if no other query
    has that SQL. ``plans`` has the differences of committed plans, by the names of queries.
    """
    names = _renamed(before, now)
    cached = _cached(before) & _cached(now)
    changes: list[QueryChange] = []
    for name in sorted({*before, *now} - {*names.values()}):
        old, new = before.get(names.get(name, name)), now.get(name)
        found = list(_differences(old, new, names.get(name, ""), cached))
        if name in plans and old is not None and new is not None:
            found.append(plans[name])
        if not found:
            continue
        found.sort(key=lambda each: (each.rank, each.subject, each.after, each.because))
        at = new if new is not None else old
        changes.append(
            QueryChange(
                name,
                at.path if at is not None else "",
                "renamed"
                if name in names
                else "new"
                if old is None
                else "gone"
                if new is None
                else "changed",
                tuple(found),
                text_diff(old.source, new.source) if old is not None and new is not None else (),
            )
        )
    return sorted(changes, key=lambda change: (change.differences[0].rank, change.name))


def text_diff(before: str, now: str) -> tuple[str, ...]:
    """Return the unified diff of two texts, without the lines of names and without line ends."""
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="")
    return tuple(list(lines)[2:])


def _renamed(before: Mapping[str, QueryFacts], now: Mapping[str, QueryFacts]) -> dict[str, str]:
    """Return the name before of each query that has another name now, and the same SQL."""
    by_body: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name, query in before.items():
        if name not in now:
            by_body[query.body][0].append(name)
    for name, query in now.items():
        if name not in before:
            by_body[query.body][1].append(name)
    return {
        new[0]: old[0] for body, (old, new) in by_body.items() if body and len(old) == 1 and len(new) == 1
    }


def _cached(queries: Mapping[str, QueryFacts]) -> set[str]:
    return {name for name, query in queries.items() if query.facts is not None and query.facts.is_cached}


def _differences(
    old: QueryFacts | None, new: QueryFacts | None, renamed: str, cached: AbstractSet[str]
) -> Iterator[Difference]:
    """Yield the differences of a query; ``cached`` names the reads that are cached on both sides."""
    if new is None:
        yield Difference("gone")
        return
    if new.errors and (old is None or old.facts is not None):
        yield Difference("refused", because=new.errors[0])
    if old is None:
        yield Difference("new", after=_summary(new))
        return
    if renamed:
        yield Difference("renamed", before=renamed)
    if old.body != new.body:
        yield Difference("text")
    elif old.source != new.source:
        yield Difference("header")
    if old.facts is None and old.errors and (not new.errors or old.source != new.source):
        yield Difference("unknown", because=old.errors[0])
    if old.facts is not None and new.facts is not None:
        yield from _of_facts(old.facts, new.facts, cached)


def _summary(query: QueryFacts) -> str:
    if query.facts is None:
        return "its facts are not known"
    writes = [f"{action} of {table}" for table, action in sorted(query.facts.writes)]
    return f"returns {query.facts.returns}" + (f"; {', '.join(writes)}" if writes else "")


def _of_facts(old: Facts, new: Facts, cached: AbstractSet[str]) -> Iterator[Difference]:
    yield from _of_columns(old, new)
    yield from _of_parameters(old.parameters, new.parameters)
    if old.returns != new.returns:
        yield Difference("rows", before=old.returns, after=new.returns)
    for table, action in sorted(new.writes - old.writes):
        yield Difference("write-new", table, after=action)
    for table, action in sorted(old.writes - new.writes):
        yield Difference("write-gone", table, before=action)
    if new.not_read_only and not old.not_read_only:
        yield Difference("not-read-only", because=new.not_read_only)
    elif old.not_read_only and not new.not_read_only:
        yield Difference("read-only")
    if new.not_session_clean and not old.not_session_clean:
        yield Difference("not-session-clean", because=new.not_session_clean)
    elif old.not_session_clean and not new.not_session_clean:
        yield Difference("session-clean")
    if old.by_key != new.by_key:
        yield Difference("by-key" if new.by_key else "not-by-key")
    for name, value in new.settings.items():
        if name not in old.settings:
            yield Difference("setting-new", name, after=value)
        elif old.settings[name] != value:
            yield Difference("setting", name, old.settings[name], value)
    for name, value in old.settings.items():
        if name not in new.settings:
            yield Difference("setting-gone", name, before=value)
    if old.cached != new.cached:
        yield Difference("cache", before=old.cached, after=new.cached)
    none = frozenset[str]()
    for name, before, now in (
        ("row-security", old.row_security, new.row_security),
        ("read", old.reads, new.reads),
        ("dependency", *((old.depends, new.depends) if old.is_cached and new.is_cached else (none, none))),
        # A read that is cached on one side only is a difference of that read.
        ("invalidation", old.ends & cached, new.ends & cached),
    ):
        yield from (Difference(f"{name}-new", each) for each in sorted(now - before))
        yield from (Difference(f"{name}-gone", each) for each in sorted(before - now))
    for name, message in sorted(new.findings - old.findings):
        yield Difference("finding-new", name, because=message)
    for name, message in sorted(old.findings - new.findings):
        yield Difference("finding-gone", name, because=message)


def _of_columns(old: Facts, new: Facts) -> Iterator[Difference]:
    for name, column in new.columns.items():
        before = old.columns.get(name)
        if before is None:
            yield Difference("column-new", name, after=column.type)
            continue
        if before.type != column.type:
            yield Difference("column-type", name, before.type, column.type)
        if column.nullable and not before.nullable:
            yield Difference("column-nullable", name, because=column.because)
        elif before.nullable and not column.nullable:
            yield Difference("column-not-null", name, because=column.because)
    for name, column in old.columns.items():
        if name not in new.columns:
            yield Difference("column-gone", name, before=column.type)


def _of_parameters(
    old: Mapping[str, ParameterFacts], new: Mapping[str, ParameterFacts]
) -> Iterator[Difference]:
    for name, now in new.items():
        before = old.get(name)
        if before is None:
            kind = "parameter-new" if now.required else "parameter-optional-new"
            yield Difference(kind, name, after=now.type)
            continue
        if before.type != now.type:
            yield Difference("parameter-type", name, before.type, now.type)
        if before.nullable and not now.nullable:
            yield Difference("parameter-not-null", name, because=now.because)
        elif now.nullable and not before.nullable:
            yield Difference("parameter-nullable", name, because=now.because)
        if before.required != now.required:
            yield Difference("parameter-required" if now.required else "parameter-optional", name)
        elif before.default != now.default:
            yield Difference("parameter-default", name, before.default, now.default)
        if before.bounds != now.bounds:
            yield Difference("parameter-bounds", name, before.bounds, now.bounds)
    for name in old:
        if name not in new:
            yield Difference("parameter-gone", name)
