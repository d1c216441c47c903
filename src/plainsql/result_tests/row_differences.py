"""The differences between the expected rows of a case and those that came back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any, Final

from plainsql.result_tests.result_file import CaseResult, one_line

__all__ = ["ANY_VALUE", "TOLERANCE", "Comparison", "sorted_rows"]

ANY_VALUE: Final = "…"
"""The expected value that matches any value."""
TOLERANCE: Final = 1e-9
"""The difference of two floats that counts as none: relative, and absolute for numbers below 1."""
_MAX_SHOWN: Final = 20
"""The differences of one case that are shown."""
_MAX_VALUE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of the rows of one case."""

    ordered: bool = False
    """True if the order of the rows is proved to be total; otherwise rows are compared in any order."""
    floats: frozenset[str] = frozenset()
    """The columns of floats, by their names in the result: ``score``, ``orders[].score``."""
    lists: frozenset[str] = frozenset()
    """The lists of child rows: ``orders[]``."""
    root: str = ""
    """The name of the column if the rows are single values."""
    tolerance: float = TOLERANCE

    def differences(self, expected: CaseResult, got: CaseResult) -> list[str]:
        """Return one line for each difference, and none if the results match."""
        found: list[str] = []
        if expected.count != got.count:
            found.append(f"count: expected {_shown(expected.count)}, got {_shown(got.count)}")
        pairs = self._in_order if self.ordered else self._in_any_order
        found += pairs(expected.rows, got.rows)
        if len(found) > _MAX_SHOWN:
            return [*found[:_MAX_SHOWN], f"{len(found) - _MAX_SHOWN} more"]
        return found

    def matches(self, expected: Any, got: Any, path: str = "") -> bool:
        """Return True if a value is the expected one."""
        if expected == ANY_VALUE:
            return True
        if isinstance(expected, dict) and isinstance(got, dict):
            return expected.keys() == got.keys() and all(
                self.matches(value, got[name], f"{path}.{name}".removeprefix("."))
                for name, value in expected.items()
            )
        if isinstance(expected, list) and isinstance(got, list):
            if len(expected) != len(got):
                return False
            inner = f"{path}[]"
            if inner in self.lists and not self.ordered:
                return not any(self._unmatched(expected, got, inner))
            return all(self.matches(a, b, inner) for a, b in zip(expected, got, strict=True))
        if self._is_float(path) and _is_number(expected) and _is_number(got):
            near = self.tolerance
            return math.isclose(float(str(expected)), float(str(got)), rel_tol=near, abs_tol=near)
        return type(expected) is type(got) and one_line(expected) == one_line(got)

    def _is_float(self, path: str) -> bool:
        while path.endswith("[]") and path not in self.floats:
            path = path.removesuffix("[]")
        return path in self.floats

    def _in_order(self, expected: Sequence[Any], got: Sequence[Any]) -> Iterator[str]:
        """Yield the differences of rows whose order counts."""
        # Rows that match have the same name: an inserted row is one difference, and those after it are none.
        names = [one_line(row) for row in expected]
        matched = [
            next((name for name, each in zip(names, expected, strict=True) if self._row(each, row)), "")
            or one_line(row)
            for row in got
        ]
        if len(expected) == len(got):
            pairs = enumerate(zip(expected, got, strict=True), 1)
            differing = [(number, old, new) for number, (old, new) in pairs if not self._row(old, new)]
            if differing and not any(self._unmatched(expected, got, self.root)):
                yield f"row {differing[0][0]}: the expected rows come back in another order"
                return
            for number, old, new in differing:
                yield from (f"row {number}{each}" for each in self._leaves(old, new, self.root))
            return
        steps = SequenceMatcher(None, names, matched, autojunk=False).get_opcodes()
        for kind, first, last, begin, end in steps:
            if kind == "equal":
                continue
            if kind == "replace":
                yield from self._in_any_order(expected[first:last], got[begin:end])
                continue
            for at, row in enumerate(expected[first:last], first + 1):
                yield f"missing row {at}: {_shown(row)}"
            for at, row in enumerate(got[begin:end], begin + 1):
                yield f"unexpected row {at}: {_shown(row)}"

    def _in_any_order(self, expected: Sequence[Any], got: Sequence[Any]) -> Iterator[str]:
        missing, unexpected = self._unmatched(expected, got, self.root)
        for old in missing:
            new = max(unexpected, key=lambda row: self._likeness(old, row), default=None)
            if new is None or self._likeness(old, new) < 0.5:
                yield f"missing row: {_shown(old)}"
                continue
            unexpected.remove(new)
            yield from (f"row {_key(old)}{each}" for each in self._leaves(old, new, self.root))
        yield from (f"unexpected row: {_shown(row)}" for row in unexpected)

    def _unmatched(
        self, expected: Sequence[Any], got: Sequence[Any], path: str
    ) -> tuple[list[Any], list[Any]]:
        """Return the rows without a partner."""
        left: dict[str, list[Any]] = {}
        for row in got:
            left.setdefault(one_line(row), []).append(row)
        missing: list[Any] = []
        for row in expected:
            same = left.get(one_line(row))
            if same:
                same.pop()
            else:
                missing.append(row)
        others = [row for rows in left.values() for row in rows]
        unmatched: list[Any] = []
        # A row with fewer placeholders has fewer partners, and chooses first.
        for row in sorted(missing, key=lambda each: one_line(each).count(f'"{ANY_VALUE}"')):
            partner = next((other for other in others if self.matches(row, other, path)), _NONE)
            if partner is _NONE:
                unmatched.append(row)
            else:
                others.remove(partner)
        return unmatched, others

    def _row(self, expected: Any, got: Any) -> bool:
        return self.matches(expected, got, self.root)

    def _likeness(self, expected: Any, got: Any) -> float:
        """Return the share of equal columns."""
        if not isinstance(expected, dict) or not isinstance(got, dict) or not expected:
            return 0.0
        same = sum(name in got and self.matches(value, got[name], name) for name, value in expected.items())
        return same / len(expected)

    def _leaves(self, expected: Any, got: Any, path: str, shown: str = "") -> Iterator[str]:
        """Yield the differing values inside of two rows."""
        if self.matches(expected, got, path):
            return
        if isinstance(expected, dict) and isinstance(got, dict):
            for name in dict.fromkeys([*expected, *got]):
                inner, place = f"{path}.{name}".removeprefix("."), f"{shown}.{name}" if shown else f", {name}"
                if name not in got:
                    yield f"{place}: expected {_shown(expected[name])}, got no such column"
                elif name not in expected:
                    yield f"{place}: expected no such column, got {_shown(got[name])}"
                else:
                    yield from self._leaves(expected[name], got[name], inner, place)
        elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
            inner = f"{path}[]"
            if inner in self.lists and not self.ordered:
                yield f"{shown}: expected {_shown(expected)}, got {_shown(got)}"
                return
            for at, (old, new) in enumerate(zip(expected, got, strict=True)):
                yield from self._leaves(old, new, inner, f"{shown or ', '}[{at}]")
        else:
            yield f"{shown}: expected {_shown(expected)}, got {_shown(got)}"


_NONE: Final = object()


def sorted_rows(result: CaseResult) -> CaseResult:
    """Return a result with its rows in an order of their own, for rows that come back in any order."""
    key: Callable[[Any], str] = one_line
    return CaseResult(tuple(sorted(result.rows, key=key)), result.count)


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _key(row: Any) -> str:
    """Return the first value of a row, by which a person finds it."""
    if isinstance(row, dict) and row:
        name, value = next(iter(row.items()))
        return f"{name} = {_shown(value)}"
    return _shown(row)


def _shown(value: Any) -> str:
    text = "none" if value is None else one_line(value)
    text = "null" if value is None else text
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"
