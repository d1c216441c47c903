"""The values of a header's keys, each read by its own rules."""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import TYPE_CHECKING, Final, cast

from plainsql.duration_text import seconds_of
from plainsql.errors import SqlFileError
from plainsql.statements.header import Entry, close_match
from plainsql.statements.header_encryption import read_encryption
from plainsql.statements.header_errors import read_error
from plainsql.statements.header_examples import ExampleLine, read_example
from plainsql.statements.header_settings import read_setting, setting_name
from plainsql.statements.model import (
    DEFAULT_MAX_LAG_S,
    Allowance,
    Bounds,
    CachePolicy,
    ColumnHint,
    NamedError,
    Returns,
)
from plainsql.statements.source import Source
from plainsql.statements.suggestions import RESERVED_ROW_NAMES, returns_form, row_name

if TYPE_CHECKING:
    from plainsql.statements.model import Constant, Encryption, Number, QuerySetting, ReturnKind

__all__ = ["FORMS", "Keys", "read_keys"]

FORMS: Final = (
    "one Lead, optional Lead or many Lead (Lead names the row's type),"
    " value, optional value, many value, count or copied"
)
"""The values that ``returns:`` may have."""
_FLAGS: Final = {
    "value": Returns("one"),
    "count": Returns("count"),
    "copied": Returns("count", copied=True),
}
_ROW: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_MAX_DIGITS: Final = 1000
"""No column in use holds more, and Python reads 4,300 at most."""

_BRACKETS: Final = re.compile(r"(?:encrypted|digest)\b[^=(]*\([^)]*\)")
_NUMBER: Final = r"[-+]?[0-9](?:_?[0-9])*(?:\.[0-9]+)?"
_RANGE: Final = re.compile(rf"({_NUMBER})?[ \t]*\.\.[ \t]*({_NUMBER})?")
_STRING: Final = re.compile(r"'((?:[^']|'')*)'")
_TYPE_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ELEMENTS: Final = re.compile(r"(?:^|,?[ \t]+)elements[ \t]+(not null|nullable)$")
_PARAMETER_TYPE: Final = re.compile(
    r"((?:list\[)*(?:[a-z_]\w*\.)*(?:(?<=\.)\w+|[A-Z]\w*|int|float|str|bool|bytes)\]*)(?=[ \t]|\Z)"
)
"""The type of a parameter in front of its bounds: it has a module, a capital letter, or is built in."""
_DESCRIBED: Final = ("param", "column")
_DESCRIPTION: Final = re.compile(r"((?:'(?:[^']|'')*'|(?!(?<!\S)--(?!\S)).)*?)(?<!\S)--(?!\S)(.*)", re.DOTALL)
"""A value, in which strings may hold dashes, two dashes among spaces, and a text."""
_REPLICA: Final = re.compile(r"yes(?:[ \t]*,[ \t]*lag[ \t]+(\S+))?")
_FINDING: Final = re.compile(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*)[ \t]*:[ \t]*")


class Keys:
    """The values of a header's keys. ``returns`` is ``None`` only if its error was reported."""

    __slots__ = (
        *(
            "allow",
            "bounds",
            "bounds_offsets",
            "cache",
            "columns",
            "deprecated",
            "described",
            "encrypted",
            "errors",
            "examples",
            "paged",
            "autobatch",
            "replica",
            "returns",
            "setting_offsets",
            "settings",
            "table",
            "types",
        ),
    )

    def __init__(self, table: str) -> None:
        self.table = table
        """The folder of the file, with dots."""
        self.returns: Returns | None = None
        self.bounds: dict[str, Bounds] = {}
        self.bounds_offsets: dict[str, int] = {}
        self.encrypted: dict[str, Encryption] = {}
        self.types: dict[str, str] = {}
        """The types of parameters, as written."""
        self.columns: list[ColumnHint] = []
        self.cache: CachePolicy | None = None
        self.allow: list[Allowance] = []
        self.autobatch = True
        self.replica: float | None = None
        """The seconds that a replica may be behind; None if the query runs on the primary."""
        self.examples: list[ExampleLine] = []
        self.errors: list[NamedError] = []
        self.paged = False
        self.deprecated = ""
        self.settings: list[QuerySetting] = []
        self.setting_offsets: list[int] = []
        """The offset of the value of each ``set`` line."""
        self.described: dict[str, tuple[str, int]] = {}
        """The text of each ``param`` line that has one, and the offset of the parameter's name."""


