"""The facts of a query that a comparison needs, on either side of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plainsql.analysis import PgType
from plainsql.check.cache_map import CacheEntry, invalidations, times_of
from plainsql.check.problems import Problem
from plainsql.check.project_check import ProjectCheck
from plainsql.codegen import Checked
from plainsql.errors import SqlFileError
from plainsql.settings import Project
from plainsql.statements import Bounds, Statement
from plainsql.statements.discovery import find_files, read_text

__all__ = ["ColumnFacts", "Facts", "ParameterFacts", "QueryFacts", "below_root", "query_facts"]


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """A parameter, or a choice of lines."""

    type: str
    """The type of PostgreSQL; the values of a choice."""
    nullable: bool = False
    because: str = ""
    required: bool = True
    default: str = "none"
    bounds: str = "every value"


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column of the result."""

    type: str
    nullable: bool
    because: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a query that passes the check."""

    returns: str
    parameters: Mapping[str, ParameterFacts]
    columns: Mapping[str, ColumnFacts]
    reads: frozenset[str]
    """The tables that it reads, as ``schema.table``."""
    writes: frozenset[tuple[str, str]]
    """Each table that it writes, with the action."""
    row_security: frozenset[str]
    not_read_only: str
    """The reason why it is not proved to be read-only; empty if it is."""
    not_session_clean: str
    by_key: bool
    is_cached: bool
    cached: str
    """The time that a result is cached, such as ``300 s``, with the entry of the project that sets it; ``no
    time`` if it is not."""
    settings: Mapping[str, str]
    """The settings of its ``set`` lines, each with its value or ``:parameter``."""
    depends: frozenset[str]
    """The rows that a cached result depends on."""
    ends: frozenset[str]
    """The queries whose cached results it ends."""
    findings: frozenset[tuple[str, str]]
    """The name and the message of each finding."""


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """A query file: its text, and its facts or its error."""

    path: str
    """The file below the project's root."""
    source: str
    statement: Statement | None = None
    """``None`` if the file cannot be read."""
    facts: Facts | None = None
    """``None`` if it does not pass the check, or was not analysed."""
    errors: tuple[str, ...] = field(default=())

    @property
    def body(self) -> str:
        """The SQL without the header; the whole text of a file that cannot be read."""
        return self.source if self.statement is None else self.statement.body


def query_facts(project: Project, found: ProjectCheck) -> dict[str, QueryFacts]:
    """Return the facts of every query file of a project by name, in the order of the names."""
    try:
        files, _ = find_files(project.sql_folder)
    except SqlFileError:
        return {}
    statements = {statement.name: statement for statement in found.statements}
    checked = {each.statement.name: each for each in found.inspection.checked}
    errors, findings = _by_file(found.errors), _by_file(found.findings)
    ends: dict[str, set[str]] = {}
    reads: dict[str, CacheEntry] = {}
    for entry in invalidations(found.inspection.checked, times_of(project)):
        if entry.ttl is None:
            continue
        reads[entry.read] = entry
        for each in entry.invalidated:
            ends.setdefault(each.write, set()).add(entry.read)
    queries: dict[str, QueryFacts] = {}
    for file in sorted(files, key=lambda file: file.name):
        try:
            source = read_text(file.path)
        except SqlFileError:
            source = ""
        path = file.path.resolve()
        own = tuple(problem.message for problem in errors.get(path, ()))
        facts = None
        if file.name in checked and not own:
            facts = _facts(
                checked[file.name],
                reads.get(file.name),
                frozenset(ends.get(file.name, ())),
                frozenset((problem.name, problem.message) for problem in findings.get(path, ())),
            )
        queries[file.name] = QueryFacts(
            below_root(project, path), source, statements.get(file.name), facts, own
        )
    return queries


def _by_file(problems: Iterable[Problem]) -> dict[Path, list[Problem]]:
    found: dict[Path, list[Problem]] = {}
    for problem in problems:
        found.setdefault(Path(problem.path).resolve(), []).append(problem)
    return found


