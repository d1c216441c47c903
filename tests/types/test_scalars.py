"""Numbers, text, bytes, truth values, identifiers, networks and bits come back as they were sent."""

from __future__ import annotations

import ipaddress
import uuid
from decimal import Context, Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql.types import BitString
from tests.types.both import Both

# The fixture is a connection: nothing of it changes from one example to the next.
property_test = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
decimals = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places, Context(prec=500)),
    st.integers(-(10**120), 10**120),
    st.integers(0, 150),
)


@property_test
@given(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integers_of_every_size_come_back(both: Both, small: int, normal: int, big: int) -> None:
    both.round_trip("smallint", small)
    both.round_trip("integer", normal)
    both.round_trip("bigint", big)


@pytest.mark.parametrize(
    ("type_name", "least", "greatest"),
    [
        ("smallint", -(2**15), 2**15 - 1),
        ("integer", -(2**31), 2**31 - 1),
        ("bigint", -(2**63), 2**63 - 1),
        ("oid", 0, 2**32 - 1),
        ("xid", 0, 2**32 - 1),
        ("cid", 0, 2**32 - 1),
        ("xid8", 0, 2**64 - 1),
    ],
)
def test_integers_end_where_the_type_ends(both: Both, type_name: str, least: int, greatest: int) -> None:
    both.round_trip(type_name, least)
    both.round_trip(type_name, greatest)
    for beyond in (least - 1, greatest + 1):
        for error in both.errors(f"select :a::{type_name}", a=beyond):
            assert isinstance(error, plainsql.BindError)
            assert error.detail == "the value is out of range"
            assert str(beyond) not in str(error)


@property_test
@given(st.floats())
def test_doubles_come_back_to_the_last_bit(both: Both, number: float) -> None:
    both.round_trip("double precision", number)


@property_test
@given(st.floats(width=32))
def test_singles_come_back_to_the_last_bit(both: Both, number: float) -> None:
    both.round_trip("real", number)


@property_test
@given(st.floats(-1e38, 1e38))
def test_a_double_becomes_the_same_single_on_both(both: Both, number: float) -> None:
    both.sent_back("real", number)


@property_test
@given(decimals)
def test_decimals_keep_their_digits(both: Both, number: Decimal) -> None:
    back = both.sent_back("numeric", number)
    assert back == number
    # Of whole numbers, a driver may give trailing zeros as an exponent: the digits after the point count.
    assert min(back.as_tuple().exponent, 0) == min(number.as_tuple().exponent, 0)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "0.000", "1E+20", "-0.00000000000000000001"]
)
def test_special_decimals_come_back(both: Both, number: str) -> None:
    both.round_trip("numeric", Decimal(number))


def test_numeric_takes_an_int_and_the_text_of_a_number(both: Both) -> None:
    assert both.sent_back("numeric", 12) == Decimal(12)
    assert both.sent_back("numeric", "12.50") == Decimal("12.50")


@property_test
@given(texts)
def test_text_comes_back(both: Both, text: str) -> None:
    both.round_trip("text", text)
    both.round_trip("varchar", text)
    both.round_trip("citext", text)


def test_bpchar_is_padded(both: Both) -> None:
    assert both.sent_back("char(4)", "ab") == "ab  "


def test_a_name_that_is_too_long_is_refused_and_never_cut(both: Both) -> None:
    both.round_trip("name", "ä" * 31)
    over_asyncpg, over_psycopg = both.errors("select :a::name", a="ä" * 32)
    assert isinstance(over_asyncpg, asyncpg.NameTooLongError)
    assert isinstance(over_psycopg, plainsql.BindError)


@property_test
@given(st.binary(max_size=300))
def test_bytes_come_back(both: Both, data: bytes) -> None:
    both.round_trip("bytea", data)
    assert both.sent_back("bytea", bytearray(data)) == data


@property_test
@given(st.integers(0, 255))
def test_the_one_byte_type_comes_back(both: Both, byte: int) -> None:
    both.round_trip('"char"', bytes([byte]))


