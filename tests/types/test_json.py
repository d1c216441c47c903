"""JSON: values that msgspec encodes are sent, and come back the same through the type of the column."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql.query import elements
from plainsql.types import JSON, Json
from tests.types.both import Both, query

property_test = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# jsonb's text cannot hold NUL, and both kinds of JSON have no lone surrogates.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e15, 1e15) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


class Payload(msgspec.Struct, frozen=True):
    text: str
    at: datetime
    parts: list[int] = []


@property_test
@given(documents)
def test_documents_come_back(both: Both, document: Any) -> None:
    for kind in ("json", "jsonb"):
        if document is None:
            continue
        back = both.value(f"select :a::{kind}", item=Json, a=document)
        assert _alike(back, document), (back, document)


def _alike(back: Any, sent: Any) -> bool:
    """Equal, where jsonb may have made 1.0 of 1e0 and an integer of -0.0."""
    if isinstance(sent, float) and isinstance(back, int | float):
        return math.isclose(back, sent, rel_tol=1e-15)
    if isinstance(sent, list):
        return isinstance(back, list) and len(back) == len(sent) and all(map(_alike, back, sent))
    if isinstance(sent, dict):
        return back.keys() == sent.keys() and all(_alike(back[key], sent[key]) for key in sent)
    return bool(back == sent) and type(back) is type(sent)


def test_integers_of_64_bits_keep_every_digit(both: Both) -> None:
    for number in (2**53 + 1, 2**64 - 1, -(2**63)):
        assert both.value("select :a::jsonb", item=Json, a=number) == number


def test_integers_beyond_64_bits_are_read_exactly(both: Both) -> None:
    assert (
        both.value("select '123456789012345678901234567890'::jsonb", item=Json)
        == 123456789012345678901234567890
    )


def test_none_is_null_and_never_the_null_of_json(both: Both) -> None:
    assert both.value("select :a::jsonb is null", a=None) is True
    # The null of JSON is written in SQL, and reads as None too: Python has one value for both.
    assert both.value("select 'null'::jsonb", item=Json) is None
    # Inside a document None is JSON's.
    assert both.value("select (:a::jsonb -> 0) = 'null'::jsonb", a=[None]) is True


def test_a_text_is_a_json_text_and_never_parsed(both: Both) -> None:
    assert both.value("select jsonb_typeof(:a::jsonb)", a='{"a": 1}') == "string"


def test_a_typed_column_decodes_into_its_type(both: Both) -> None:
    sent = Payload("¿Qué tal?", datetime(2026, 11, 21, tzinfo=UTC), [1, 2])
    for kind in ("json", "jsonb"):
        assert both.value(f"select :a::{kind}", item=Annotated[Payload, JSON], a=sent) == sent


def test_an_unfit_document_is_an_error_with_its_path_without_its_value(
    both: Both,
) -> None:
    asked = query("select :a::jsonb", item=Annotated[Payload, JSON])
    document = {"text": "secret", "at": "2026-11-21T00:00:00Z", "parts": [1, "secret"]}
    messages = []
    with pytest.raises(plainsql.DecodeError) as raised:
        both.runner.run(asked(both.over_asyncpg, a=document))
    messages.append(str(raised.value))
    with pytest.raises(plainsql.DecodeError) as raised:
        asked(both.over_psycopg, a=document)
    messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert "$.parts[1]" in messages[0]
    assert "secret" not in messages[0]


@property_test
@given(st.lists(st.none() | documents.filter(lambda document: document is not None), max_size=4))
def test_arrays_of_documents_come_back(both: Both, values: list[Any]) -> None:
    back = both.value("select :a::jsonb[]", item=list[Annotated[Any, JSON] | None], a=elements(values))
    assert len(back) == len(values)
    assert all(map(_alike, back, values))


def test_a_domain_over_json_is_json(both: Both) -> None:
    assert both.value("select :a::payload", item=Json, a={"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize("value", [{1, 2j}, object(), {"a": object()}])
def test_a_value_without_json_is_refused(both: Both, value: object) -> None:
    for error in both.errors("select :a::jsonb", a=value):
        assert isinstance(error, plainsql.BindError), repr(error)