def below_root(project: Project, path: Path) -> str:
    """Return a path as the user knows it: below the project's root, or whole."""
    root = project.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _facts(
    checked: Checked,
    read: CacheEntry | None,
    ends: frozenset[str],
    findings: frozenset[tuple[str, str]],
) -> Facts:
    statement, analysis = checked.statement, checked.analysis
    return Facts(
        returns=str(statement.returns),
        parameters=_parameters(checked),
        columns=_columns(checked),
        reads=frozenset(map(str, analysis.reads)),
        writes=frozenset((str(use), use.action) for use in analysis.writes),
        row_security=frozenset(analysis.row_security),
        not_read_only="" if analysis.read_only else analysis.not_read_only or "no proof",
        not_session_clean="" if analysis.session_safe else analysis.not_session_safe or "no proof",
        by_key=analysis.by_key,
        is_cached=read is not None,
        cached=_time(read),
        settings={
            each.name: f":{each.parameter}" if each.value is None else each.value
            for each in statement.settings
        },
        depends=frozenset(() if read is None else read.depends),
        ends=ends,
        findings=findings,
    )


def _time(read: CacheEntry | None) -> str:
    if read is None or read.ttl is None:
        return "no time"
    return f"{read.ttl:g} s by {read.set_by}" if read.set_by else f"{read.ttl:g} s"


def _parameters(checked: Checked) -> dict[str, ParameterFacts]:
    facts: dict[str, ParameterFacts] = {}
    known = checked.parameters
    for parameter in checked.statement.parameters:
        fact, bounds = known[parameter.name], parameter.bounds
        has_default = bounds is not None and bounds.has_default
        facts[parameter.name] = ParameterFacts(
            _whole(fact.type)
            + (f", {parameter.encryption.words}" if parameter.encryption is not None else ""),
            fact.nullable,
            fact.because,
            required=not (parameter.optional or has_default),
            default=_shown(bounds.default) if bounds is not None and has_default else "none",
            bounds=_limits(bounds),
        )
    settings = zip(checked.statement.settings, checked.settings, strict=False)
    types = {setting.parameter: fact.type for setting, fact in settings}
    for parameter in checked.statement.setting_parameters:
        bounds = parameter.bounds
        has_default = bounds is not None and bounds.has_default
        facts[parameter.name] = ParameterFacts(
            types.get(parameter.name, ""),
            nullable=bounds is not None and has_default and bounds.default is None,
            because="the default is null",
            required=not has_default,
            default=_shown(bounds.default) if bounds is not None and has_default else "none",
            bounds=_limits(bounds),
        )
    for choice in checked.statement.choices:
        values = "bool" if choice.is_flag else " or ".join(map(str, choice.values))
        facts[choice.name] = ParameterFacts(
            values,
            required=choice.default is None,
            default="none" if choice.default is None else _shown(choice.default),
        )
    return facts


def _limits(bounds: Bounds | None) -> str:
    low, high = (bounds.low, bounds.high) if bounds is not None else (None, None)
    limits = f"{'' if low is None else low}..{'' if high is None else high}"
    return "every value" if limits == ".." else limits


def _columns(checked: Checked) -> dict[str, ColumnFacts]:
    hints = {hint.name: hint for hint in checked.statement.columns}
    facts: dict[str, ColumnFacts] = {}
    for column in checked.analysis.columns:
        type_, hint = _whole(column.type), hints.get(column.name)
        if hint is not None:
            type_ += f" as {hint.type}" if hint.type else ""
            type_ += ", encrypted" if hint.encryption is not None else ""
        facts[column.name] = ColumnFacts(type_, column.nullable, column.because)
    return facts


def _whole(type_: PgType) -> str:
    """Return a type with the parts that its Python type is made from: labels, attributes."""
    if type_.kind == "enum":
        return f"{type_} of {', '.join(type_.labels)}"
    if type_.kind == "composite":
        return f"{type_} of {', '.join(f'{each.name} {_whole(each.type)}' for each in type_.attributes)}"
    if type_.kind == "array" and type_.element is not None:
        return f"{type_}{_whole(type_.element).removeprefix(str(type_.element))}"
    return str(type_)


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
