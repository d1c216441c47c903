"""The stored form of an encrypted value, with all that decryption needs to detect changes of it.

::

    "pse1"   4 bytes    a value of plainsql, encrypted, format 1
    n        1 byte     the length of the key's id
    id       n bytes    the key's id in the ring, in ASCII
    check    4 bytes    of the key itself: it tells another key of the same id from a changed value
    nonce    12 bytes   random, new for every value
    text     the rest   AES-256-GCM's ciphertext, and its tag of 16 bytes

A searchable value begins with ``pss1`` and its search digest of 32 bytes, and goes on with n. The digest is
at a fixed place, so that a generated column can hold it: ``substring(email from 5 for 32)``.

The associated data, which are authenticated and not stored, are everything before the nonce, the column
(``schema.table.column``), and the names and values of the columns that identify the row. Each part is
preceded by its length, so that two different lists of parts never have the same bytes.

A value is a text: a uuid as PostgreSQL writes it, the digits of a number, a text unchanged. A text that could
be a uuid stays a text, because in a text column two spellings are two rows.

Values from before names were authenticated have no names in their associated data, and uuids in place of
texts that could be one. Decryption tries both: no list of parts is one of both kinds (``ROW``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Final, NamedTuple
from uuid import UUID

from plainsql.errors import BindError

__all__ = [
    "CHECK",
    "DIGEST",
    "NONCE",
    "SEARCHABLE",
    "Envelope",
    "associated_data",
    "header",
    "other_data",
    "refuse_unusual",
    "same_key",
    "unpack",
    "with_lengths",
]

MAGIC: Final = b"pse1"
SEARCHABLE: Final = b"pss1"
"""The first bytes of a value with a search digest."""
DIGEST: Final = 32
"""The length of a search digest, in bytes."""
CHECK: Final = 4
"""The length of a key's check, in bytes."""
NONCE: Final = 12
TAG: Final = 16
ROW: Final = b"row"
"""The first part of associated data with names. Without names it is the header, which begins otherwise."""
_UUID: Final = re.compile(r"\{?[0-9A-Fa-f]{4}(?:-?[0-9A-Fa-f]{4}){7}\}?")
"""All spellings that PostgreSQL reads as a uuid, and some more."""
_MAX_SPELLINGS: Final = 600
"""The number of ways to spell up to three uuids."""


class Envelope(NamedTuple):
    """The parts of a stored value."""

    header: bytes
    """The bytes before the nonce, which are authenticated."""
    key_id: str
    check: bytes
    nonce: bytes
    ciphertext: bytes
    digest: bytes = b""
    """The search digest; empty if the value is not searchable."""


def header(key_id: str, check: bytes, digest: bytes = b"") -> bytes:
    """Return the bytes before the nonce, with the search digest if there is one."""
    name = key_id.encode("ascii")
    return (SEARCHABLE + digest if digest else MAGIC) + bytes([len(name)]) + name + check


def unpack(stored: bytes) -> Envelope | None:
    """Return the parts of a stored value, None if it has not this form."""
    digest = stored[len(SEARCHABLE) :][:DIGEST] if stored.startswith(SEARCHABLE) else b""
    start = len(MAGIC) + len(digest) + 1
    if not (digest or stored.startswith(MAGIC)) or len(stored) < start:
        return None
    after_id = start + stored[start - 1]
    at = after_id + CHECK
    if len(stored) < at + NONCE + TAG:
        return None
    try:
        key_id = stored[start:after_id].decode("ascii")
    except UnicodeDecodeError:
        return None
    return Envelope(
        stored[:at], key_id, stored[after_id:at], stored[at : at + NONCE], stored[at + NONCE :], digest
    )


def associated_data(head: bytes, column: str, names: Sequence[str], values: Sequence[object]) -> bytes:
    """Return the associated data of a value: its header, its column, and the keys of its row.

    Raises ``BindError`` if a key is null, missing, or of a type whose values have more than one text form.
    """
    parts = [ROW, head, column.encode()]
    for name, value in zip(names, values, strict=True):
        parts.append(name.encode())
        if type(value) is UUID:
            parts.append(str(value).encode())
        else:
            parts.append(_canonical(column, name, value))
    return with_lengths(parts)


def refuse_unusual(column: str, names: Sequence[str], values: Sequence[object]) -> None:
    """Raise ``BindError`` if a key is a uuid as a text in a spelling that ``other_data`` does not try.

    If the column is a uuid, the value could never be decrypted.
    """
    for name, value in zip(names, values, strict=True):
        if (
            isinstance(value, str)
            and _UUID.fullmatch(value)
            and value.encode() not in _spellings(UUID(value))
        ):
            raise BindError(
                f"{name}: got a uuid in an unusual spelling, and the encrypted {column} is bound to it",
                hint="give a UUID, or write it in lower case, as PostgreSQL does",
            )


def other_data(head: bytes, column: str, names: Sequence[str], values: Sequence[object]) -> Iterator[bytes]:
    """Yield the other associated data that the same row may have, the most likely first.

    - Before names were authenticated, texts that could be a uuid were taken for one.
    - A uuid may have been given as a text, in any spelling that drivers accept. The column is a uuid, as the
      value came back as one; so all spellings mean the same row.
    """
    texts = [_canonical(column, name, value) for name, value in zip(names, values, strict=True)]
    yield with_lengths([head, column.encode(), *map(_as_uuid, texts)])
    spelled = [
        _spellings(value) if isinstance(value, UUID) else [text]
        for value, text in zip(values, texts, strict=True)
    ]
    for chosen in islice(product(*spelled), 1, _MAX_SPELLINGS):
        parts = [ROW, head, column.encode()]
        for name, text in zip(names, chosen, strict=True):
            parts += [name.encode(), text]
        yield with_lengths(parts)


def _spellings(value: UUID) -> list[bytes]:
    """Return the spellings of a uuid that have one case only, PostgreSQL's own first."""
    plain = [str(value), value.hex]
    cases = [*plain, *map(str.upper, plain)]
    return list(dict.fromkeys(form.encode() for text in cases for form in (text, f"{{{text}}}")))


def _canonical(column: str, name: str, value: object) -> bytes:
    """Return one text for all objects that a driver sends as the same value."""
    if isinstance(value, UUID):  # asyncpg has a subclass of its own
        return str(value).encode()
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise BindError(f"{name}: the text is not valid Unicode") from None
    try:
        return b"%d" % operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        what = "null" if value is None else type(value).__name__
        raise BindError(
            f"{name}: got {what}, and the encrypted {column} is bound to it",
            hint="give the row's own values, which are a uuid, an integer or a text each",
        ) from None


def same_key(column: str, name: str, value: object) -> bytes:
    """Return one text for all spellings of a key, which is a uuid if it can be one.

    Raises ``BindError`` if it is null, or of a type whose values have more than one text form.
    """
    return _as_uuid(_canonical(column, name, value))


def _as_uuid(text: bytes) -> bytes:
    try:
        return str(UUID(text.decode())).encode()
    except ValueError:
        return text


def with_lengths(parts: Sequence[bytes]) -> bytes:
    """Return the parts with the length of each in front: two lists never have the same bytes."""
    return b"".join(part for text in parts for part in (len(text).to_bytes(4), text))
