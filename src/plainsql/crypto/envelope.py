"""What is stored: one encrypted value, with what it takes to open it and to notice what was done to it.

::

    "pse1"   4 bytes    a value of plainsql, encrypted, format 1
    n        1 byte     the length of the key's id
    id       n bytes    ASCII: which key of the ring
    check    4 bytes    of that key itself, so that another key under the same id is told from a changed value
    nonce    12 bytes   random, new for every value
    text     the rest   AES-256-GCM's ciphertext, and its tag of 16 bytes

Authenticated with it, and not stored: everything before the nonce, the column (``schema.table.column``), and
the names and values of the columns that say which row it is. Each part is preceded by its length, so that no
two lists of parts read the same.

A value is a text: a uuid's as PostgreSQL writes it, a number's digits, a text as it is. A text that reads as
a uuid stays a text, for in a column of that type two spellings are two rows.

Values that were encrypted before names were authenticated have no names there, and uuids for texts that read
as one. They are told apart by what opens them: no list of parts is one of both kinds (``ROW``).
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
    "NONCE",
    "Envelope",
    "associated_data",
    "header",
    "other_data",
    "refuse_unusual",
    "unpack",
]

MAGIC: Final = b"pse1"
CHECK: Final = 4
"""The length of a key's check, in bytes."""
NONCE: Final = 12
TAG: Final = 16
ROW: Final = b"row"
"""The first part where names are authenticated; without them, it is the header, which begins otherwise."""
_UUID: Final = re.compile(r"\{?[0-9A-Fa-f]{4}(?:-?[0-9A-Fa-f]{4}){7}\}?")
"""What PostgreSQL reads as a uuid, and a little more."""
_MOST: Final = 600
"""Ways to spell up to three uuids."""


class Envelope(NamedTuple):
    """A stored value, taken apart."""

    header: bytes
    """All before the nonce, which is authenticated."""
    key_id: str
    check: bytes
    nonce: bytes
    ciphertext: bytes


def header(key_id: str, check: bytes) -> bytes:
    """Return what stands before the nonce."""
    name = key_id.encode("ascii")
    return MAGIC + bytes([len(name)]) + name + check


def unpack(stored: bytes) -> Envelope | None:
    """Take a stored value apart; None where it has not the form of one."""
    start = len(MAGIC) + 1
    if not stored.startswith(MAGIC) or len(stored) < start:
        return None
    after_id = start + stored[start - 1]
    at = after_id + CHECK
    if len(stored) < at + NONCE + TAG:
        return None
    try:
        key_id = stored[start:after_id].decode("ascii")
    except UnicodeDecodeError:
        return None
    return Envelope(stored[:at], key_id, stored[after_id:at], stored[at : at + NONCE], stored[at + NONCE :])


def associated_data(head: bytes, column: str, names: Sequence[str], values: Sequence[object]) -> bytes:
    """Return what is authenticated with a value: its header, its column, and the row that it belongs to.

    Raises ``BindError`` where one of the values is null, not given, or of a type that has not one text only.
    """
    parts = [ROW, head, column.encode()]
    for name, value in zip(names, values, strict=True):
        parts.append(name.encode())
        if type(value) is UUID:
            parts.append(str(value).encode())
        else:
            parts.append(_canonical(column, name, value))
    return _joined(parts)


def refuse_unusual(column: str, names: Sequence[str], values: Sequence[object]) -> None:
    """Refuse to encrypt for a uuid that is given as a text in a spelling that ``other_data`` does not try.

    If the column is a uuid, the value could never be opened.

    Raises ``BindError``.
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
    """What may have been authenticated for this same row in another way, most likely first.

    - Before names were authenticated, texts that read as a uuid were taken for it.
    - A uuid may have been given as a text, in any of the spellings that drivers take. The column is a uuid,
      or it would not have come back as one, so that all of them are the same row.
    """
    texts = [_canonical(column, name, value) for name, value in zip(names, values, strict=True)]
    yield _joined([head, column.encode(), *map(_as_uuid, texts)])
    spelled = [
        _spellings(value) if isinstance(value, UUID) else [text]
        for value, text in zip(values, texts, strict=True)
    ]
    for chosen in islice(product(*spelled), 1, _MOST):
        parts = [ROW, head, column.encode()]
        for name, text in zip(names, chosen, strict=True):
            parts += [name.encode(), text]
        yield _joined(parts)


def _spellings(value: UUID) -> list[bytes]:
    """The ways to write a uuid that have one case only, PostgreSQL's own first."""
    plain = [str(value), value.hex]
    cases = [*plain, *map(str.upper, plain)]
    return list(dict.fromkeys(form.encode() for text in cases for form in (text, f"{{{text}}}")))


def _canonical(column: str, name: str, value: object) -> bytes:
    """One text for all that a driver would send as the same value: it comes back in the column's type."""
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


def _as_uuid(text: bytes) -> bytes:
    try:
        return str(UUID(text.decode())).encode()
    except ValueError:
        return text


def _joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(part for text in parts for part in (len(text).to_bytes(4), text))
