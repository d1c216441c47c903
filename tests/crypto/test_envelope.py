"""One value decrypts to its text, only in its place, and to nothing else."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from plainsql import BindError, EncryptionError, SettingsError
from plainsql.crypto import KEYS_VARIABLE, KeyRing, new_key
from plainsql.crypto.envelope import associated_data, other_data, unpack

RING = KeyRing([("2026-11", b"a" * 32), ("2025", b"b" * 32)])
NAMES = ("tenant_id", "id")
TENANT = UUID(int=1)
KEYS = st.one_of(st.uuids(), st.integers(-(2**63), 2**63 - 1), st.text())


@given(st.text(), KEYS, KEYS)
def test_a_value_decrypts_to_its_text(text: str, first: object, second: object) -> None:
    stored = RING.encrypt(text, "a.b.c", NAMES, (first, second))
    assert RING.decrypt(stored, "a.b.c", NAMES, (first, second)) == text


@given(st.lists(KEYS, min_size=2, max_size=2), st.lists(KEYS, min_size=2, max_size=2))
def test_other_keys_of_the_row_never_open_it(mine: list[object], theirs: list[object]) -> None:
    stored = RING.encrypt("secret", "a.b.c", NAMES, mine)
    if [*map(str, mine)] == [*map(str, theirs)]:
        return
    with pytest.raises(EncryptionError):
        RING.decrypt(stored, "a.b.c", NAMES, theirs)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_no_two_lists_of_parts_are_authenticated_as_the_same(a: list[str], b: list[str]) -> None:
    one = associated_data(b"h", "c", [""] * len(a), a)
    other = associated_data(b"h", "c", [""] * len(b), b)
    assert (one == other) == (a == b)


DEAD = UUID("deadbeef" * 4)
SPELLINGS = [
    *(str(DEAD), DEAD.hex, str(DEAD).upper(), DEAD.hex.upper(), f"{{{DEAD}}}", f"{{{DEAD.hex}}}"),
    *(f"{{{str(DEAD).upper()}}}", DEAD.urn, f"urn:uuid:{{{DEAD.hex}}}"),
]


@pytest.mark.parametrize("other", SPELLINGS[1:])
def test_texts_that_read_as_one_uuid_are_different_rows(other: str) -> None:
    one = SPELLINGS[0]
    for mine, theirs in ((one, other), (other, one), (other, other.swapcase())):
        stored = RING.encrypt("secret", "a.b.c", NAMES, (mine, 1))
        assert RING.decrypt(stored, "a.b.c", NAMES, (mine, 1)) == "secret"
        if mine != theirs:
            with pytest.raises(EncryptionError):
                RING.decrypt(stored, "a.b.c", NAMES, (theirs, 1))


@pytest.mark.parametrize("given", SPELLINGS[:7])
def test_a_uuid_may_be_given_as_a_text_and_comes_back_as_a_uuid(given: str) -> None:
    stored = RING.encrypt("secret", "a.b.c", NAMES, (given, SPELLINGS[3]))
    assert RING.decrypt(stored, "a.b.c", NAMES, (DEAD, DEAD)) == "secret"
    with pytest.raises(EncryptionError):
        RING.decrypt(stored, "a.b.c", NAMES, (DEAD, UUID(int=1)))


@pytest.mark.parametrize(
    "text", ["DeadBeef" * 4, "dead-beef" * 4, "deadbeef-" + "deadbeef" * 3, "{" + "deadbeef" * 4]
)
def test_a_spelling_that_could_not_be_found_again_is_refused(text: str) -> None:
    with pytest.raises(BindError, match="tenant_id: got a uuid in an unusual spelling") as caught:
        RING.encrypt("secret", "a.b.c", NAMES, (text, 1))
    assert text not in str(caught.value)


@pytest.mark.parametrize("names", [("id",), ("tenant",), ("",), ("TENANT_ID",)])
def test_the_names_of_the_keys_are_bound(names: tuple[str, ...]) -> None:
    stored = RING.encrypt("secret", "a.b.c", ("tenant_id",), (7,))
    with pytest.raises(EncryptionError):
        RING.decrypt(stored, "a.b.c", names, (7,))


def test_names_and_values_do_not_run_into_each_other() -> None:
    stored = RING.encrypt("secret", "a.b.c", ("a", "b"), ("x", "y"))
    for names, values in ((("a", "x"), ("b", "y")), (("b", "a"), ("y", "x")), (("a",), ("x",))):
        with pytest.raises(EncryptionError):
            RING.decrypt(stored, "a.b.c", names, values)


def encrypted_before(text: str, *values: str) -> bytes:
    """A value as it was encrypted before names were bound, by the first key of the ring."""
    head = RING.current
    parts = [head, b"a.b.c", *(value.encode() for value in values)]
    data = b"".join(part for each in parts for part in (len(each).to_bytes(4), each))
    return head + bytes(12) + AESGCM(b"a" * 32).encrypt(bytes(12), text.encode(), data)


@pytest.mark.parametrize(
    ("bound", "keys"),
    [
        ((str(TENANT), "7"), (TENANT, 7)),
        (("acme", "7"), ("acme", "7")),
        ((str(DEAD), "7"), ("DEADBEEF" * 4, "7")),
        ((str(DEAD), "7"), ("DeadBeef" * 4, "7")),
    ],
)
def test_values_from_before_names_were_bound_decrypt(
    bound: tuple[str, ...], keys: tuple[object, ...]
) -> None:
    stored = encrypted_before("secret", *bound)
    assert RING.decrypt(stored, "a.b.c", NAMES, keys) == "secret"
    assert RING.decrypt(stored, "a.b.c", ("x", "y"), keys) == "secret"
    for wrong in ((keys[1], keys[0]), (keys[0], 8)):
        with pytest.raises(EncryptionError):
            RING.decrypt(stored, "a.b.c", NAMES, wrong)


def test_a_new_value_never_opens_as_an_old_one() -> None:
    # The old kind has no names: were it tried on a new value, its names would not count.
    stored = RING.encrypt("secret", "a.b.c", ("id",), (7,))
    envelope = unpack(stored)
    assert envelope is not None
    for data in other_data(envelope.header, "a.b.c", ("id",), (7,)):
        with pytest.raises(InvalidTag):
            AESGCM(b"a" * 32).decrypt(envelope.nonce, envelope.ciphertext, data)


def test_every_single_bit_matters() -> None:
    stored = RING.encrypt("secret", "a.b.c", NAMES, (TENANT, 7))
    for position in range(len(stored)):
        for bit in range(8):
            changed = bytearray(stored)
            changed[position] ^= 1 << bit
            with pytest.raises(EncryptionError) as caught:
                RING.decrypt(bytes(changed), "a.b.c", NAMES, (TENANT, 7))
            assert "secret" not in str(caught.value)


@given(st.binary())
def test_bytes_that_were_not_encrypted_are_refused(stored: bytes) -> None:
    for each in (stored, b"pse1" + stored):
        with pytest.raises(EncryptionError):
            RING.decrypt(each, "a.b.c", NAMES, (TENANT, 7))


def test_a_truncated_value_is_refused() -> None:
    stored = RING.encrypt("secret", "a.b.c", NAMES, (TENANT, 7))
    for length in range(len(stored)):
        with pytest.raises(EncryptionError):
            RING.decrypt(stored[:length], "a.b.c", NAMES, (TENANT, 7))


def test_another_column_never_opens_it() -> None:
    stored = RING.encrypt("secret", "a.b.access_token", NAMES, (TENANT, 7))
    with pytest.raises(EncryptionError, match=r"a\.b\.refresh_token of the row with tenant_id .*, id 7: "):
        RING.decrypt(stored, "a.b.refresh_token", NAMES, (TENANT, 7))


def test_the_key_is_part_of_the_associated_data() -> None:
    # The same key under two ids: a value cannot be passed off as encrypted with the other.
    ring = KeyRing([("a", b"k" * 32), ("b", b"k" * 32)])
    stored = ring.encrypt("secret", "a.b.c", ("id",), (1,))
    with pytest.raises(EncryptionError):
        ring.decrypt(stored.replace(b"pse1\x01a", b"pse1\x01b"), "a.b.c", ("id",), (1,))


def test_a_text_of_a_row_is_not_shown() -> None:
    with pytest.raises(EncryptionError) as caught:
        RING.decrypt(b"", "a.b.c", ("email",), ("ana@example.com",))
    assert str(caught.value).startswith("a.b.c of the row with email …: the value is not an encrypted value")


@pytest.mark.parametrize("key", [None, 1.5, object()])
def test_a_type_with_more_than_one_text_form_is_no_key(key: object) -> None:
    with pytest.raises(BindError, match="bound to it"):
        RING.encrypt("secret", "a.b.c", ("id",), (key,))


def test_nonces_never_repeat() -> None:
    nonces = set()
    for _ in range(1000):
        envelope = unpack(RING.encrypt("same", "a.b.c", ("id",), (1,)))
        assert envelope is not None
        nonces.add(envelope.nonce)
    assert len(nonces) == 1000


# -- The ring


def ring(text: str) -> KeyRing:
    return KeyRing.from_environment({KEYS_VARIABLE: text})


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = new_key(), new_key()
    stored = ring(f"old:{old}").encrypt("secret", "a.b.c", ("id",), (1,))
    both = ring(f"new:{new}, old:{old}")
    assert (both.active, both.ids) == ("new", ("new", "old"))
    assert both.decrypt(stored, "a.b.c", ("id",), (1,)) == "secret"
    assert both.encrypt("secret", "a.b.c", ("id",), (1,)).startswith(both.current)


def test_a_key_may_be_written_for_urls_too() -> None:
    key = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert "_" in key
    assert ring(f"k:{key}").ids == ("k",)


def test_the_ring_shows_its_ids_only() -> None:
    key = new_key()
    assert repr(ring(f"2026:{key}")) == "<KeyRing 2026>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not set"),
        (" ", "is not set"),
        ("{key}", "entry 1 has no id, expected id:key"),
        ("a:{key},{key}", "entry 2 has no id"),
        ("an id:{key}", "entry 1 has no id"),
        ("a:{key},a:{key}", "the id 'a' is given twice"),
        ("a:", "the key 'a': expected 32 bytes in base64, got 0"),
        ("a:{key}x", "the key 'a': expected 32 bytes in base64, it is not base64"),
        ("a:c2hvcnQ=", "the key 'a': expected 32 bytes in base64, got 5"),
    ],
)
def test_the_error_of_a_ring_does_not_show_its_keys(text: str, message: str) -> None:
    key = new_key()
    with pytest.raises(SettingsError) as caught:
        ring(text.format(key=key))
    assert message in str(caught.value)
    assert caught.value.hint
    assert key not in repr(caught.value) + str(caught.value)