def read_keys(source: Source, entries: list[Entry], table: str, errors: list[SqlFileError]) -> Keys:
    """Read every value. Errors go to ``errors``; the rest is read all the same.

    ``table`` is the folder of the file, with dots.
    """
    keys = Keys(table)
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        if not entry.key:
            continue
        identity = (entry.key, entry.value if entry.key in ("allow", "example") else entry.name)
        if entry.key == "allow" and (finding := _FINDING.match(entry.value)):
            identity = (entry.key, finding[1])
        if entry.key == "set":
            identity = (entry.key, setting_name(entry.value) or entry.value)
        if identity in seen:
            errors.append(_twice(source, entry, identity[1], seen[identity]))
            continue
        seen[identity] = entry.key_offset
        try:
            if entry.key in _DESCRIBED:
                _take_description(source, entry)
            if not entry.value and not entry.description:
                raise source.error(entry.value_offset, f"{entry.key} has no value", hint=_EXAMPLES[entry.key])
            _READERS[entry.key](source, entry, keys)
        except SqlFileError as error:
            errors.append(error)
    if keys.cache and keys.returns and keys.returns.kind == "count":
        errors.append(
            source.error(
                seen["cache", ""],
                "a count of affected rows cannot be cached",
                hint="remove the line: a write invalidates cached reads without it",
            )
        )
    if keys.cache and keys.replica is not None:
        errors.append(
            source.error(
                seen["replica", ""],
                "a cached query reads from the primary alone: what a replica returns is not stored",
                hint="remove this line, or the cache line",
            )
        )
    if keys.paged and keys.returns and keys.returns.kind != "many":
        errors.append(
            source.error(
                seen["page", ""],
                f"'returns: {keys.returns}' has no pages",
                hint="declare 'returns: many …', or remove the line",
            )
        )
    _check_encrypted(source, seen, keys, errors)
    return keys


def _take_description(source: Source, entry: Entry) -> None:
    """Move the text after two dashes from the value of an entry into its description.

    Raises ``SqlFileError`` if there are dashes and no text.
    """
    found = _DESCRIPTION.match(entry.value)
    if found is None:
        return
    entry.value, entry.description = found[1].rstrip(), found[2].strip()
    if not entry.description:
        raise source.error(
            entry.value_offset + found.end(1),
            "expected a text after the two dashes, got nothing",
            hint=f"write, for example, {entry.key} {entry.name}: -- in cents, or remove the dashes",
        )


def _check_encrypted(
    source: Source, seen: dict[tuple[str, str], int], keys: Keys, errors: list[SqlFileError]
) -> None:
    encrypted = [hint.name for hint in keys.columns if hint.encryption is not None]
    # The key of a cached search has digests, and no text.
    secret = [*encrypted, *(name for name, each in keys.encrypted.items() if not each.is_search)]
    if keys.cache and secret:
        errors.append(
            source.error(
                seen["cache", ""],
                f"a query with the encrypted {secret[0]} is not cached",
                detail="its result would be stored in Redis in plain text",
                hint="remove the line, or cache a query that does not return it",
            )
        )
    if encrypted and keys.returns and keys.returns.row is None:
        errors.append(
            source.error(
                seen["returns", ""],
                f"{encrypted[0]} is encrypted, and 'returns: {keys.returns}' has no columns that "
                "identify the row",
                hint="name a row, and return those columns with it: returns: optional Credentials",
            )
        )


def _twice(source: Source, entry: Entry, name: str, first: int) -> SqlFileError:
    what = f"{entry.key} {name}" if name else entry.key
    return source.error(
        entry.key_offset,
        f"{what} is given twice",
        detail=f"first given at {source.place(first)}",
        hint="keep one of them",
    )


