"""Every operation of a layer is as fast on a million messages as on a thousand, by its plan, not by a clock.

100,000 or 200,000 messages by default; ``PLAINSQL_VOLUME_MESSAGES=1000000`` for more. Layers with tenants are
queried as the application's role, by the tenant with the most rows.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql import migrate
from plainsql.crypto import KEYS_VARIABLE
from plainsql.statements.discovery import find_files
from tests.layers.assistant.volume import ASSISTANT
from tests.layers.marketplace.volume import MARKETPLACE
from tests.layers.realty.volume import REALTY
from tests.layers.volume import Allowance, Layer, build, faults, faults_of_plan, operations
from tests.layers.whatsapp.volume import WHATSAPP

MIGRATIONS = Path(__file__).parents[2] / "migrations"
MESSAGES = int(os.environ.get("PLAINSQL_VOLUME_MESSAGES", "0"))
LAYERS = {layer.name: layer for layer in [ASSISTANT, MARKETPLACE, REALTY, WHATSAPP]}


def filled(url: str, layer: Layer, messages: int) -> None:
    migrate.apply(url, MIGRATIONS, layers=[layer.name])
    build(url, layer, messages)


@pytest.mark.timeout(max(180, MESSAGES // 1000))
@pytest.mark.parametrize("name", LAYERS)
async def test_every_operation_of_a_layer_takes_an_index_at_size(
    fresh_database_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f"test:{base64.b64encode(b'k' * 32).decode()}")
    filled(fresh_database_url, LAYERS[name], MESSAGES or LAYERS[name].messages)
    async with plainsql.connect(fresh_database_url) as db:
        found = await faults(db, LAYERS[name])
    assert not found, "\n\n".join(map(str, ["", *found]))


# -- The check finds what it is for


async def test_a_dropped_index_is_noticed(fresh_database_url: str) -> None:
    filled(fresh_database_url, MARKETPLACE, 60_000)
    broken = {
        "idx_message_conversation_created": ("messages.history", "a sequential scan over messages"),
        "idx_conversation_status_updated": ("conversations.list_active", "conversations"),
        "messages_created_at_idx": ("messages.list", "a sequential scan over messages"),
        "conversations_buyer_id_idx": ("conversations.for_buyer", "conversations"),
        "products_available_price_idx": ("products.list_available", "a sort of"),
    }
    async with plainsql.connect(fresh_database_url) as db:
        for index, (query, what) in broken.items():
            assert await faults(db, MARKETPLACE, query) == []
            with psycopg.connect(fresh_database_url, autocommit=True) as connection:
                connection.execute(f"drop index marketplace.{index}".encode())
            found = await faults(db, MARKETPLACE, query)
            assert any(what in fault.what for fault in found), (index, found)
            fault = found[0]
            assert (fault.query, fault.file) == (query, f"sql/marketplace/{query.replace('.', '/')}.sql")
            assert "rows=" in fault.plan


async def test_a_dropped_index_is_noticed_behind_the_policies(fresh_database_url: str) -> None:
    filled(fresh_database_url, ASSISTANT, 60_000)
    broken = {
        "message_history_deleted_at_idx": "message_history.purge_deleted",
        "message_history_conversation_id_idx": "message_history.recent",
        "audit_log_action_idx": "audit_log.list",
        "message_history_message_id_idx": "message_history.get_by_message_id",
    }
    async with plainsql.connect(fresh_database_url) as db:
        for index, query in broken.items():
            assert await faults(db, ASSISTANT, query) == []
            with psycopg.connect(fresh_database_url, autocommit=True) as connection:
                connection.execute(f"drop index assistant.{index}".encode())
            assert await faults(db, ASSISTANT, query), index


async def test_a_query_without_arguments_fails_the_checks(fresh_database_url: str) -> None:
    migrate.apply(fresh_database_url, MIGRATIONS, layers=["marketplace"])

    async def none(_: Any) -> Mapping[str, Any]:
        return {}

    bare = Layer("marketplace", "", none, allowed={"messages.gone": Allowance("it was there once")})
    async with plainsql.connect(fresh_database_url) as db:
        found = {fault.query: fault.what for fault in await faults(db, bare)}
    assert "no argument is prepared for conversation_id" in found["messages.history"]
    assert "there is no such query" in found["messages.gone"]
    assert set(found) - {"messages.gone"} >= {"products.reserve", "reports.daily", "buyers.block"}


@pytest.mark.parametrize("name", LAYERS)
def test_the_operations_are_all_there(name: str) -> None:
    found, _ = find_files(MIGRATIONS.parent / "sql" / name)
    files = {f"{each.path.parent.name}.{each.path.stem}" for each in found}
    assert set(operations(name)) == files


def node(
    kind: str, *plans: dict[str, Any], rows: int = 1, table: str = "", removed: int = 0
) -> dict[str, Any]:
    return {
        "Node Type": kind,
        "Actual Rows": rows,
        "Actual Loops": 1,
        "Plan Rows": rows,
        "Relation Name": table,
        "Rows Removed by Filter": removed,
        "Plans": [*plans],
    }


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        (node("Seq Scan", table="messages"), "a sequential scan over messages"),
        (node("Limit", node("Sort", node("Index Scan", rows=201))), "a sort of 201 rows"),
        (node("Index Scan", rows=2001, table="messages"), "looks at 2,001 rows of messages"),
        (
            node("Index Scan", table="messages", removed=5000),
            "looks at 5,001 rows of messages",
        ),
        (node("Sort", node("Seq Scan", rows=300) | {"Actual Loops": 0}), "a sort of 300 rows"),
        (node("Sort", node("Index Scan", rows=50) | {"Actual Loops": 9}), "a sort of 450 rows"),
    ],
)
def test_faults_of_a_plan_are_reported(plan: dict[str, Any], what: str) -> None:
    (fault,) = faults_of_plan(plan, {"messages": 10_000}, Allowance(""))
    assert what in fault


def test_a_plan_of_a_page_is_fine() -> None:
    plan = node(
        "Limit",
        node("Sort", node("Index Scan", rows=200, table="messages")),
        node("Seq Scan", rows=3000, table="settings"),
    )
    assert list(faults_of_plan(plan, {"messages": 10_000}, Allowance(""))) == []
