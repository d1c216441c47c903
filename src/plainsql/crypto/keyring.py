"""The key ring: keys with ids. The first one encrypts, all of them decrypt."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from plainsql.crypto.blind_index import derived_key
from plainsql.crypto.envelope import (
    CHECK,
    NONCE,
    Envelope,
    associated_data,
    header,
    other_data,
    refuse_unusual,
    unpack,
)
from plainsql.errors import BindError, EncryptionError, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEYS_VARIABLE", "KeyRing", "new_key", "parse_keys"]

KEYS_VARIABLE: Final = "PLAINSQL_ENCRYPTION_KEYS"
"""``id:key,id:key``: each key is 32 bytes in base64. The first one encrypts, all of them decrypt."""

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_BYTES: Final = 32


class KeyRing:
    """Keys by their ids. Its repr shows the ids, never a key."""

    __slots__ = ("_ciphers", "_derived", "_header", "_keys", "active", "ids")

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        """``keys`` are ids with 32 bytes each, at least one; the first one encrypts."""
        aesgcm = _aesgcm()
        self._ciphers = {key_id: (_check(key), aesgcm(key)) for key_id, key in keys}
        self._keys = tuple(key for _, key in keys)
        self._derived: dict[str, tuple[bytes, ...]] = {}
        """The keys of search digests, by column."""
        self.ids = tuple(self._ciphers)
        self.active = self.ids[0]
        """The id of the key that encrypts."""
        self._header = header(self.active, self._ciphers[self.active][0])

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> KeyRing:
        """Return the ring of ``PLAINSQL_ENCRYPTION_KEYS``.

        Raises ``SettingsError`` if it is not set or cannot be parsed; the message holds no part of a key.
        """
        text = (os.environ if environ is None else environ).get(KEYS_VARIABLE, "")
        if not text.strip():
            raise SettingsError(
                f"{KEYS_VARIABLE} is not set, and the query has encrypted values",
                hint="create a key: plainsql crypto new-key",
            )
        return _parsed(text)

    def encrypt(
        self, text: str, column: str, names: Sequence[str], values: Sequence[object], digest: bytes = b""
    ) -> bytes:
        """Encrypt a text for one column of one row, with a new nonce.

        ``names`` and ``values`` identify the row. The value begins with its search digest if it has one.
        """
        check, cipher = self._ciphers[self.active]
        head = header(self.active, check, digest) if digest else self._header
        data = associated_data(head, column, names, values)
        refuse_unusual(column, names, values)
        nonce = os.urandom(NONCE)
        return head + nonce + cipher.encrypt(nonce, text.encode(), data)

    def search_keys(self, column: str) -> tuple[bytes, ...]:
        """Return the keys of a column's search digests: that of the first key, then of the others."""
        found = self._derived.get(column)
        if found is None:
            found = self._derived[column] = tuple(derived_key(key, column) for key in self._keys)
        return found

    def decrypt(self, stored: object, column: str, names: Sequence[str], values: Sequence[object]) -> str:
        """Return the text that was encrypted for this column of this row.

        Raises ``EncryptionError`` if it cannot be decrypted: it has another key, it was changed, or it was
        moved from another row, tenant or column.
        """
        envelope = unpack(stored) if isinstance(stored, bytes) else None
        if envelope is None:
            raise _error(
                column, names, values, "is not an encrypted value", "encrypt the old values of the column"
            )
        cipher = self._cipher(envelope, column, names, values)
        try:
            data = associated_data(envelope.header, column, names, values)
        except BindError as error:
            raise EncryptionError(f"{column}: {error.message}", hint=error.hint) from None
        text = _opened(cipher, envelope, data)
        if text is None:
            for other in other_data(envelope.header, column, names, values):
                if (text := _opened(cipher, envelope, other)) is not None:
                    break
        if text is None:
            raise _error(
                column,
                names,
                values,
                f"cannot be decrypted with the key {envelope.key_id!r}: it was changed, "
                f"or moved from another row or column",
                f"restore it; if {', '.join(names)} of the row were changed, write the value again",
            )
        return text.decode()

    @property
    def current(self) -> bytes:
        """The prefix of all values encrypted with the first key, and of no others.

        A searchable value has it without the first four bytes, behind its digest.
        """
        return self._header

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self.ids)}>"

    def _cipher(
        self, envelope: Envelope, column: str, names: Sequence[str], values: Sequence[object]
    ) -> AESGCM:
        known = self._ciphers.get(envelope.key_id)
        if known is None:
            raise _error(
                column,
                names,
                values,
                f"was encrypted with the key {envelope.key_id!r}, which is not in the ring "
                f"({', '.join(self.ids)})",
                f"add that key to {KEYS_VARIABLE}, behind the first",
            )
        check, cipher = known
        if not hmac.compare_digest(check, envelope.check):
            raise _error(
                column,
                names,
                values,
                f"was encrypted with another key than the one named {envelope.key_id!r} here",
                f"find the key that had this id: {KEYS_VARIABLE} of the program that wrote the row",
            )
        return cipher


def _opened(cipher: AESGCM, envelope: Envelope, data: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(envelope.nonce, envelope.ciphertext, data)
    except InvalidTag:
        return None


def new_key() -> str:
    """Return a new random key of 32 bytes, in base64."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


# The same text always has the same ring: a change of the environment takes effect at the next call.
@lru_cache(maxsize=4)
def _parsed(text: str) -> KeyRing:
    return KeyRing(list(parse_keys(text, KEYS_VARIABLE).items()))


def parse_keys(text: str, variable: str) -> dict[str, bytes]:
    """Return keys by their ids, in their order, from the text of an environment variable.

    Raises ``SettingsError`` if it cannot be parsed; the message names the variable, and no part of a key.
    """
    keys: dict[str, bytes] = {}
    for number, item in enumerate(text.split(","), 1):
        key_id, colon, encoded = item.strip().partition(":")
        if not colon or not _ID.fullmatch(key_id):
            # The entry may be the key itself, so the message does not show it.
            raise SettingsError(
                f"{variable}: entry {number} has no id, expected id:key",
                hint="use up to 64 letters, digits, '.', '_' and '-', such as 2026-11",
            )
        if key_id in keys:
            raise SettingsError(f"{variable}: the id {key_id!r} is given twice", hint="rename one")
        keys[key_id] = _decoded(variable, key_id, encoded)
    return keys


def _decoded(variable: str, key_id: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        key = b""
        found = "it is not base64"
    else:
        found = f"got {len(key)}"
    if len(key) != _KEY_BYTES:
        raise SettingsError(
            f"{variable}: the key {key_id!r}: expected {_KEY_BYTES} bytes in base64, {found}",
            hint="create one: plainsql crypto new-key",
        )
    return key


def _check(key: bytes) -> bytes:
    """Return a few bytes that identify a key without revealing it."""
    return hmac.new(key, b"plainsql key check", hashlib.sha256).digest()[:CHECK]


def _error(
    column: str, names: Sequence[str], values: Sequence[object], message: str, hint: str
) -> EncryptionError:
    from uuid import UUID

    # A text may be an address or a telephone number, so only integers and uuids are shown.
    row = ", ".join(
        f"{name} {value if isinstance(value, int | UUID) else '…'}"
        for name, value in zip(names, values, strict=True)
    )
    return EncryptionError(f"{column} of the row with {row}: the value {message}", hint=hint)


def _aesgcm() -> type[AESGCM]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SettingsError(
            "encrypted columns need the library cryptography", hint="pip install 'plainsql[crypto]'"
        ) from None
    return AESGCM
