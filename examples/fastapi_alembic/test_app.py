"""The ORM and plainsql write in one transaction: both are done, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import psycopg
import pytest
from app import create_app

import plainsql.testing


@pytest.fixture(scope="session")
def plainsql_migrate() -> Callable[[str], None]:
    return plainsql.testing.create_schema


@pytest.fixture
async def client(plainsql_fresh_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    with psycopg.connect(plainsql_fresh_database_url) as connection:
        connection.execute("insert into accounts (owner, balance) values ('Ada', 10), ('Bob', 0)")
    app = create_app(plainsql_fresh_database_url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bank") as client,
    ):
        yield client


async def state(client: httpx.AsyncClient) -> dict[str, tuple[str, str]]:
    accounts = (await client.get("/accounts")).json()
    return {each["owner"]: (each["balance"], each["sent"]) for each in accounts}


async def test_a_transfer_moves_money(client: httpx.AsyncClient) -> None:
    params = {"source_id": 1, "target_id": 2, "amount": "4.50"}
    done = await client.post("/transfers", params=params)
    assert (done.status_code, done.json()) == (201, {"balance": "5.50"})
    assert await state(client) == {"Ada": ("5.50", "4.50"), "Bob": ("4.50", "0")}


async def test_a_refused_transfer_leaves_nothing(client: httpx.AsyncClient) -> None:
    params = {"source_id": 1, "target_id": 2, "amount": "11"}
    assert (await client.post("/transfers", params=params)).status_code == 409
    params = {"source_id": 1, "target_id": 1, "amount": "1"}
    assert (await client.post("/transfers", params=params)).status_code == 404
    assert await state(client) == {"Ada": ("10.00", "0"), "Bob": ("0.00", "0")}


async def test_a_value_out_of_bounds_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/accounts", params={"limit": 1000})).status_code == 422
