"""Values for a column as PostgreSQL reads them: distinct ones first, then those that checks suggest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final
from uuid import UUID

from plainsql.factories.factory_tables import TypeFacts, literals

__all__ = ["candidates"]

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)

# Texts of the forms that checks often require; {n} is the number of the row.
_FORMS: Final = (
    "user{n}@example.com",
    "https://example.com/{n}",
    "item-{n}",
    "item_{n}",
    "+3460{n:07d}",
    "{n:05d}",
    "/{n}",
    "#{n:06x}",
    "FREQ=DAILY",
    "{n:032x}",
    "en-US",
    "Europe/Madrid",
    "application/json",
    "1.0.{n}",
)

_Make = Callable[[int], str]

_SIMPLE: Final[Mapping[str, _Make]] = {
    "bool": lambda n: "false",
    "int2": lambda n: str(n % 32767),
    "int4": lambda n: str(n % 2_147_483_647),
    "int8": str,
    "oid": str,
    "float4": str,
    "float8": str,
    "money": str,
    "uuid": lambda n: str(UUID(int=n)),
    "date": lambda n: str((_START + timedelta(days=n % 300_000)).date()),
    "timestamp": lambda n: (_START + timedelta(minutes=n)).strftime("%Y-%m-%d %H:%M:%S"),
    "timestamptz": lambda n: (_START + timedelta(minutes=n)).isoformat(),
    "time": lambda n: str((_START + timedelta(seconds=n % 86_400)).time()),
    "timetz": lambda n: f"{(_START + timedelta(seconds=n % 86_400)).time()}+00",
    "interval": lambda n: f"{n} minutes",
    "json": lambda n: "{}",
    "jsonb": lambda n: "{}",
    "bytea": lambda n: f"\\x{n:016x}",
    "inet": lambda n: f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",
    "cidr": lambda n: f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32",
    "macaddr": lambda n: ":".join(f"{n:012x}"[i : i + 2] for i in range(0, 12, 2)),
    "macaddr8": lambda n: ":".join(f"{n:016x}"[i : i + 2] for i in range(0, 16, 2)),
    "xml": lambda n: f"<row>{n}</row>",
    "point": lambda n: f"({n},0)",
    "box": lambda n: f"({n},{n}),(0,0)",
    "lseg": lambda n: f"[(0,0),({n},0)]",
    "path": lambda n: f"[(0,0),({n},0)]",
    "polygon": lambda n: f"((0,0),({n},0),(0,{n}))",
    "circle": lambda n: f"<(0,0),{n}>",
    "line": lambda n: f"{{1,0,{n}}}",
    "tsvector": lambda n: f"word{n}",
    "tsquery": lambda n: f"word{n}",
    "hstore": lambda n: f'"n"=>"{n}"',
    "ltree": lambda n: f"row.n{n}",
    "pg_lsn": lambda n: f"0/{n:X}",
    "jsonpath": lambda n: "$",
    "geometry": lambda n: f"POINT({n % 180} 0)",
    "geography": lambda n: f"POINT({n % 180} 0)",
}
_PATTERN: Final = re.compile(r"[%^$*+\\\[]")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TEXTS: Final = {"text", "varchar", "bpchar", "citext", "name", "char"}
_NUMBERS: Final = {"int2", "int4", "int8", "float4", "float8", "numeric", "money", "oid"}
_TIMES: Final = {"date", "timestamp", "timestamptz"}


def candidates(
    type_: TypeFacts,
    modifier: int,
    name: str,
    number: int,
    rules: Iterable[str],
    types: Mapping[int, TypeFacts],
) -> list[str]:
    """Return texts of values for a column called ``name``, the best one first; none for an unknown type.

    ``number`` makes values distinct. The literals of ``rules``, the texts of the column's checks, are tried
    later, as values, as limits and as lengths.
    """
    rules = list(rules)
    while type_.base:  # a domain
        rules += type_.rule_texts
        modifier = type_.modifier if type_.modifier >= 0 else modifier
        type_ = types[type_.base]
    strings, numbers = literals("  ".join(rules))
    made = _made(type_, modifier, name, number, types)
    if type_.labels or not made:
        return made
    found = list(made)
    if type_.name in _TEXTS:
        found += [text for text in strings if text and not _PATTERN.search(text)]
        found += [text.replace("%", str(number)).replace("_", "a") for text in strings if "%" in text]
        found += _of_lengths(made[0], number, numbers)
        found += _forms(number, modifier)
    elif type_.name in _NUMBERS:
        found += _around(numbers, type_.name, number)
    elif type_.name in _TIMES:
        found += _times(strings, number)
    else:
        found += [text for text in strings if text]
    if type_.name == "bool":
        found.append("true")
    elif type_.name in ("json", "jsonb"):
        found += ["[]", '"text"', "1", "true", "null", '{"key": "value"}', '["element"]']
    return list(dict.fromkeys(found))


def _made(
    type_: TypeFacts, modifier: int, name: str, number: int, types: Mapping[int, TypeFacts]
) -> list[str]:
    """Return the texts of distinct values of a type, without its rules."""
    if type_.labels:
        return type_.labels
    if type_.name in _TEXTS:
        return [_text(type_, modifier, name, number)]
    if type_.name == "numeric":
        return [_numeric(modifier, number)]
    if type_.name in ("bit", "varbit"):
        width = max(modifier, 1)
        return [f"{number % 2**width:0{width}b}"]
    if type_.name in ("vector", "halfvec"):
        return ["[" + ",".join([str(number % 1000 + 1), *["0"] * (max(modifier, 1) - 1)]) + "]"]
    if type_.name == "sparsevec":
        return [f"{{1:{number % 1000 + 1}}}/{max(modifier, 1)}"]
    if make := _SIMPLE.get(type_.name):
        return [make(number)]
    if type_.kind == "c":
        return ["(" + "," * (type_.fields - 1) + ")"]
    if type_.element:
        inner = _plain(type_.element, modifier, name, number, types)
        return ["{}", *(f"{{{_quoted(each)}}}" for each in inner[:1])]
    if type_.subtype:
        bounds = [_plain(type_.subtype, -1, name, each, types)[:1] for each in (number * 2, number * 2 + 1)]
        return [f"[{_quoted(low)},{_quoted(high)})" for low in bounds[0] for high in bounds[1]] + ["empty"]
    if type_.ranges:
        return [f"{{{each}}}" for each in _plain(type_.ranges, -1, name, number, types)[:1]] + ["{}"]
    return []


def _plain(oid: int, modifier: int, name: str, number: int, types: Mapping[int, TypeFacts]) -> list[str]:
    return candidates(types[oid], modifier, name, number, (), types)


def _quoted(text: str) -> str:
    """Return an element of an array, or the bound of a range."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(type_: TypeFacts, modifier: int, name: str, number: int) -> str:
    if type_.name == "char":
        return chr(ord("a") + number % 26)
    width = modifier - 4 if modifier >= 4 else 63
    text = f"{name} {number}"
    return text if len(text) <= width else _short(number, width)