def _read_returns(source: Source, entry: Entry, keys: Keys) -> None:
    words = entry.value.split()
    kind, rest = words[0], words[1:]
    if entry.value in _FLAGS:
        keys.returns = _FLAGS[entry.value]
        return
    if kind not in ("one", "optional", "many"):
        if _ROW.fullmatch(kind) and not rest:
            row = row_name(kind) or "Lead"
            hint = f"write one {row}, optional {row} or many {row}"
        elif meant := close_match(kind, ["one", "optional", "many", "value", "count", "copied"], 0.7):
            hint = f"did you mean {returns_form([meant, *rest])}?"
        else:
            hint = f"write {FORMS}"
        raise source.error(entry.value_offset, f"returns cannot be {entry.value!r}", hint=hint)
    offset = entry.value_offset + entry.value.index(kind) + len(kind)
    if not rest:
        raise source.error(
            offset,
            f"returns: {kind} needs the name of a row, or value",
            hint=f"name the type of the row, for example {kind} Lead",
        )
    offset = entry.value_offset + entry.value.index(rest[0], len(kind))
    if len(rest) > 1:
        extra = source.text.index(rest[1], offset + len(rest[0]))
        raise source.error(
            extra, f"expected nothing after {kind} {rest[0]}, got {rest[1]!r}", hint=f"write {FORMS}"
        )
    row = rest[0]
    if row == "value":
        if kind == "one":
            raise source.error(
                entry.value_offset, "'one value' is not a form of returns", hint="write returns: value"
            )
        keys.returns = Returns(cast("ReturnKind", kind))
        return
    if not _ROW.fullmatch(row):
        camel = row_name(row)
        raise source.error(
            offset,
            f"{row!r} cannot be the name of a row, expected a name such as Lead",
            hint=f"did you mean {camel}?"
            if camel
            else "name the row by what it is, such as Lead"
            if re.search("[A-Za-z]", row)
            else "begin it with a capital letter",
        )
    if row in RESERVED_ROW_NAMES:
        raise source.error(
            offset,
            f"{row!r} cannot be the name of a row: the name is taken in Python or in plainsql",
            hint="name the row by what it is, such as Lead",
        )
    keys.returns = Returns(cast("ReturnKind", kind), row)


def _read_param(source: Source, entry: Entry, keys: Keys) -> None:
    if entry.description:
        keys.described[entry.name] = (entry.description, entry.name_offset)
        if not entry.value:
            return
    # Keys in brackets may have an equals sign of their own: encrypted (id = user_id) = null.
    outer = _BRACKETS.match(entry.value)
    start = outer.end() if outer else 0
    value, equals, default_text = entry.value[start:].partition("=")
    value = entry.value[:start] + value
    encryption = read_encryption(source, value.strip(), entry.value_offset, entry.name, keys.table)
    if encryption is not None:
        keys.encrypted[entry.name] = encryption
        keys.bounds_offsets[entry.name] = entry.name_offset
        if equals:
            if default_text.strip() != "null":
                raise source.error(
                    entry.value_offset + len(value),
                    "the default of an encrypted parameter can only be null",
                    hint=f"write param {entry.name}: {value.strip()} = null, or leave the default out",
                )
            keys.bounds[entry.name] = Bounds(None, None, None, True, source.place(entry.name_offset))
        return
    low: Number | None = None
    high: Number | None = None
    if named := _PARAMETER_TYPE.match(value):
        _check_type(source, named[1], entry.value_offset)
        keys.types[entry.name] = named[1]
        value = value[named.end() :]
    if value.strip():
        found = _RANGE.fullmatch(value.strip())
        if found is None or not (found[1] or found[2]):
            raise source.error(
                entry.value_offset,
                f"{value.strip()!r} is not a range, expected for example 1..200, 1.. or ..200",
                hint="write the least value, two dots and the greatest value, which are both allowed",
            )
        low = _number(source, found[1], entry.value_offset) if found[1] else None
        high = _number(source, found[2], entry.value_offset) if found[2] else None
        if low is not None and high is not None and low > high:
            raise source.error(
                entry.value_offset,
                f"the range {low}..{high} is empty",
                hint=f"write {high}..{low}",
            )
    default: Constant = None
    if equals:
        offset = entry.value_offset + len(value) + 1 + len(default_text) - len(default_text.lstrip())
        default = _constant(source, default_text.strip(), offset)
        if low is not None or high is not None:
            _check_default(source, default, low, high, offset)
    keys.bounds[entry.name] = Bounds(low, high, default, bool(equals), source.place(entry.name_offset))
    keys.bounds_offsets[entry.name] = entry.name_offset


def _check_default(
    source: Source, default: Constant, low: Number | None, high: Number | None, offset: int
) -> None:
    # A default of null passes: null is no value, and bounds are about values.
    if default is None:
        return
    shown = f"{'' if low is None else low}..{'' if high is None else high}"
    if isinstance(default, str | bool):
        raise source.error(
            offset, f"the default must be a number within {shown}", hint="give a number, or no bounds"
        )
    if (low is not None and default < low) or (high is not None and default > high):
        raise source.error(
            offset, f"the default {default} is outside {shown}", hint=f"give a default within {shown}"
        )


