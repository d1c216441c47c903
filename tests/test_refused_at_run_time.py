"""A loaded query that the server refuses: the error stays the driver's, and its note speaks of names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from asyncpg.exceptions import PostgresError

import plainsql
from plainsql.query_folder import Queries

CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "in a list": (
        "select 1\nwhere 1 in :ids",
        {"ids": [1]},
        (
            'query: q\nq.sql:3:12: syntax error at or near ":ids"\n    where 1 in :ids\n'
            "               ^\nHINT: write = any(:ids), and give a list"
        ),
    ),
    "without a type": (
        "select\n  jsonb_build_object('a', :a)",
        {"a": 1},
        (
            "query: q\nq.sql:3:27: could not determine data type of parameter :a\n"
            "      jsonb_build_object('a', :a)\n                              ^\n"
            "HINT: cast it: :a::text, or another type"
        ),
    ),
    "of two types": (
        "select oid, typname from pg_type\nwhere oid = :x or typname = :x",
        {"x": 1},
        "query: q\nq.sql:3:27\n    where oid = :x or typname = :x\n                              ^",
    ),
    "a value that looks like a parameter": (
        "select '$1'::integer + :x::integer",
        {"x": 1},
        "query: q\nq.sql:2:8\n    select '$1'::integer + :x::integer\n           ^",
    ),
}


def load(folder: Path, sql: str) -> Queries:
    (folder / "q.sql").write_text(f"-- returns: count\n{sql}\n")
    return plainsql.load(folder)


@pytest.mark.parametrize("case", CASES)
async def test_the_note_speaks_of_names(
    case: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql, values, note = CASES[case]
    monkeypatch.chdir(tmp_path)
    query = load(Path(), sql).q
    async with plainsql.connect(database_url) as db:
        with pytest.raises(PostgresError) as caught:
            await query(db, **values)
    with plainsql.sync.connect(database_url) as session, pytest.raises(psycopg.Error) as refused:
        query(session, **values)
    assert caught.value.__notes__ == refused.value.__notes__
    assert "$1" not in note.replace("'$1'", "")
    assert caught.value.__notes__ == [note]
