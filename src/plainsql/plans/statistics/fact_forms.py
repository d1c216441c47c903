"""The forms of facts in files that people may edit: arrays as PostgreSQL writes them, and settings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from plainsql.plans.statistics.production_statistics import ColumnStatistics, ExtendedStatistics

__all__ = ["wrong_fact", "wrong_setting"]

_ITEM: Final = re.compile(r'\s*+(?:"(?:[^"\\]|\\.)*+"|(?:[^\s"\\{},]|\\.)(?:[^"\\{},]|\\.)*+)', re.DOTALL)
_SHARES: Final = ("most_common_freqs", "most_common_elem_freqs")
_NUMBERS: Final = (*_SHARES, "elem_count_histogram", "range_length_histogram")
_VALUES: Final = ("most_common_vals", "histogram_bounds", "most_common_elems", "range_bounds_histogram")
_MIN_ENTRY: Final = 3
"""Two columns and a number."""
_SWITCHES: Final = frozenset(("on", "off", "true", "false", "yes", "no", "1", "0"))
_BOUNDED_COSTS: Final = re.compile(r"(seq_page|random_page|cpu_\w+|parallel_\w+)_cost", re.ASCII)


def wrong_fact(facts: msgspec.Struct) -> tuple[str, str] | None:
    """Return the key of the first fact without its form, and what is expected; None if all have theirs."""
    return next(_wrong_facts(facts), None)


def wrong_setting(settings: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the name of the first setting with a value that it cannot have, and what is expected."""
    for name, value in settings.items():
        if _BOUNDED_COSTS.fullmatch(name):
            number = _number(value)
            if number is None or number < 0:
                return name, f"expected a number from 0 on, got {value!r}"
        elif name.startswith("enable_") and value.lower() not in _SWITCHES:
            return name, f"expected on or off, got {value!r}"
    return None


def _wrong_facts(facts: msgspec.Struct) -> Iterator[tuple[str, str]]:
    for key in facts.__struct_fields__:
        value = getattr(facts, key)
        if isinstance(value, float) and not math.isfinite(value):
            yield key, "expected a finite number"
    if isinstance(facts, ColumnStatistics):
        yield from _wrong_arrays(facts)
    elif isinstance(facts, ExtendedStatistics):
        for key in ("n_distinct", "dependencies"):
            if not all(map(_is_entry, getattr(facts, key))):
                yield key, "expected entries such as ['city', 'country', 70]"


def _wrong_arrays(facts: ColumnStatistics) -> Iterator[tuple[str, str]]:
    counts: dict[str, int] = {}
    for key in (*_NUMBERS, *_VALUES):
        text: str | None = getattr(facts, key)
        if text is None:
            continue
        items = _items(text)
        if items is None:
            yield key, "expected an array as PostgreSQL writes it, such as {1,2}"
            continue
        counts[key] = len(items)
        if key in _NUMBERS:
            numbers = [_number(item) for item in items]
            most = 1.0 if key == "most_common_freqs" else math.inf
            if any(number is None or not 0 <= number <= most for number in numbers):
                yield key, f"expected numbers from 0 {'to 1' if most == 1 else 'on'}, such as {{0.5,0.25}}"
    values, shares = counts.get("most_common_vals", 0), counts.get("most_common_freqs", 0)
    if values != shares:
        yield "most_common_freqs", f"expected {values} numbers, one for each common value, got {shares}"


def _items(text: str) -> Sequence[str] | None:
    """Return the items of an array of one dimension as they are written; None if it is no such array."""
    text = text.strip()
    if len(text) < len("{}") or text[0] != "{" or text[-1] != "}":
        return None
    position, end = 1, len(text) - 1
    if not text[1:end].strip():
        return []
    items: list[str] = []
    while True:
        found = _ITEM.match(text, position, end)
        if found is None:
            return None
        items.append(found[0].strip())
        position = found.end()
        while position < end and text[position].isspace():
            position += 1
        if position == end:
            return items
        if text[position] != ",":
            return None
        position += 1


def _number(text: str) -> float | None:
    try:
        number = float(text.strip('"'))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_entry(entry: Sequence[str | float]) -> bool:
    *names, value = entry or [""]
    return (
        len(entry) >= _MIN_ENTRY
        and all(isinstance(name, str) and name for name in names)
        and not isinstance(value, str)
        and math.isfinite(value)
    )
