"""``to_json`` and ``json_default``: rows as JSON, the same as msgspec and Pydantic write."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import uuid
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

import plainsql
from plainsql import Composite, Row
from plainsql.crypto import Secret
from plainsql.errors import OptionError
from plainsql.types import JSON, Range


class Size(Composite, frozen=True):
    width: int
    unit: str | None


class Payload(msgspec.Struct, rename="camel"):
    long_text: str


class Customer(Row, frozen=True):
    id: uuid.UUID
    address: ipaddress.IPv4Interface


class Order(Row, frozen=True):
    id: int
    customer: Customer | None
    price: Decimal
    score: float
    at: dt.datetime
    day: dt.date
    hour: dt.time
    lasts: dt.timedelta
    picture: bytes
    size: Size
    payload: Annotated[Payload, JSON]


ORDER = Order(
    id=1,
    customer=Customer(uuid.UUID(int=7), ipaddress.IPv4Interface("10.1.2.3/16")),
    price=Decimal("12.50"),
    score=float("nan"),
    at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    day=dt.date(2026, 1, 2),
    hour=dt.time(1, 2, 3),
    lasts=dt.timedelta(days=1, seconds=3),
    picture=b"\xff\x00",
    size=Size(3, None),
    payload=Payload("x"),
)
FORM = {
    "id": 1,
    "customer": {"id": "00000000-0000-0000-0000-000000000007", "address": "10.1.2.3/16"},
    "price": "12.50",
    "score": None,
    "at": "2026-01-02T00:00:00Z",
    "day": "2026-01-02",
    "hour": "01:02:03",
    "lasts": "P1DT3S",
    "picture": "/wA=",
    "size": {"width": 3, "unit": None},
    "payload": {"longText": "x"},
}


def test_a_row_has_one_form_for_all_serializers() -> None:
    assert json.loads(plainsql.to_json(ORDER)) == FORM
    assert json.loads(json.dumps(ORDER, default=plainsql.json_default)) == FORM
    assert json.loads(TypeAdapter(Order).dump_json(ORDER)) == FORM


def test_pydantic_reads_what_is_written() -> None:
    written = plainsql.to_json(msgspec.structs.replace(ORDER, score=1.5))
    assert TypeAdapter(Order).validate_json(written) == msgspec.structs.replace(ORDER, score=1.5)


def test_pydantic_refuses_what_is_no_base64() -> None:
    with pytest.raises(ValidationError, match="picture"):
        TypeAdapter(Order).validate_json(json.dumps(FORM | {"score": 1.5, "picture": "?"}))


def test_rows_may_be_anywhere_in_a_value() -> None:
    value = {"page": 1, "orders": [ORDER], "pair": (ORDER, None)}
    form = {"page": 1, "orders": [FORM], "pair": [FORM, None]}
    assert json.loads(plainsql.to_json(value)) == form
    assert json.loads(json.dumps(value, default=plainsql.json_default)) == form
    assert plainsql.to_json([]) == b"[]"


class Booking(Row, frozen=True):
    period: Range[dt.date]


def test_a_range_in_a_row_is_an_object() -> None:
    booking = Booking(Range(dt.date(2026, 1, 2), None))
    assert json.loads(plainsql.to_json(booking)) == {
        "period": {"lower": "2026-01-02", "upper": None, "bounds": "[)"}
    }


class Account(Row, frozen=True):
    id: int
    token: Secret | None


class Member(Row, frozen=True):
    account: Account


PLAIN = "EAAG-plain"


@pytest.mark.parametrize(
    "value",
    [Account(1, Secret(PLAIN)), [Member(Account(1, Secret(PLAIN)))], {"a": (Account(1, Secret(PLAIN)),)}],
)
def test_an_encrypted_field_is_never_written(value: Any) -> None:
    for write in (plainsql.to_json, lambda value: json.dumps(value, default=plainsql.json_default)):
        with pytest.raises(OptionError, match=r"Account\.token is encrypted") as raised:
            write(value)
        assert PLAIN not in str(raised.value)
        assert raised.value.__context__ is None


def test_an_encrypted_value_alone_is_refused_too() -> None:
    with pytest.raises(OptionError, match="a value is encrypted"):
        plainsql.to_json({"token": Secret(PLAIN)})


def test_a_value_of_another_type_is_named() -> None:
    with pytest.raises(TypeError, match="a object has no form in JSON"):
        json.dumps({"a": object()}, default=plainsql.json_default)
