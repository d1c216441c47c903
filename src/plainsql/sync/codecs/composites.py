"""Composite types: ``(1,"a b",)``, tuples in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from plainsql.sync.codecs.codec import Codec

__all__ = ["ANONYMOUS_RECORD", "composite_codec", "quote", "unquote"]

_DOUBLED = re.compile(r'""|\\\\')
_TO_DOUBLE = re.compile(r'["\\]')
_FIELD = re.compile(r'[(,](?:"((?:[^"\\]|""|\\\\)*)"|([^",()]*))')


def composite_codec(name: str, fields: Sequence[tuple[str, Codec]]) -> Codec:
    """Make the codec of a composite type from the names and codecs of its attributes, in their order."""
    names = [field for field, _ in fields]
    codecs = [codec for _, codec in fields]

    def encode(value: Any) -> str:
        if isinstance(value, Mapping):
            if not names or not value.keys() <= set(names):
                raise ValueError
            value = [value.get(field) for field in names]
        if isinstance(value, str | bytes) or len(value) != len(codecs):
            raise TypeError
        return (
            "("
            + ",".join(
                "" if part is None else quote(codec.encode(part))
                for codec, part in zip(codecs, value, strict=True)
            )
            + ")"
        )

    def decode(text: str) -> tuple[Any, ...]:
        if not codecs:
            return ()
        return tuple(
            decode_field(codec, found[1], found[2])
            for codec, found in zip(codecs, _FIELD.finditer(text), strict=True)
        )

    def decode_field(codec: Codec, quoted: str | None, bare: str) -> Any:
        if quoted is not None:
            return codec.decode(unquote(quoted))
        return codec.decode(bare) if bare else None

    return Codec(name, encode, decode)


def quote(text: str) -> str:
    """Quote a field of a composite value, or a bound of a range."""
    return '"' + _TO_DOUBLE.sub(lambda found: found[0] * 2, text) + '"'


def unquote(text: str) -> str:
    """Undo the doubling inside the quotes."""
    return _DOUBLED.sub(lambda found: found[0][0], text)


def _refuse(_: Any) -> Any:
    raise TypeError(
        "the fields of an anonymous record have no types: name a composite type, or select them as columns"
    )


ANONYMOUS_RECORD: Final = Codec("record", _refuse, _refuse)
"""``row(1, 'a')`` without a type: its text does not say of which types its fields are."""
