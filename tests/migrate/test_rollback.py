"""Rolling back: the last first, each file from its top, and nothing before all files are there."""

from __future__ import annotations

import pytest

from plainsql import migrate
from plainsql.errors import MigrationError
from plainsql.migrate.schema import dump
from tests.migrate.conftest import Query, Write

THREE = {
    f"000{n}_{name}{kind}.sql": f"{verb} table {name} {end};"
    for n, name in enumerate("abc", start=1)
    for kind, verb, end in (("", "create", "()"), (".rollback", "drop", ""))
}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, ("0003_c",)),
        ({"steps": 2}, ("0003_c", "0002_b")),
        ({"to": "0001"}, ("0003_c", "0002_b")),
        ({"to": "0003"}, ()),
        ({"all": True}, ("0003_c", "0002_b", "0001_a")),
    ],
)
def test_apply_stops_at_its_target(
    write: Write, fresh_database_url: str, how: dict[str, str], expected: tuple[str, ...]
) -> None:
    folder = write(THREE)
    migrate.apply(fresh_database_url, folder)
    assert migrate.rollback(fresh_database_url, folder, **how).done == expected  # type: ignore[arg-type]
    assert {item.id for item in migrate.status(fresh_database_url, folder).pending} == set(expected)


def test_a_rollback_runs_from_top_to_bottom(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write(
        {
            "0001_log.sql": "create table log (at int generated always as identity, what text)",
            "0002_x.sql": "select 1; select 2; select 3;",
            "0002_x.rollback.sql": "insert into log (what) values ('a;');\n"
            "insert into log (what) values ('2');",
        }
    )
    migrate.apply(fresh_database_url, folder)
    migrate.rollback(fresh_database_url, folder)
    assert query("select what from log order by at") == [("a;",), ("2",)]


def test_the_last_applied_is_rolled_back_first_whatever_its_layer(
    write: Write, fresh_database_url: str
) -> None:
    files = {f"{layer}/0001_x{kind}.sql": "select 1;" for layer in "ab" for kind in ("", ".rollback")}
    folder = write(files)
    migrate.apply(fresh_database_url, folder, layers=["b"])
    migrate.apply(fresh_database_url, folder)
    assert migrate.rollback(fresh_database_url, folder, dry_run=True, all=True).planned[0].name == "a/0001_x"
    assert migrate.rollback(fresh_database_url, folder, layers=["b"]).done == ("b/0001_x",)
    assert migrate.rollback(fresh_database_url, folder, all=True).done == ("a/0001_x",)


def test_a_missing_rollback_file_stops_it_before_anything_is_done(
    write: Write, fresh_database_url: str
) -> None:
    folder = write({name: text for name, text in THREE.items() if name != "0002_b.rollback.sql"})
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match=r"migrations/0002_b\.rollback\.sql: no such file"):
        migrate.rollback(fresh_database_url, folder, steps=3)
    (folder / "0003_c.sql").unlink()
    (folder / "0003_c.rollback.sql").unlink()
    with pytest.raises(MigrationError, match="0003_c: applied, but its file is gone"):
        migrate.rollback(fresh_database_url, folder)
    assert len([item for item in migrate.status(fresh_database_url, folder).migrations if item.marked]) == 3


def test_a_failure_points_into_the_rollback_file(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write(
        {"0001_a.sql": "create table a ();", "0001_a.rollback.sql": "drop table a;\ndrop table b;"}
    )
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(
        migrate.MigrationFailedError, match=r'0001_a\.rollback\.sql:2:1: table "b" does not exist'
    ):
        migrate.rollback(fresh_database_url, folder)
    assert query("select to_regclass('a') is null") == [(False,)]
    assert migrate.status(fresh_database_url, folder).is_current


def test_a_no_changes_nothing(write: Write, fresh_database_url: str) -> None:
    folder = write(THREE)
    migrate.apply(fresh_database_url, folder)
    asked: list[str] = []

    def confirm(steps: object) -> bool:
        asked.append(str(steps))
        return False

    run = migrate.rollback(fresh_database_url, folder, confirm=confirm)
    assert (run.done, len(run.planned), len(asked)) == ((), 1, 1)
    assert migrate.status(fresh_database_url, folder).is_current


def test_a_rollback_runs_as_its_migration_does(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a (id int);",
            "0002_i.sql": "-- transactional: false\ncreate index concurrently i on a (id);",
            "0002_i.rollback.sql": "drop index concurrently i;",
        }
    )
    migrate.apply(fresh_database_url, folder)
    assert migrate.rollback(fresh_database_url, folder).done == ("0002_i",)
    assert query("select to_regclass('i')") == [(None,)]


def test_up_down_and_up_leave_the_same_schema(write: Write, fresh_database_url: str) -> None:
    folder = write(THREE)
    empty = dump(fresh_database_url)
    migrate.apply(fresh_database_url, folder)
    full = dump(fresh_database_url)
    migrate.rollback(fresh_database_url, folder, all=True)
    assert dump(fresh_database_url) == empty
    migrate.apply(fresh_database_url, folder)
    assert dump(fresh_database_url) == full != empty
