"""Files of any length, encrypted in chunks of AES-256-GCM that cannot be cut, reordered or exchanged.

A file is a header and chunks of 1 MiB. Each file has a key of its own, derived from a key of the ring, a
random salt, the header and the file's name in its set: no nonce is ever used twice. The nonce of a chunk is
its number and a mark of the last one (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár), so
that a file that is cut at the end of a chunk is noticed as well.

    magic 8 | length of the id 1 | id | check of the key 4 | salt 32 | chunks of 1 MiB + 16, the last shorter
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

from plainsql.crypto.keyring import parse_keys
from plainsql.errors import EncryptionError, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["FILE_KEYS_VARIABLE", "DecryptingReader", "EncryptingWriter", "FileKeys"]

FILE_KEYS_VARIABLE: Final = "PLAINSQL_BACKUP_KEYS"
"""``id:key,id:key``: each key is 32 bytes in base64. The first one encrypts, all of them decrypt."""

CHUNK_BYTES: Final = 1 << 20
_MAGIC: Final = b"plainsf1"
_TAG_BYTES: Final = 16
_SALT_BYTES: Final = 32
_CHECK_BYTES: Final = 4


class FileKeys:
    """Keys by their ids. Its repr shows the ids, never a key."""

    __slots__ = ("_keys", "active", "ids")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """``keys`` are 32 bytes each, at least one; the first one encrypts."""
        _aesgcm()
        self._keys = MappingProxyType(dict(keys))
        self.ids = tuple(keys)
        self.active = self.ids[0]
        """The id of the key that encrypts."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> FileKeys | None:
        """Return the keys of ``PLAINSQL_BACKUP_KEYS``; None if it is not set.

        Raises ``SettingsError`` if it is set and cannot be parsed; the message holds no part of a key.
        """
        text = (os.environ if environ is None else environ).get(FILE_KEYS_VARIABLE)
        if text is None:
            return None
        # A variable that is set and empty is a secret that was not found.
        return cls(parse_keys(text, FILE_KEYS_VARIABLE))

    def __repr__(self) -> str:
        return f"<FileKeys {', '.join(self.ids)}>"

    def sign(self, data: bytes, key_id: str) -> str:
        """Return the authentication code of data, in hexadecimal.

        Raises ``EncryptionError`` if there is no key of this id.
        """
        key = _derived(self.key(key_id), b"", b"plainsql authentication")
        return hmac.new(key, data, hashlib.sha256).hexdigest()

    def key(self, key_id: str) -> bytes:
        """Return a key. Raises ``EncryptionError`` if there is none of this id."""
        if key_id not in self._keys:
            raise EncryptionError(
                f"it was encrypted with the key {key_id!r}, which is not in the ring ({', '.join(self.ids)})",
                hint=f"add that key to {FILE_KEYS_VARIABLE}, behind the first",
            )
        return self._keys[key_id]


class EncryptingWriter:
    """The writer of an encrypted file: ``write`` and, after the last byte, ``finish``."""

    def __init__(self, file: BinaryIO, keys: FileKeys, name: str) -> None:
        key = keys.key(keys.active)
        encoded = keys.active.encode()
        salt = os.urandom(_SALT_BYTES)
        header = _MAGIC + bytes([len(encoded)]) + encoded + _check(key) + salt
        self._file = file
        self._cipher = _cipher(key, salt, header, name)
        self._buffer = bytearray()
        self._number = 0
        file.write(header)

    def write(self, data: bytes) -> None:
        """Encrypt data; it is written in whole chunks."""
        self._buffer += data
        # The last chunk is known when the next byte is missing: a full one waits for it.
        while len(self._buffer) > CHUNK_BYTES:
            self._seal(bytes(self._buffer[:CHUNK_BYTES]), last=False)
            del self._buffer[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk. A file without it cannot be read."""
        self._seal(bytes(self._buffer), last=True)
        self._buffer.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


class DecryptingReader:
    """The reader of an encrypted file, from its beginning to its end, in constant memory.

    What ``read`` returns is authentic and in its place; that the file is whole is known at its end.

    Raises ``EncryptionError`` if the file is none, or if its key is not in the ring or another one.
    """

    def __init__(self, file: BinaryIO, keys: FileKeys, name: str) -> None:
        head = file.read(len(_MAGIC) + 1)
        encoded = file.read(head[-1]) if len(head) == len(_MAGIC) + 1 else b""
        rest = file.read(_CHECK_BYTES + _SALT_BYTES)
        if not head.startswith(_MAGIC) or len(rest) != _CHECK_BYTES + _SALT_BYTES:
            raise EncryptionError(f"{name} is not an encrypted file of plainsql", hint=_AGAIN)
        key_id = encoded.decode("ascii", "replace")
        key = keys.key(key_id)
        if not hmac.compare_digest(_check(key), rest[:_CHECK_BYTES]):
            raise EncryptionError(
                f"{name} was encrypted with another key than the one named {key_id!r} here",
                hint=f"find the key that had this id: {FILE_KEYS_VARIABLE} of the process that wrote it",
            )
        self._file = file
        self._name = name
        self._cipher = _cipher(key, rest[_CHECK_BYTES:], head + encoded + rest, name)
        self._number = 0
        self._next = self._read()

    def read(self) -> bytes:
        """Return the next chunk; nothing at the end.

        Raises ``EncryptionError`` if the file was changed or is cut short.
        """
        chunk, self._next = self._next, b""
        if not chunk:
            if self._number == 0:
                self._fail("it is cut short")
            return b""
        if len(chunk) == CHUNK_BYTES + _TAG_BYTES:
            self._next = self._read()
        last = not self._next
        plain = self._opened(chunk, last=last)
        if plain is None:
            other = self._opened(chunk, last=not last)
            if other is None:
                self._fail("it was changed")
            self._fail("it is cut short" if last else "there is more after its end")
        self._number += 1
        return plain

    def _read(self) -> bytes:
        return self._file.read(CHUNK_BYTES + _TAG_BYTES)

    def _opened(self, chunk: bytes, *, last: bool) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(_nonce(self._number, last=last), chunk, None)
        except (InvalidTag, ValueError):  # a chunk that is shorter than its tag
            return None

    def _fail(self, what: str) -> NoReturn:
        raise EncryptionError(f"{self._name} cannot be decrypted: {what}", hint=_AGAIN)


_AGAIN: Final = "copy the file again from the place where it was written"


def _cipher(key: bytes, salt: bytes, header: bytes, name: str) -> AESGCM:
    return _aesgcm()(_derived(key, salt, b"plainsql file\0" + header + name.encode()))


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _check(key: bytes) -> bytes:
    """Return a few bytes that identify a key without revealing it."""
    return hmac.new(key, b"plainsql key check", hashlib.sha256).digest()[:_CHECK_BYTES]


@lru_cache(maxsize=1)
def _aesgcm() -> type[AESGCM]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SettingsError(
            "encrypted backups need the library cryptography", hint="pip install 'plainsql[crypto]'"
        ) from None
    return AESGCM
