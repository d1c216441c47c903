"""What is stored: one encrypted value, with what it takes to open it and to notice what was done to it.

::

    "pse1"   4 bytes    a value of plainsql, encrypted, format 1
    n        1 byte     the length of the key's id
    id       n bytes    ASCII: which key of the ring
    check    4 bytes    of that key itself, so that another key under the same id is told from a changed value
    nonce    12 bytes   random, new for every value
    text     the rest   AES-256-GCM's ciphertext, and its tag of 16 bytes

Authenticated with it, and not stored: everything before the nonce, the column (``schema.table.column``) and
the values of the columns that say which row it is. Each part is preceded by its length, so that no two lists
of parts read the same.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from plainsql.errors import BindError

__all__ = ["CHECK", "NONCE", "Envelope", "associated_data", "header", "unpack"]

MAGIC: Final = b"pse1"
CHECK: Final = 4
"""The length of a key's check, in bytes."""
NONCE: Final = 12
TAG: Final = 16


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
    parts = [head, column.encode()]
    for name, value in zip(names, values, strict=True):
        if type(value) is UUID:
            parts.append(str(value).encode())
        else:
            parts.append(_canonical(column, name, value))
    return b"".join(part for text in parts for part in (len(text).to_bytes(4), text))


def _canonical(column: str, name: str, value: object) -> bytes:
    """One text for all that a driver would send as the same value: it comes back in the column's type."""
    if isinstance(value, UUID):  # asyncpg has a subclass of its own
        return str(value).encode()
    if isinstance(value, str):
        try:
            return str(UUID(value)).encode()
        except ValueError:
            pass
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
