"""The sheets of the queries, from their analyses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from plainsql.analysis.model import Analysis, SettingFact, TableUse
from plainsql.cache_times import CacheTimes
from plainsql.check.cache_map import NO_TIMES, CacheEntry, invalidations
from plainsql.codegen import Checked
from plainsql.codegen.error_classes import classes_by_constraint, listed_violations
from plainsql.review.model.row_locks import row_locks
from plainsql.review.model.sheets import (
    Access,
    AllowanceNote,
    Cached,
    Invalidated,
    ListSheet,
    ParameterSheet,
    QuerySheet,
    ResultColumn,
    SettingSheet,
    TableSheet,
)
from plainsql.statements import Statement
from plainsql.statements.scanner import scan

__all__ = ["query_sheets"]

_PROOF: Final = re.compile(
    r"equality on the unique key (?P<name>.+?)(?: \(.*\))?(?: in .+)?|no two rows overlap by (?P<other>.+)"
)
_ACTION_ORDER: Final = ("insert", "update", "delete", "truncate", "cascade", "read")


def query_sheets(
    statements: Iterable[Statement],
    checked: Iterable[Checked],
    tables: Mapping[str, TableSheet],
    times: CacheTimes = NO_TIMES,
) -> list[QuerySheet]:
    """Return a sheet for each statement, in the order of their names.

    A statement that the server refuses has only what its file says. Notes, callers and history are not
    filled. ``times`` are those of cached reads that the project sets.
    """
    by_name = {item.statement.name: item for item in checked}
    entries = invalidations(by_name.values(), times)
    reads = {entry.read: entry for entry in entries}
    ends: dict[str, list[Invalidated]] = defaultdict(list)
    for entry in entries:
        for each in entry.invalidated:
            ends[each.write].append(Invalidated(entry.read, each.tables, each.by))
    found = []
    for statement in sorted(statements, key=lambda statement: statement.name):
        sheet = _of_file(statement)
        item = by_name.get(statement.name)
        if item is not None:
            sheet = _analysed(sheet, item, tables)
            sheet = replace(
                sheet, cached=_cached(reads.get(statement.name)), ends=tuple(ends[statement.name])
            )
        found.append(sheet)
    return found


def _of_file(statement: Statement) -> QuerySheet:
    body = statement.body
    return QuerySheet(
        statement.name,
        statement.path,
        statement.source,
        statement.description,
        str(statement.returns),
        "",
        variants=len(statement.variants()),
        optional_lines=tuple(
            statement.body_line + body.count("\n", 0, token.start)
            for token in scan(body)
            if token.kind == "line_comment" and body.startswith("--?", token.start)
        ),
        parameters=tuple(_parameters(statement, {})),
        own_settings=tuple(_own_settings(statement, ())),
        allowances=tuple(
            AllowanceNote(each.finding, each.reason, each.place.path, each.place.line)
            for each in statement.allow
        ),
    )


def _analysed(sheet: QuerySheet, item: Checked, tables: Mapping[str, TableSheet]) -> QuerySheet:
    analysis, statement = item.analysis, item.statement
    uses = [use for variant in item.variants for use in (*variant.reads, *variant.writes)]
    accesses = _accesses(uses)
    proof, proof_table = _proof(analysis, accesses, tables)
    return replace(
        sheet,
        rows=analysis.rows,
        rows_because=analysis.rows_because,
        proof=proof,
        proof_table=proof_table,
        effect="reads" if analysis.read_only else "writes",
        effect_because="no table is written and no function called that may write"
        if analysis.read_only
        else analysis.not_read_only,
        session=analysis.not_session_safe,
        volatility=analysis.volatility,
        is_by_key=analysis.by_key,
        not_batched_because=analysis.lost_by_batching,
        parameters=(*_parameters(statement, item.parameters), *_of_settings(statement, item.settings)),
        columns=tuple(_columns(item, analysis)),
        lists=tuple(
            ListSheet(level.path.removesuffix("."), level.key, level.because) for level in analysis.levels
        ),
        streams=analysis.contiguous,
        accesses=accesses,
        triggers=analysis.triggers,
        row_security=analysis.row_security,
        own_settings=tuple(_own_settings(statement, item.settings)),
        settings=tuple(sorted({name for _, names in analysis.settings for name in names})),
        violations=tuple(
            dict.fromkeys(listed_violations(analysis, classes_by_constraint(statement, analysis)))
        ),
        opaque=analysis.opaque,
        locks=row_locks(statement.body, accesses, tables),
    )


def _parameters(statement: Statement, facts: Mapping[str, Any]) -> Iterable[ParameterSheet]:
    for parameter in statement.parameters:
        fact, bounds = facts.get(parameter.name), parameter.bounds
        has_default = bounds is not None and bounds.has_default
        ends = [] if bounds is None else [bounds.low, bounds.high]
        limits = ["" if end is None else str(end) for end in ends]
        yield ParameterSheet(
            parameter.name,
            str(fact.type) if fact else "",
            fact.nullable if fact else False,
            fact.because if fact else "",
            is_optional=parameter.optional or has_default,
            default=_literal(bounds.default) if bounds is not None and has_default else None,
            bounds="..".join(limits) if any(limits) else "",
            is_encrypted=parameter.encryption is not None,
            written_to=tuple(map(str, fact.written_to)) if fact else (),
        )
    for choice in statement.choices:
        yield ParameterSheet(
            choice.name,
            "boolean" if choice.is_flag else " | ".join(map(str, choice.values)),
            nullable=False,
            because="adds lines" if choice.is_flag else "chooses lines",
            is_optional=choice.default is not None,
            default=_literal(choice.default) if choice.default is not None else None,
            is_choice=True,
        )


def _of_settings(statement: Statement, facts: Sequence[SettingFact]) -> Iterable[ParameterSheet]:
    """Yield the parameters that only settings take."""
    types = {setting.parameter: fact.type for setting, fact in zip(statement.settings, facts, strict=False)}
    for parameter in statement.setting_parameters:
        bounds = parameter.bounds
        has_default = bounds is not None and bounds.has_default
        limits = ["" if end is None else str(end) for end in ((bounds.low, bounds.high) if bounds else ())]
        yield ParameterSheet(
            parameter.name,
            types.get(parameter.name, ""),
            nullable=bounds is not None and has_default and bounds.default is None,
            because="the value of a setting",
            is_optional=has_default,
            default=_literal(bounds.default) if bounds is not None and has_default else None,
            bounds="..".join(limits) if any(limits) else "",
        )


def _own_settings(statement: Statement, facts: Sequence[SettingFact]) -> Iterable[SettingSheet]:
    for setting, fact in zip_longest(statement.settings, facts):
        type_ = "" if fact is None else f"{fact.type}, {fact.unit}" if fact.unit else fact.type
        value = f":{setting.parameter}" if setting.value is None else setting.value
        yield SettingSheet(setting.name, value, type_)


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _columns(item: Checked, analysis: Analysis) -> Iterable[ResultColumn]:
    hints = {hint.name: hint for hint in item.statement.columns}
    for column in analysis.columns:
        origin, hint = column.origin, hints.get(column.name)
        yield ResultColumn(
            column.name,
            str(column.type),
            column.nullable,
            column.because,
            table=f"{origin.schema}.{origin.table}" if origin else "",
            column=origin.column if origin else "",
            is_declared=column.overridden,
            is_assumed=column.assumed,
            is_encrypted=hint is not None and hint.encryption is not None,
        )


class _Kind(NamedTuple):
    table: str
    action: Any


def _accesses(uses: Sequence[TableUse]) -> tuple[Access, ...]:
    """Merge the uses of all variants: one access for each table and action."""
    grouped: dict[_Kind, list[TableUse]] = defaultdict(list)
    for use in uses:
        grouped[_Kind(str(use), use.action)].append(use)
    found = []
    for kind, group in grouped.items():
        bound = set(group[0].bound)
        for use in group[1:]:
            bound &= set(use.bound)
        vias = sorted({use.via for use in group})
        found.append(
            Access(
                kind.table,
                kind.action,
                tuple(sorted({column for use in group for column in use.columns})),
                # A function or a trigger may use any column.
                whole_rows=kind.action == "read" and any(use.via and not use.columns for use in group),
                bound=tuple(sorted(bound)),
                compared=tuple(sorted({column for use in group for column, _ in use.bound})),
                # A table that the statement names itself needs no reason.
                via=() if "" in vias else tuple(vias),
            )
        )
    return tuple(sorted(found, key=lambda each: (_ACTION_ORDER.index(each.action), each.table)))


def _proof(
    analysis: Analysis, accesses: Iterable[Access], tables: Mapping[str, TableSheet]
) -> tuple[str, str]:
    """Return the index that proves the number of rows, and its table; empty texts if none does."""
    match = _PROOF.fullmatch(analysis.rows_because)
    if match is None:
        return "", ""
    name = match["name"] or match["other"]
    used = dict.fromkeys(access.table for access in accesses)
    for table in used:
        if table in tables and any(index.name == name for index in tables[table].indexes):
            return name, table
    return "", ""


def _cached(entry: CacheEntry | None) -> Cached | None:
    if entry is None:
        return None
    stale = tuple(Invalidated(each.write, each.tables, each.by) for each in entry.invalidated)
    return Cached(entry.ttl, entry.depends, stale, entry.set_by, entry.header_ttl)
