"""Encrypted files: what comes back is what was written, or an error."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.crypto import file_encryption
from plainsql.crypto.file_encryption import (
    FILE_KEYS_VARIABLE,
    DecryptingReader,
    EncryptingWriter,
    FileKeys,
)
from plainsql.errors import EncryptionError, SettingsError

ONE, OTHER = b"1" * 32, b"2" * 32
KEYS = FileKeys({"one": ONE})
CHUNK = 64
HEADER = 8 + 1 + 3 + 4 + 32


@pytest.fixture(autouse=True, scope="module")
def short_chunks() -> Generator[None]:
    """Chunks of 64 bytes, so that a short content has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_encryption, "CHUNK_BYTES", CHUNK)
        yield


def encrypted(content: bytes, *, name: str = "dump", keys: FileKeys = KEYS, pieces: int = 1000) -> bytes:
    out = io.BytesIO()
    writer = EncryptingWriter(out, keys, name)
    for at in range(0, len(content), pieces):
        writer.write(content[at : at + pieces])
    writer.finish()
    return out.getvalue()


def decrypted(stored: bytes, *, name: str = "dump", keys: FileKeys = KEYS) -> bytes:
    reader = DecryptingReader(io.BytesIO(stored), keys, name)
    return b"".join(iter(reader.read, b""))


@given(st.binary(max_size=4 * CHUNK), st.integers(1, 3 * CHUNK))
def test_a_content_of_any_length_comes_back(content: bytes, pieces: int) -> None:
    stored = encrypted(content, pieces=pieces)
    assert decrypted(stored) == content
    assert content[:16] not in stored or len(content) < 16


@given(st.integers(0, 4 * CHUNK), st.data())
def test_a_changed_byte_or_a_cut_is_an_error(length: int, data: st.DataObject) -> None:
    stored = encrypted(bytes(length))
    at = data.draw(st.integers(0, len(stored) - 1))
    flipped = bytearray(stored)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(flipped), stored[:at], stored + stored[at:]):
        with pytest.raises(EncryptionError):
            decrypted(bad)


def test_chunks_cannot_be_cut_off_exchanged_repeated_or_added() -> None:
    stored = encrypted(b"a" * CHUNK + b"b" * CHUNK + b"c" * CHUNK)
    head = stored[:HEADER]
    sealed = [stored[at : at + CHUNK + 16] for at in range(HEADER, len(stored), CHUNK + 16)]
    assert len(sealed) == 3
    a, b, c = sealed
    for chunks, message in [
        ([a, b], "dump cannot be decrypted: it is cut short"),
        ([a], "dump cannot be decrypted: it is cut short"),
        ([], "dump cannot be decrypted: it is cut short"),
        ([b, a, c], "dump cannot be decrypted: it was changed"),
        ([a, c], "dump cannot be decrypted: it was changed"),
        ([a, a, b, c], "dump cannot be decrypted: it was changed"),
        ([a, b, c, c], "dump cannot be decrypted: there is more after its end"),
    ]:
        with pytest.raises(EncryptionError) as error:
            decrypted(head + b"".join(chunks))
        assert error.value.message == message


def test_a_chunk_of_another_file_or_another_name_is_refused() -> None:
    one, other = encrypted(b"x" * 10), encrypted(b"x" * 10)
    assert one[HEADER:] != other[HEADER:]
    with pytest.raises(EncryptionError, match="it was changed"):
        decrypted(one[:HEADER] + other[HEADER:])
    with pytest.raises(EncryptionError, match="it was changed"):
        decrypted(one, name="contents")


def test_the_key_is_found_by_its_id_and_no_key_is_shown() -> None:
    both = FileKeys({"two": OTHER, "one": ONE})
    assert decrypted(encrypted(b"x"), keys=both) == b"x"
    assert repr(both) == "<FileKeys two, one>"
    with pytest.raises(EncryptionError, match=r"the key 'two', which is not in the ring \(one\)"):
        decrypted(encrypted(b"x", keys=both))
    with pytest.raises(EncryptionError, match="another key than the one named 'one' here"):
        decrypted(encrypted(b"x"), keys=FileKeys({"one": OTHER}))
    with pytest.raises(EncryptionError, match="dump is not an encrypted file of plainsql"):
        decrypted(b"PGDMP and so on, which is longer than the header of an encrypted file")


def test_a_variable_that_is_set_and_wrong_is_an_error() -> None:
    text = base64.b64encode(ONE).decode()
    assert FileKeys.from_environment({}) is None
    found = FileKeys.from_environment({FILE_KEYS_VARIABLE: f"one:{text}"})
    assert found is not None
    assert found.ids == ("one",)
    for wrong in ("", text, f"one:{text[:-8]}", f"one:{text},one:{text}"):
        with pytest.raises(SettingsError, match=r"^PLAINSQL_BACKUP_KEYS") as error:
            FileKeys.from_environment({FILE_KEYS_VARIABLE: wrong})
        assert text[:8] not in str(error.value)