def _short(number: int, width: int) -> str:
    """Return a distinct text of this width or less: digits and letters."""
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits[-width:].rjust(min(width, 2), "a")


def _numeric(modifier: int, number: int) -> str:
    if modifier < 4:
        return str(number)
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    whole = precision - scale
    if whole > 0:
        return str(number % 10**whole)
    return f"{Decimal(number % 10**precision).scaleb(-scale):f}"


def _of_lengths(text: str, number: int, lengths: Sequence[str]) -> list[str]:
    """Return texts of the lengths that a check names, and of those next to them."""
    found = []
    for length in lengths:
        if length.isdigit() and int(length) <= 10_000:
            for width in (int(length), int(length) + 1, int(length) - 1):
                if width > 0:
                    tail = _short(number, width)
                    found += [text.ljust(width, "x")[: width - len(tail)] + tail]
                    found += [str(number).rjust(width, "0")[-width:], _letters(number, width)]
                    found.append(_letters(number, width).lower())
    return found


def _letters(number: int, width: int) -> str:
    """Return capital letters, distinct by the number."""
    letters = ""
    for _ in range(min(width, 8)):
        number, digit = divmod(number, 26)
        letters = chr(ord("A") + digit) + letters
    return letters.rjust(width, "A")


def _forms(number: int, modifier: int) -> list[str]:
    width = modifier - 4 if modifier >= 4 else 10_000
    forms = [form.format(n=number) for form in _FORMS]
    forms += [
        make(number, letters)
        for letters in (2, 3)
        for make in (_letters, lambda n, w: _letters(n, w).lower())
    ]
    forms += [f"v{_short(number, 8)}", f"V{number}", str(UUID(int=number))]
    return [form for form in forms if len(form) <= width]


def _times(strings: Sequence[str], number: int) -> list[str]:
    """Return times behind those of a check, then these, then far ones."""
    dates = [text for text in strings if _DATE.match(text)]
    later = []
    for text in dates:
        with suppress(ValueError):  # the 30th of February
            later += [
                str(date.fromisoformat(text[:10]) + timedelta(days=number % days)) for days in (300, 28)
            ]
    return [*later, *dates, "2100-01-01", "2000-01-01", "1970-01-01"]


def _around(numbers: Sequence[str], kind: str, number: int) -> list[str]:
    """Return values between the limits of a check, then the limits and those next to them."""
    values = [Decimal(text) for text in numbers]
    found = [str(int(low) + number % int(high - low)) for low, high in pairwise(values) if high - low >= 1]
    for value in values:
        steps = (value, value + 1, value - 1)
        found += [str(each if kind not in ("int2", "int4", "int8", "oid") else int(each)) for each in steps]
    if kind in ("float4", "float8", "numeric"):
        found += [f"{(low + high) / 2:f}" for low, high in pairwise(values)]
    return [*found, "1", "0", "-1"]