def _number(source: Source, text: str, offset: int) -> Number:
    if len(text) > _MAX_DIGITS:
        raise source.error(
            offset,
            f"a number has {len(text)} characters, expected {_MAX_DIGITS} at most",
            hint="give a smaller number, or leave the bound out",
        )
    if "." not in text:
        return int(text)
    # Few headers need decimals, and the module takes a millisecond to import.
    from decimal import Decimal

    return Decimal(text.replace("_", ""))


def _constant(source: Source, text: str, offset: int, *, what: str = "a default") -> Constant:
    if re.fullmatch(_NUMBER, text):
        return _number(source, text, offset)
    if string := _STRING.fullmatch(text):
        return string[1].replace("''", "'")
    words: dict[str, bool | None] = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    got = f", got {text!r}" if text else ""
    raise source.error(
        offset,
        f"expected {what}: a number, 'text', true, false or null{got}",
        hint=f"write '{text}' for a text" if text and text.isidentifier() else "write it as in SQL",
    )


def _read_column(source: Source, entry: Entry, keys: Keys) -> None:
    name = entry.name
    if name.startswith('"'):
        name = name[1:-1].replace('""', '"')
    value = entry.value
    nullable: bool | None = None
    elements = None
    if (found := _ELEMENTS.search(value)) is not None:
        elements, value = found[1] == "nullable", value[: found.start()]
    for ending, answer in (("not null", False), ("nullable", True)):
        if value == ending or value.endswith(" " + ending):
            nullable = answer
            value = value.removesuffix(ending).rstrip()
    encryption = read_encryption(source, value, entry.value_offset, name, keys.table, is_column=True)
    if encryption is not None:
        value = ""
    if value:
        _check_type(source, value, entry.value_offset)
    place = source.place(entry.name_offset)
    keys.columns.append(
        ColumnHint(name, value or None, nullable, place, encryption, entry.description, elements)
    )


def _check_type(source: Source, value: str, offset: int) -> None:
    """Raise unless the value names a Python type, which may take others in brackets."""
    words = _TYPE_WORD.findall(value)
    if re.sub(r"[\s_]", "", value.lower()) in ("notnull", "nonnull", "null", "optional", "required"):
        raise source.error(offset, f"{value!r} is not a type", hint="write not null or nullable")
    bad = any((iskeyword(part) and word != "None") or not part for word in words for part in word.split("."))
    if not bad and re.fullmatch(r"[\w.\[\], |]+", value, re.ASCII):
        try:
            compile(value, "", "eval")
        except (SyntaxError, RecursionError, MemoryError):  # the last two: the type nests too deep for Python
            pass
        else:
            if not re.search(r"(?<![\w.])[0-9]", value):
                return
    raise source.error(
        offset,
        f"{value!r} is not a type, expected for example whatsapp.Payload or list[whatsapp.Item]",
        hint="write the type with its module, not null, or nullable",
    )


def _read_cache(source: Source, entry: Entry, keys: Keys) -> None:
    offset = entry.value_offset
    found: dict[str, float | bool] = {}
    for index, part in enumerate(entry.value.split(",")):
        text = part.strip()
        at = offset + len(part) - len(part.lstrip())
        offset += len(part) + 1
        if index == 0:
            found["ttl"] = _seconds(source, text, at, "the time to live")
            continue
        option, _, rest = text.partition(" ")
        name = "negative" if text == "no negative" else option
        if name in found:
            raise source.error(at, f"{text!r} is given twice", hint="keep one of them")
        if name == "negative" and text == "no negative":
            found[name] = False
        elif name in ("local", "stale"):
            found[name] = _seconds(
                source, rest.strip(), at + len(text) - len(rest), f"the time behind {name}"
            )
        else:
            meant = close_match(
                text if text.startswith("no") else option, ["local", "stale", "no negative"], 0.6
            )
            raise source.error(
                at,
                f"unknown option {text!r} of cache, expected local 1s, stale 30s or no negative",
                hint=f"did you mean {meant}?" if meant else "write, for example, cache: 5m, local 1s",
            )
    ttl, local = found["ttl"], found.get("local")
    if local is not None and local > ttl:
        raise source.error(
            entry.value_offset,
            "the local time is longer than the time to live of the entry",
            hint="shorten the local time; a second is often enough",
        )
    keys.cache = CachePolicy(ttl, local, found.get("stale"), bool(found.get("negative", True)))


