"""yoyo's own tools read what we record, and we what they record."""

from __future__ import annotations

from pathlib import Path

import pytest
from yoyo import get_backend, read_migrations

from plainsql import migrate
from tests.migrate.conftest import Query, Write

FILES = {
    "0001_a.sql": "create table a ();",
    "0001_a.rollback.sql": "drop table a;",
    "0002_b.sql": "create table b ();",
    "0002_b.rollback.sql": "drop table b;",
}


def yoyo_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.mark.parametrize("layer", [None, "realty"])
def test_yoyo_reads_our_records_and_goes_on(
    write: Write, fresh_database_url: str, query: Query, layer: str | None
) -> None:
    folder = write({f"{layer}/{name}" if layer else name: text for name, text in FILES.items()})
    migrate.apply(fresh_database_url, folder, to="0001")
    table = "_yoyo_migration" + (f"_{layer}" if layer else "")
    with get_backend(yoyo_url(fresh_database_url), table) as backend:
        migrations = read_migrations(str(folder / (layer or "")))
        assert [migration.id for migration in backend.to_apply(migrations)] == ["0002_b"]
        assert [migration.id for migration in backend.to_rollback(migrations)] == ["0001_a"]
        with backend.lock():
            backend.apply_migrations(backend.to_apply(migrations))
    assert migrate.status(fresh_database_url, folder).is_current
    assert query("select migration_id, operation from _yoyo_log order by created_at_utc") == [
        ("0001_a", "apply"),
        ("0002_b", "apply"),
    ]


def test_edits_of_migrations_that_yoyo_applied_are_noticed(write: Write, fresh_database_url: str) -> None:
    folder = write(FILES)
    with get_backend(yoyo_url(fresh_database_url)) as backend:
        backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
    assert migrate.apply(fresh_database_url, folder).done == ()
    write({"0002_b.sql": "create table b (id int);"})
    assert [item.name for item in migrate.status(fresh_database_url, folder).drifted] == ["0002_b"]
    assert migrate.rollback(fresh_database_url, folder, all=True).done == ("0002_b", "0001_a")


def test_two_layers_may_use_the_same_names(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write({"a/0001_init.sql": "create table a ();", "b/0001_init.sql": "create table b ();"})
    assert migrate.apply(fresh_database_url, folder).done == ("a/0001_init", "b/0001_init")
    assert query("select comment from _yoyo_log order by created_at_utc") == [("layer a",), ("layer b",)]


def test_a_lock_row_that_a_killed_yoyo_left_is_no_obstacle(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write(FILES)
    with get_backend(yoyo_url(fresh_database_url)):
        query("insert into yoyo_lock values (1, now(), 4711)")
    assert len(migrate.apply(fresh_database_url, folder).done) == 2


def test_the_url_of_yoyo_is_taken_as_it_is(write: Write, fresh_database_url: str) -> None:
    folder: Path = write(FILES)
    assert len(migrate.apply(yoyo_url(fresh_database_url), folder).done) == 2
