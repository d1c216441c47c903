"""The idempotency key: the digest that other programs compute as well."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.errors import BindError
from plainsql.layers.whatsapp.idempotency import idempotency_key

ACCOUNT = UUID("12345678-1234-5678-1234-567812345678")


def test_it_is_the_digest_of_the_four_joined_by_colons() -> None:
    written = f"{ACCOUNT}:51987654321:¿Qué tal? 10:30:1700000000"
    key = idempotency_key(ACCOUNT, "51987654321", "¿Qué tal? 10:30", 1700000000)
    assert key == hashlib.sha256(written.encode()).digest()
    assert key == idempotency_key(str(ACCOUNT), "51987654321", "¿Qué tal? 10:30", "1700000000")


NO_COLON = st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]))
MESSAGE = st.tuples(NO_COLON, NO_COLON, st.text(st.characters(exclude_categories=["Cs"])), st.integers())


@given(MESSAGE, MESSAGE)
def test_two_messages_have_one_key_only_if_they_are_the_same(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    assert (idempotency_key(*one) == idempotency_key(*other)) == (one == other)


@pytest.mark.parametrize("at", [0, 1])
def test_a_colon_that_could_move_is_refused(at: int) -> None:
    parts: list[Any] = ["account", "51987654321", "Hola", 1]
    parts[at] += ":"
    with pytest.raises(BindError, match="expected no ':'"):
        idempotency_key(*parts)


@pytest.mark.parametrize("timestamp", [1.5, datetime(2026, 1, 1, tzinfo=UTC), None, True])
def test_a_time_that_can_be_written_in_several_ways_is_refused(timestamp: Any) -> None:
    with pytest.raises(BindError, match=rf"^timestamp: expected str or int, got {type(timestamp).__name__}$"):
        idempotency_key("account", "51987654321", "Hola", timestamp)
