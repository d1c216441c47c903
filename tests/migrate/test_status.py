"""The records in the database, compared with the files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plainsql import migrate
from tests.migrate.conftest import Query, Write


def states(url: str, folder: object) -> dict[str, str]:
    return {item.name: item.state for item in migrate.status(url, str(folder)).migrations}


def test_looking_changes_nothing(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write({"0001_a.sql": "select 1;"})
    assert states(fresh_database_url, folder) == {"0001_a": "pending"}
    assert query("select count(*) from pg_class where relnamespace = 'public'::regnamespace") == [(0,)]


def test_when_and_how_long_are_known(write: Write, fresh_database_url: str) -> None:
    folder = write({"realty/0001_a.sql": "select 1;"})
    migrate.apply(fresh_database_url, folder)
    (item,) = migrate.status(fresh_database_url, folder).migrations
    assert item.layer == "realty"
    assert item.applied_at is not None
    assert abs(datetime.now(UTC) - item.applied_at) < timedelta(minutes=1)
    assert item.seconds is not None
    assert 0 < item.seconds < 10


def test_an_edited_file_stops_applying(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;", "0002_b.sql": "select 1;"})
    migrate.apply(fresh_database_url, folder, to="0001")
    write({"0001_a.sql": "select 2;"})
    assert states(fresh_database_url, folder) == {"0001_a": "edited", "0002_b": "pending"}
    with pytest.raises(migrate.DriftError, match="0001_a: its file was edited after it was applied"):
        migrate.apply(fresh_database_url, folder)
    assert migrate.apply(fresh_database_url, folder, allow_edited=True).done == ("0002_b",)


def test_a_file_that_is_gone_stops_applying(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;", "0002_b.sql": "select 1;"})
    migrate.apply(fresh_database_url, folder)
    (folder / "0001_a.sql").unlink()
    assert states(fresh_database_url, folder) == {"0001_a": "missing", "0002_b": "applied"}
    with pytest.raises(migrate.DriftError, match="0001_a: its file is gone"):
        migrate.apply(fresh_database_url, folder)
    # The gap in the numbers is the missing file's, and no error of its own.
    write({"0003_c.sql": "select 1;"})
    assert migrate.apply(fresh_database_url, folder, allow_edited=True).done == ("0003_c",)


def test_other_line_ends_are_no_edit(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;\nselect 2;\n"})
    migrate.apply(fresh_database_url, folder)
    write({"0001_a.sql": b"\xef\xbb\xbfselect 1;\r\nselect 2;\r\n"})
    assert states(fresh_database_url, folder) == {"0001_a": "applied"}


def test_an_edited_migration_may_be_rolled_back_and_applied_again(
    write: Write, fresh_database_url: str
) -> None:
    folder = write({"0001_a.sql": "create table a ();", "0001_a.rollback.sql": "drop table a;"})
    migrate.apply(fresh_database_url, folder)
    write({"0001_a.sql": "create table a (id int);"})
    migrate.rollback(fresh_database_url, folder)
    migrate.apply(fresh_database_url, folder)
    assert states(fresh_database_url, folder) == {"0001_a": "applied"}


def test_one_that_comes_late_is_said_to_be_so(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;", "0003_c.sql": "select 1;"})
    (folder / "0001_a.sql").rename(folder / "0002_b.sql")
    migrate.apply(fresh_database_url, folder)
    write({"0001_a.sql": "select 1;"})
    found = migrate.status(fresh_database_url, folder)
    assert [(item.name, item.late) for item in found.pending] == [("0001_a", True)]
    assert migrate.apply(fresh_database_url, folder).done == ("0001_a",)
