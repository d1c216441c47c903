"""A rollback with a migration that was cut off: it is undone first, and those below it are safe."""

from __future__ import annotations

from typing import Any

import pytest

from plainsql import migrate
from plainsql.errors import MigrationError
from tests.migrate.conftest import Query, Write

FILES = {
    "0001_a.sql": "create table a ();",
    "0001_a.rollback.sql": "drop table a;",
    "0002_b.sql": "-- transactional: false\ncreate table b ();\nselect 1/0;",
    "0002_b.rollback.sql": "drop table b;",
}


@pytest.mark.parametrize(
    ("how", "done"),
    [
        ({}, ("0002_b",)),
        ({"steps": 2}, ("0002_b", "0001_a")),
        ({"all": True}, ("0002_b", "0001_a")),
        ({"to": "0001"}, ("0002_b",)),
    ],
)
def test_it_is_the_first_step(
    write: Write, fresh_database_url: str, query: Query, how: dict[str, Any], done: tuple[str, ...]
) -> None:
    folder = write(FILES)
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    assert migrate.rollback(fresh_database_url, folder, **how).done == done
    assert query("select to_regclass('b')") == [(None,)]
    states = {item.name: item.state for item in migrate.status(fresh_database_url, folder).migrations}
    assert states == {"0001_a": "pending" if len(done) > 1 else "applied", "0002_b": "pending"}


def test_without_a_rollback_file_nothing_below_it_is_touched(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({name: text for name, text in FILES.items() if name != "0002_b.rollback.sql"})
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    ways: list[dict[str, Any]] = [{}, {"to": "0001"}, {"all": True}]
    for how in ways:
        with pytest.raises(MigrationError, match=r"0002_b\.rollback\.sql: no such file"):
            migrate.rollback(fresh_database_url, folder, **how)
    assert query("select to_regclass('a')") == [("a",)]


def test_it_is_no_place_to_stop(write: Write, fresh_database_url: str) -> None:
    folder = write(FILES)
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="0002_b: a run of it was cut off, so it is no place to stop"):
        migrate.rollback(fresh_database_url, folder, to="0002")


def test_one_of_another_layer_goes_first_and_to_stays_in_its_layer(
    write: Write, fresh_database_url: str
) -> None:
    folder = write(
        {
            **{f"a/{name}": text for name, text in FILES.items()},
            "b/0001_c.sql": "select 1;",
            "b/0001_c.rollback.sql": "select 1;",
            "b/0002_d.sql": "select 1;",
            "b/0002_d.rollback.sql": "select 1;",
        }
    )
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    migrate.apply(fresh_database_url, folder, layers=["b"])
    assert migrate.rollback(fresh_database_url, folder, to="b/0001").done == ("b/0002_d",)
    assert migrate.rollback(fresh_database_url, folder).done == ("a/0002_b",)


def test_a_rollback_that_is_cut_off_goes_on_first_and_applying_is_refused(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write(FILES | {"0002_b.rollback.sql": "drop table b;\nselect 1/0;"})
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    with pytest.raises(migrate.MigrationFailedError, match="division by zero"):
        migrate.rollback(fresh_database_url, folder)
    (item,) = migrate.status(fresh_database_url, folder).having("interrupted")
    assert (item.name, item.undoing, item.marked) == ("0002_b", True, False)
    with pytest.raises(MigrationError, match="0002_b: its rollback was cut off"):
        migrate.apply(fresh_database_url, folder)
    with pytest.raises(migrate.MigrationFailedError, match='"b" does not exist') as caught:
        migrate.rollback(fresh_database_url, folder)
    assert str(caught.value.hint) == (
        "undo the rest by hand, and say so: plainsql migrate mark --not-applied 0002_b"
    )
    migrate.mark(fresh_database_url, folder, "0002", applied=False)
    assert migrate.rollback(fresh_database_url, folder).done == ("0001_a",)
    assert query("select to_regclass('a')") == [(None,)]
