"""The plan files of plainsql's own queries, at a million messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from plainsql.cli.app import main
from tests.plans.conftest import MakeProject

ROOT = Path(__file__).parents[2]


def test_a_dropped_index_turns_the_plans_of_its_queries_worse(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_project({}).root
    for folder in ("sql/marketplace", "migrations/marketplace", "plans/marketplace", "stats"):
        shutil.copytree(ROOT / folder, root / folder)
    migrations = root / "migrations/marketplace"
    count = sum(".rollback." not in path.name for path in migrations.iterdir())
    (migrations / f"{count + 1:04}_drop.sql").write_text(
        "drop index marketplace.idx_message_conversation_created;\n"
    )
    capsys.readouterr()
    assert main(["-C", str(root), "plans", "--check", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    changed = {each["name"]: each for each in document["queries"] if each["state"] != "same"}
    assert changed.keys() == {"marketplace.messages.history", "marketplace.messages.recent"}
    history = changed["marketplace.messages.history"]
    assert history["state"] == "worse"
    change = history["changes"][0]
    index = "idx_message_conversation_created on marketplace.messages"
    assert change["reasons"][0] == f"no longer uses {index}"
    assert any("using idx_message_conversation_created" in line for line in change["recorded"])
    assert any("using messages_created_at_idx" in line for line in change["now"])
    assert document["leftovers"] == []
