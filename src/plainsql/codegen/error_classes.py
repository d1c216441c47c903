"""The classes of errors that headers name: one for each name of a module, over its constraints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from plainsql.analysis.model import Analysis, Violation
from plainsql.errors import ContractError
from plainsql.statements import Statement
from plainsql.statements.model import NamedError

__all__ = [
    "ErrorClass",
    "classes_by_constraint",
    "error_classes",
    "listed_violations",
    "matching",
    "own_violations",
]

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")
_BASES: Final = {
    "unique": "UniqueViolation",
    "foreign key": "ForeignKeyViolation",
    "check": "CheckViolation",
    "not null": "NotNullViolation",
    "exclusion": "ExclusionViolation",
}


@dataclass(slots=True)
class ErrorClass:
    """A class to generate."""

    name: str
    kinds: set[str] = field(default_factory=set)
    """The kinds of its constraints; empty if no query is known to violate them."""
    constraints: set[str] = field(default_factory=set)

    @property
    def base(self) -> str:
        """The class of plainsql that it derives from."""
        return _BASES[min(self.kinds)] if len(self.kinds) == 1 else "ConstraintViolation"


def matching(violations: Iterable[Violation], constraint: str) -> list[Violation]:
    """Return the violations of the constraint with this name, also as the name of a partition's part."""
    return [violation for violation in violations if constraint in violation.names]


def classes_by_constraint(statement: Statement, analysis: Analysis) -> dict[str, str]:
    """Return the class of each constraint that the header names, under all names that the server reports."""
    found: dict[str, str] = {}
    for named in statement.errors:
        found[named.constraint] = named.name
        for violation in matching(analysis.violations, named.constraint):
            if violation.name == named.constraint:  # a partition's own name is that partition's alone
                found |= dict.fromkeys(violation.names, named.name)
    return found


def error_classes(
    queries: Sequence[tuple[Statement, Analysis]], taken: Mapping[str, str]
) -> tuple[list[ErrorClass], list[ContractError]]:
    """Return the classes of a module in the order of their names, and the contradictions between headers.

    ``taken`` are the module's other names, with what has them.
    """
    classes: dict[str, ErrorClass] = {}
    by_constraint: dict[str, tuple[str, Statement]] = {}
    errors: list[ContractError] = []
    for statement, analysis in queries:
        for named in statement.errors:
            if named.name in taken:
                errors.append(
                    _error(
                        statement,
                        named,
                        f"{named.name} is also {taken[named.name]}",
                        "give one of them another name",
                    )
                )
                continue
            first, source = by_constraint.setdefault(named.constraint, (named.name, statement))
            if first != named.name:
                errors.append(
                    _error(
                        statement,
                        named,
                        f"{named.constraint} is {named.name} here, and {first} in {source.path}",
                        f"write error {named.constraint}: {first}",
                    )
                )
                continue
            made = classes.setdefault(named.name, ErrorClass(named.name))
            made.kinds |= {each.kind for each in matching(analysis.violations, named.constraint)}
            made.constraints.add(named.constraint)
    return sorted(classes.values(), key=lambda each: each.name), errors


def listed_violations(analysis: Analysis, classes: Mapping[str, str]) -> Iterator[str]:
    """Yield what each violation is, in one phrase, and where it comes from."""
    for each in analysis.violations:
        text = _phrase(each, classes)
        yield f"{text} through {each.via}" if each.via else text


def own_violations(analysis: Analysis, classes: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the violations of what the statement itself writes, and of those that follow from it the tables.

    A violation that the header names is among the first ones.
    """
    listed: dict[str, None] = {}
    tables: set[str] = set()
    for each in analysis.violations:
        if each.name in classes or not each.via or each.via.startswith("view "):
            listed[_phrase(each, classes)] = None
        else:
            tables.add(each.table)
    return list(listed), sorted(tables)


def _phrase(violation: Violation, classes: Mapping[str, str]) -> str:
    text = violation.name or f"{violation.columns[0]} not null"
    if violation.name and not _PLAIN.fullmatch(violation.name):
        text = f'"{violation.name}"'
    if violation.name in classes:
        text += f" ({classes[violation.name]})"
    return f"{text} at the commit" if violation.deferred else text


def _error(statement: Statement, named: NamedError, message: str, hint: str) -> ContractError:
    return ContractError(f"{statement.name}: {message}", place=named.place, hint=hint)
