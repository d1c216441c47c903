"""The difference between two types for code that was generated for the first of them."""

from __future__ import annotations

from typing import Final

from plainsql.analysis.model import PgType
from plainsql.codegen.python_types import annotate, below_domains

__all__ = ["column_change", "parameter_change"]

_INTEGERS: Final = ("int2", "int4", "int8")
"""The integers by size: Python has one type for them."""
_NAMED: Final = frozenset({"time", "timetz", "timestamp", "timestamptz"})
"""Types that differ in their meaning, and not in their Python class."""


def column_change(before: PgType, after: PgType) -> str:
    """Return the reason why code that reads ``before`` cannot read ``after``; empty if it can."""
    return _change(before, after, is_sent=False)


def parameter_change(before: PgType, after: PgType) -> str:
    """Return the reason why a value for ``before`` is refused for ``after``; empty if it is accepted."""
    return _change(before, after, is_sent=True)


def _change(before: PgType, after: PgType, *, is_sent: bool) -> str:
    before, after = below_domains(before), below_domains(after)
    if before.kind != after.kind:
        # The labels of an enum are texts: those of a narrower type can be read, those of a wider one sent.
        narrow, wide = (before, after) if is_sent else (after, before)
        fits = _kind(before) == _kind(after) or (narrow.kind == "enum" and _kind(wide) == "str")
        return "" if fits else _expected(before, after)
    if before.kind == "enum":
        return _labels(before, after, is_sent=is_sent)
    if before.kind == "composite":
        return _attributes(before, after, is_sent=is_sent)
    if before.element is not None and after.element is not None:  # arrays and ranges
        return _change(before.element, after.element, is_sent=is_sent)
    if _kind(before) != _kind(after):
        return _expected(before, after)
    if is_sent and before.name in _INTEGERS and after.name in _INTEGERS[: _INTEGERS.index(before.name)]:
        return f"{_expected(before, after)}, which refuses greater values"
    if before.modifier >= 0 and after.modifier >= 0 and before.modifier != after.modifier:
        return _expected(before, after)
    return ""


def _labels(before: PgType, after: PgType, *, is_sent: bool) -> str:
    """Return the labels that are sent and gone, or that are new in a result."""
    if is_sent:
        gone = [label for label in before.labels if label not in after.labels]
        return f"{after} has no label {_quoted(gone)} any more" if gone else ""
    new = [label for label in after.labels if label not in before.labels]
    return f"{after} has the new label {_quoted(new)}" if new else ""


def _attributes(before: PgType, after: PgType, *, is_sent: bool) -> str:
    old, new = ([each.name for each in type_.attributes] for type_ in (before, after))
    if old != new:
        return f"expected {after} with {', '.join(old)}, got {', '.join(new)}"
    for first, second in zip(before.attributes, after.attributes, strict=True):
        if change := _change(first.type, second.type, is_sent=is_sent):
            return f"{first.name} of {after}: {change}"
    return ""


def _kind(type_: PgType) -> str:
    """Return the part of a type that generated code depends on."""
    if type_.name in _NAMED:
        return type_.name
    try:
        return annotate(type_).text
    except LookupError:
        return f"{type_.schema}.{type_.name}"


def _expected(before: PgType, after: PgType) -> str:
    return f"expected {before}, got {after}"


def _quoted(labels: list[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels)
