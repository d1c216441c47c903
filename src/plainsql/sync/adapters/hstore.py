"""hstore: a dict of texts and nulls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from plainsql.sync.adapters.adapter import Adapter, text_loader

__all__ = ["HSTORE"]

_SPECIAL: Final = re.compile(r'(["\\])')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# The server quotes each key and each text, and separates pairs by a comma and a blank.
_PAIR: Final = re.compile(
    r'"((?:[^"\\]|\\.)*)"=>(?:NULL|"((?:[^"\\]|\\.)*)")(?:, |\Z)',
    re.DOTALL,
)


def _dump_hstore(value: Any) -> str:
    if not isinstance(value, Mapping):
        raise TypeError
    return ",".join(
        f"{_quoted(key)}=>{'NULL' if item is None else _quoted(item)}" for key, item in value.items()
    )


def _quoted(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError
    escaped = _SPECIAL.sub(r"\\\1", text)
    return f'"{escaped}"'


def _load_hstore(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ValueError("the text is no hstore")
        key, value = pair.groups()
        found[_ESCAPED.sub(r"\1", key)] = None if value is None else _ESCAPED.sub(r"\1", value)
        at = pair.end()
    return found


HSTORE: Final = Adapter("hstore", _dump_hstore, text_loader(_load_hstore))