@property_test
@given(st.uuids())
def test_uuids_come_back(both: Both, value: uuid.UUID) -> None:
    both.round_trip("uuid", value)
    assert both.sent_back("uuid", str(value)) == value


@pytest.mark.parametrize("value", [True, False])
def test_truth_values_come_back(both: Both, value: bool) -> None:
    both.round_trip("boolean", value)


@property_test
@given(st.text("01", max_size=70))
def test_bit_strings_come_back(both: Both, text: str) -> None:
    both.round_trip("varbit", BitString.from_int(int(text or "0", 2), len(text)))


def test_bytes_are_taken_for_bits(both: Both) -> None:
    assert both.sent_back("varbit", b"\x0f") == BitString.from_int(15, 8)


@property_test
@given(st.ip_addresses(), st.integers(0, 32))
def test_addresses_and_networks_come_back(both: Both, address: Any, prefix: int) -> None:
    both.round_trip("inet", address)
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    both.round_trip("cidr", network)
    interface = ipaddress.ip_interface(f"{address}/{prefix}")
    back = both.sent_back("inet", interface)
    assert back == (interface if prefix < address.max_prefixlen else address)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("macaddr", "08:00:2b:01:02:03"),
        ("macaddr8", "08:00:2b:01:02:03:04:05"),
        ("money", "-$1,234.50"),
        ("tsvector", "'cat':2 'it''s':1A"),
        ("tsquery", "'cat' & !'dog' | 'a b':*"),
        ("jsonpath", '$."a"[*]?(@ > 3)'),
        ("regclass", "pg_type"),
        ("regtype", "integer"),
        ("regproc", "int4in"),
        ("regprocedure", "int4in(cstring)"),
        ("regoper", "||/"),
        ("regoperator", "+(integer,integer)"),
        ("regconfig", "english"),
        ("regdictionary", "simple"),
        ("regnamespace", "pg_catalog"),
        ("regrole", "pg_read_all_data"),
        ("regcollation", '"C"'),
        ("refcursor", "some_cursor"),
        ("aclitem", "pg_read_all_data=r/pg_read_all_data"),
        ("ltree", "top.science"),
        ("lquery", "top.*{1,2}"),
        ("pg_lsn", 0x16_B374D848),
        ("tid", (4294967295, 65535)),
        ("pg_snapshot", (10, 20, (10, 14, 15))),
        ("pg_snapshot", (10, 20, ())),
        ("txid_snapshot", (10, 20, (11,))),
    ],
)
def test_types_of_the_system_and_types_that_travel_as_text_come_back(
    both: Both, type_name: str, value: object
) -> None:
    assert both.sent_back(type_name, value) == value


def test_text_with_a_nul_character_is_refused(both: Both) -> None:
    for error in both.errors("select :a::text", a="a\0b"):
        assert isinstance(error, plainsql.BindError) or "query: test.types.value" in error.__notes__[0]


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("integer", "7"),
        ("integer", None.__class__),
        ("bigint", [1]),
        ("boolean", 1),
        ("boolean", "t"),
        ("text", 7),
        ("text", b"x"),
        ("varchar", True),
        ("double precision", "1.5"),
        ("bytea", "x"),
        ("uuid", 7),
        ("uuid", "no uuid"),
        ("numeric", "ten"),
        ("inet", "nowhere"),
        ("cidr", "10.0.0.1/8"),
        ("date", "2020-01-01"),
        ("timestamp", "2020-01-01"),
        ("interval", 3),
        ("tid", "(1,2)"),
        ("point", "(1,2)"),
        ("integer[]", 7),
        ("integer[]", "{7}"),
        ("integer[]", ["7"]),
        ("integer[]", [[1], [1, 2]]),
        ("text[]", "abc"),
        ("int4range", 7),
        ("mood", 7),
        ("positive", "7"),
    ],
)
def test_a_value_of_another_type_is_refused_by_both_alike(both: Both, type_name: str, value: object) -> None:
    message = both.refusals(f"select :a::{type_name}", a=value)
    assert message.startswith("test.types.value: a: expected ")
    assert message.endswith(f", got {type(value).__name__}")