def _seconds(source: Source, text: str, offset: int, what: str) -> float:
    seconds = seconds_of(text)
    if seconds is None:
        raise source.error(
            offset,
            f"{what} {f'cannot be {text!r}' if text else 'is missing'}, expected for example 30s, 5m or 1h",
            hint="use the units ms, s, m, h and d",
        )
    if not seconds:
        raise source.error(offset, f"{what} is zero", hint="remove it to turn it off")
    return seconds


def _read_allow(source: Source, entry: Entry, keys: Keys) -> None:
    found = _FINDING.match(entry.value)
    reason = entry.value[found.end() :] if found else ""
    if found is None or not reason:
        raise source.error(
            entry.value_offset if found is None else entry.value_offset + found.end(1),
            "expected the name of a finding, a colon and the reason"
            if found is None
            else f"{found[1]} is allowed without a reason",
            hint="write, for example, allow: missing-index: the table has forty rows",
        )
    keys.allow.append(Allowance(found[1], reason, source.place(entry.value_offset)))


def _read_autobatch(source: Source, entry: Entry, keys: Keys) -> None:
    if entry.value != "off":
        raise source.error(
            entry.value_offset,
            f"autobatch cannot be {entry.value!r}, expected off",
            hint="remove the line: concurrent calls share a round trip wherever that is proved safe",
        )
    keys.autobatch = False


def _read_replica(source: Source, entry: Entry, keys: Keys) -> None:
    found = _REPLICA.fullmatch(entry.value)
    if found is None:
        raise source.error(
            entry.value_offset,
            f"replica cannot be {entry.value!r}, expected yes, with or without a lag",
            hint=_EXAMPLES["replica"],
        )
    if found[1] is None:
        keys.replica = DEFAULT_MAX_LAG_S
    else:
        keys.replica = _seconds(source, found[1], entry.value_offset + found.start(1), "the lag")


def _read_example(source: Source, entry: Entry, keys: Keys) -> None:
    def constant(text: str, offset: int) -> Constant:
        return _constant(source, text, offset, what="a value")

    keys.examples.append(read_example(source, entry.value, entry.value_offset, entry.key_offset, constant))


def _read_error(source: Source, entry: Entry, keys: Keys) -> None:
    keys.errors.append(read_error(source, entry.name, entry.name_offset, entry.value, entry.value_offset))


def _read_deprecated(source: Source, entry: Entry, keys: Keys) -> None:
    keys.deprecated = entry.value


def _read_set(source: Source, entry: Entry, keys: Keys) -> None:
    keys.settings.append(read_setting(source, entry.value, entry.value_offset))
    keys.setting_offsets.append(entry.value_offset)


def _read_page(source: Source, entry: Entry, keys: Keys) -> None:
    if entry.value != "key":
        raise source.error(
            entry.value_offset,
            f"page cannot be {entry.value!r}, expected key",
            hint="write page: key, and end the order by in a unique key",
        )
    keys.paged = True


_READERS: Final = {
    "returns": _read_returns,
    "param": _read_param,
    "column": _read_column,
    "cache": _read_cache,
    "allow": _read_allow,
    "autobatch": _read_autobatch,
    "example": _read_example,
    "error": _read_error,
    "page": _read_page,
    "deprecated": _read_deprecated,
    "set": _read_set,
    "replica": _read_replica,
}
_EXAMPLES: Final = {
    "returns": f"write {FORMS}",
    "param": "write, for example, param limit: 1..200 = 5",
    "column": "write, for example, column total: not null",
    "cache": "write, for example, cache: 5m",
    "allow": "write, for example, allow: missing-index: the table has forty rows",
    "autobatch": "write autobatch: off, or remove the line",
    "example": "write, for example, example: id = 42, state = 'open'",
    "page": "write page: key",
    "error": "write, for example, error customers_email_key: EmailTaken",
    "deprecated": "write, for example, deprecated: use leads.get_by_key",
    "set": "write, for example, set: hnsw.ef_search = 100",
    "replica": "write replica: yes, or replica: yes, lag 5s",
}
