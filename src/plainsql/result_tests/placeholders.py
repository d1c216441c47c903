"""The values that are different in each run: found by a second run, or written by a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plainsql.result_tests.result_file import CaseResult, one_line
from plainsql.result_tests.row_differences import ANY_VALUE

__all__ = ["placeholder_paths", "volatile_paths", "with_placeholders"]


def volatile_paths(first: CaseResult, second: CaseResult) -> set[str]:
    """Return the columns whose values differ between two runs of the same case."""
    if len(first.rows) != len(second.rows):
        return set()
    found: set[str] = set()
    for one, other in zip(first.rows, second.rows, strict=True):
        found |= set(_differing(one, other, ""))
    return found


def placeholder_paths(result: CaseResult) -> set[str]:
    """Return the columns that are a placeholder in each row that has a value."""
    leaves = [leaf for row in result.rows for leaf in _leaves(row, "")]
    kept = {path for path, value in leaves if value not in (ANY_VALUE, None)}
    return {path for path, value in leaves if value == ANY_VALUE} - kept


def with_placeholders(result: CaseResult, paths: set[str]) -> CaseResult:
    """Return a result with a placeholder for each value of these columns, except nulls."""
    return CaseResult(tuple(_replaced(row, "", paths) for row in result.rows), result.count)


def _differing(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name, value in one.items():
            yield from _differing(value, other[name], f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for value, partner in zip(one, other, strict=True):
            yield from _differing(value, partner, f"{path}[]")
    elif one_line(one) != one_line(other):
        yield path


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}")
    elif isinstance(value, list):
        yield path, None
        for part in value:
            yield from _leaves(part, f"{path}[]")
    else:
        yield path, value


def _replaced(value: Any, path: str, paths: set[str]) -> Any:
    if path in paths and value is not None:
        return ANY_VALUE
    if isinstance(value, dict):
        return {name: _replaced(part, f"{path}.{name}", paths) for name, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, f"{path}[]", paths) for part in value]
    return value
