"""The file of one query's expected results: JSON with a section for each case, and a line for each row.

::

    {
      "written_by": "plainsql test --update",
      "query": "shop.orders.list",
      "cases": {
        "state = 'open'": {
          "rows": [
            {"id": 1, "total": 12.50, "note": null},
            {"id": 2, "total": 7.00, "note": "null"}
          ]
        }
      }
    }

``count`` in a case is the number of rows that a write changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

__all__ = [
    "MARK",
    "SUFFIX",
    "CaseResult",
    "ResultFileError",
    "is_result_file",
    "one_line",
    "parse_results",
    "render_results",
]

SUFFIX: Final = ".json"
MARK: Final = '{\n  "written_by": "plainsql test'
"""The beginning of a file; other programs' files are neither replaced nor removed."""
_WRITER: Final = "plainsql test --update"
_LINE_LENGTH: Final = 110


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case: values as JSON has them, numbers with a point as ``Decimal``."""

    rows: tuple[Any, ...] = ()
    """The rows as objects, or single values."""
    count: int | None = None
    """The number of rows that a write changed; ``None`` for a read."""


class ResultFileError(ValueError):
    """A file of results that cannot be read: its line, its column, and the reason."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def is_result_file(text: str) -> bool:
    """Return True if plainsql wrote the file."""
    return text.replace("\r\n", "\n").startswith(MARK)


def parse_results(text: str) -> dict[str, CaseResult]:
    """Return the results of a file by the texts of their cases.

    Raises ``ResultFileError`` if it is not JSON of this form.
    """
    try:
        document = json.loads(text, parse_float=Decimal, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ResultFileError(error.lineno, error.colno, error.msg.lower()) from None
    except (RecursionError, ValueError) as error:
        raise ResultFileError(1, 1, str(error)) from None
    cases = document.get("cases") if isinstance(document, dict) else None
    if not isinstance(cases, dict):
        raise ResultFileError(1, 1, 'expected an object with "cases"')
    found: dict[str, CaseResult] = {}
    for name, case in cases.items():
        rows = case.get("rows", []) if isinstance(case, dict) else None
        count = case.get("count") if isinstance(case, dict) else None
        unknown = {*case} - {"rows", "count"} if isinstance(case, dict) else set()
        if not isinstance(rows, list) or not isinstance(count, int | None) or unknown:
            line = text.count("\n", 0, max(text.find(json.dumps(name, ensure_ascii=False)), 0)) + 1
            raise ResultFileError(line, 1, 'expected a case with "rows" and "count"')
        found[name] = CaseResult(tuple(rows), count)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {json.dumps(twice, ensure_ascii=False)} is there twice")
    return found


def render_results(query: str, cases: Mapping[str, CaseResult]) -> str:
    """Return the text of a query's file."""
    sections: dict[str, Any] = {}
    for name, case in cases.items():
        section: dict[str, Any] = {} if case.count is None else {"count": case.count}
        if case.rows or case.count is None:
            section["rows"] = _Lines(case.rows)
        sections[name] = _Lines(section)
    document = {"written_by": _WRITER, "query": query, "cases": _Lines(sections)}
    return _render(_Lines(document), 0) + "\n"


class _Lines:
    """A list or an object with a line for each of its parts, however short it is."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _render(value: Any, indent: int, used: int = 0) -> str:
    """Return a value in one line if it fits behind ``used`` characters, else with a line for each part."""
    if not isinstance(value, _Lines):
        line = one_line(value)
        if not isinstance(value, dict | list | tuple) or not value or used + len(line) <= _LINE_LENGTH:
            return line
    inside = value.value if isinstance(value, _Lines) else value
    if not inside:
        return one_line(inside)
    inner = indent + 2
    parts = [
        f"{' ' * inner}{key}{_render(part, inner, inner + len(key))}"
        for key, part in (
            [(f"{_text(name)}: ", part) for name, part in inside.items()]
            if isinstance(inside, dict)
            else [("", part) for part in inside]
        )
    ]
    first, last = "{}" if isinstance(inside, dict) else "[]"
    return f"{first}\n" + ",\n".join(parts) + f"\n{' ' * indent}{last}"


def one_line(value: Any) -> str:
    """Return a value as JSON in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(name)}: {one_line(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(one_line, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
