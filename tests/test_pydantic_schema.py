"""Rows as Pydantic's types and FastAPI's response models."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any, Literal

import fastapi
import httpx
import litestar
import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

import plainsql
from plainsql import Composite, Row
from plainsql.errors import OptionError
from plainsql.query import Args, many
from plainsql.types import JSON, Json, Range, RowMark


class Size(Composite, frozen=True):
    width: int
    unit: str | None


class Customer(Row, frozen=True):
    id: uuid.UUID
    name: str


class Payload(msgspec.Struct, rename="camel", tag_field="kind", tag="note"):
    long_text: str
    replies: list[Payload] = []


class Ticket(Row, frozen=True):
    id: int
    customer: Customer | None
    state: Literal["open", "closed"]
    price: Decimal
    opened_at: dt.datetime
    tags: list[str]
    size: Size | None
    payload: Annotated[Payload | None, JSON]
    anything: Json


TICKET = Ticket(
    id=1,
    customer=Customer(id=uuid.UUID(int=7), name="Ada"),
    state="open",
    price=Decimal("12.50"),
    opened_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    tags=["a"],
    size=Size(width=3, unit=None),
    payload=Payload(long_text="x", replies=[Payload(long_text="y")]),
    anything={"n": [1, None]},
)
AS_JSON = {
    "id": 1,
    "customer": {"id": "00000000-0000-0000-0000-000000000007", "name": "Ada"},
    "state": "open",
    "price": "12.50",
    "opened_at": "2026-01-02T00:00:00Z",
    "tags": ["a"],
    "size": {"width": 3, "unit": None},
    "payload": {
        "kind": "note",
        "longText": "x",
        "replies": [{"kind": "note", "longText": "y", "replies": []}],
    },
    "anything": {"n": [1, None]},
}


def test_a_row_is_written_as_msgspec_writes_it() -> None:
    adapter = TypeAdapter(list[Ticket])
    assert msgspec.json.decode(adapter.dump_json([TICKET])) == [AS_JSON]
    assert msgspec.json.decode(msgspec.json.encode(TICKET)) == AS_JSON


def test_a_row_is_read_from_json_and_from_a_mapping() -> None:
    adapter = TypeAdapter(Ticket)
    assert adapter.validate_json(msgspec.json.encode(AS_JSON)) == TICKET
    assert adapter.validate_python(AS_JSON) == TICKET
    assert adapter.validate_python(TICKET) is TICKET


def test_a_value_of_another_type_is_refused_with_its_place() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(Ticket).validate_json(msgspec.json.encode(AS_JSON | {"state": "lost"}))
    assert raised.value.errors()[0]["loc"] == ("state",)


def test_the_schema_of_a_row_names_its_types_and_what_is_required() -> None:
    schema = TypeAdapter(Ticket).json_schema(mode="serialization")
    definitions = schema["$defs"]
    assert set(definitions) >= {"Customer", "Size", "Payload"}
    ticket = definitions.get("Ticket", schema)
    assert ticket["required"] == list(Ticket.__struct_fields__)
    assert ticket["properties"]["customer"]["anyOf"][0] == {"$ref": "#/$defs/Customer"}
    assert ticket["properties"]["state"]["enum"] == ["open", "closed"]


class _Mark(RowMark):
    def read(self, value: Any, others: Any) -> Any:
        return value


class Account(Row, frozen=True):
    id: int
    token: Annotated[str | None, _Mark(("id",))]


def test_a_row_with_an_encrypted_field_is_no_response_model() -> None:
    with pytest.raises(OptionError, match=r"Account\.token is encrypted"):
        TypeAdapter(list[Account])


class Booking(Row, frozen=True):
    period: Range[int]


def test_a_field_without_a_form_in_json_is_named() -> None:
    with pytest.raises(OptionError, match=r"Booking\.period: its type has no form in JSON.*Range"):
        TypeAdapter(Booking)


class Lead(Row, frozen=True):
    id: int
    name: str | None


@many[Lead](
    "t.leads",
    "sql/t/leads.sql",
    1,
    "select n as id, 'lead ' || n as name from generate_series(1, :last::int) as n",
    read_only=True,
    session_clean=True,
)
def leads(*, last: int) -> Args:
    return (last,)


async def test_fastapi_takes_a_row_as_a_response_model(database_url: str) -> None:
    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with plainsql.connect(database_url) as db:
            app.state.db = db
            yield {}

    app = fastapi.FastAPI(lifespan=lifespan)

    async def list_leads(last: int) -> list[Lead]:
        db: plainsql.Database = app.state.db
        return await leads(db, last=last)

    app.get("/leads")(list_leads)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        answer = await client.get("/leads", params={"last": 2})
        openapi = (await client.get("/openapi.json")).json()
    assert answer.json() == [{"id": 1, "name": "lead 1"}, {"id": 2, "name": "lead 2"}]
    described = openapi["components"]["schemas"]["Lead"]
    assert described["required"] == ["id", "name"]
    assert described["properties"]["id"]["type"] == "integer"


async def test_litestar_takes_a_row_as_it_is(database_url: str) -> None:
    async with plainsql.connect(database_url) as db:

        @litestar.get("/leads")
        async def list_leads() -> list[Lead]:
            return await leads(db, last=1)

        app = litestar.Litestar([list_leads], logging_config=None)
        asgi: Any = app  # each types the messages of ASGI in its own way
        transport = httpx.ASGITransport(app=asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answer = await client.get("/leads")
    assert answer.json() == [{"id": 1, "name": "lead 1"}]
    assert app.openapi_schema.to_schema()["components"]["schemas"]["Lead"]["required"] == ["id", "name"]
