"""``plainsql db sample``: rows that fit the layers, once, into databases that have their migrations."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest

import plainsql.sync
from plainsql import migrate
from plainsql.crypto import KEYS_VARIABLE
from plainsql.layers.assistant import message_history, users
from plainsql.layers.marketplace import buyers
from plainsql.layers.sample_data import SAMPLES, sample_tables
from plainsql.layers.whatsapp import channels
from plainsql.layers.whatsapp.sample_business import CHANNEL_ID
from plainsql.testing import Databases
from tests.cli.conftest import Command

MIGRATIONS = Path(__file__).parents[2] / "migrations"
TENANT = SAMPLES["whatsapp"].tenant
# Counters that the queries keep, and the sums that they are of.
CONTRADICTIONS = """
select 'messages' from marketplace.conversations as c
where c.message_count <> (select count(*) from marketplace.messages as m where m.conversation_id = c.id)
union all
select 'purchases' from marketplace.buyers as b
where b.completed_purchases <> (select count(*) from marketplace.products as p where p.sold_to_id = b.id)
union all
select 'conversations' from marketplace.buyers as b
where b.total_conversations <> (select count(*) from marketplace.conversations as c where c.buyer_id = b.id)
"""


@pytest.fixture
def layers(plainsql_databases: Databases, monkeypatch: pytest.MonkeyPatch, configured: str) -> str:
    """The configured database with all layers, and keys."""
    monkeypatch.setenv(KEYS_VARIABLE, f"test:{base64.b64encode(b'k' * 32).decode()}")
    migrate.apply(configured, MIGRATIONS)
    return configured


def test_all_layers_are_filled_once(layers: str, command: Command) -> None:
    for layer, source in SAMPLES.items():
        done = command("db", "sample", layer, "--rows", "60", "--json")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert told["rows"][f"{layer}.{source.rows_of}"] == 60
        with psycopg.connect(layers) as connection:
            for table, count in told["rows"].items():
                found = connection.execute(f"select count(*) from {table}".encode()).fetchone()
                assert found == (count,), table
        again = command("db", "sample", layer, "--rows", "60")
        assert (again.code, again.out) == (2, "")
        assert "has rows: sample data are for empty tables" in again.err

    with psycopg.connect(layers) as connection:
        assert connection.execute(CONTRADICTIONS.encode()).fetchall() == []
    with plainsql.sync.connect(layers) as db:
        # The ids that come next are free.
        assert buyers.create(db, wallapop_user_id="new").id > 3
        sample = db.tenant("sample")
        assert users.create(sample, first_name="Eva").id > 1
        assert message_history.count(sample) == 60
        token = channels.get_access_token(db.tenant(TENANT), id=CHANNEL_ID)
        assert token is not None

    two = command("db", "sample", "assistant", "--rows", "30", "--tenant", "two")
    assert two.out == "46 rows of the tenant two in 5 tables of assistant\n"


def test_the_same_seed_gives_the_same_rows() -> None:
    for layer in SAMPLES:
        make = partial(sample_tables, layer, now=datetime(2026, 5, 1, tzinfo=UTC), rows=40)
        assert make(seed=1) == make(seed=1)
        assert make(seed=1) != make(seed=2)


def test_what_cannot_be_filled_is_refused(configured: str, command: Command) -> None:
    for arguments, expected in {
        (
            "realty",
        ): "the migrations of realty are not all applied: 10 pending\nHINT: plainsql migrate --layer realty",
        ("realti",): "there is no layer 'realti'\nHINT: did you mean realty?",
        ("realty", "--rows", "20001"): "--rows: expected at most 20,000 properties for realty, got 20,001",
        ("realty", "--tenant", "x"): "--tenant: realty has no tenants",
        ("whatsapp", "--tenant", "x"): "--tenant: expected a UUID, got 'x'",
        ("assistant", "--tenant", ""): "--tenant: expected 1 to 50 characters, got 0",
    }.items():
        done = command("db", "sample", *arguments)
        assert (done.code, done.out) == (2, "")
        assert expected in done.err
