"""Files that run outside a transaction: what ran is said, what is left behind is named."""

from __future__ import annotations

import pytest

from plainsql import migrate
from plainsql.errors import MigrationError
from tests.migrate.conftest import Query, Write

TABLE = "create table t (id int);\ninsert into t values (1), (1);"
INDEXES = """\
-- transactional: false
create index concurrently one on t (id);

create unique index concurrently two on t (id);
create index concurrently three on t (id);
"""


def test_an_index_is_built_concurrently(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = write({"0001_t.sql": TABLE, "0002_i.sql": INDEXES.replace("unique ", "")})
    assert migrate.apply(fresh_database_url, folder).done == ("0001_t", "0002_i")
    assert query("select count(*) from pg_index where indrelid = 't'::regclass and indisvalid") == [(3,)]


def test_a_failure_names_the_statements_that_ran_and_the_invalid_index(
    write: Write, fresh_database_url: str
) -> None:
    folder = write({"0001_t.sql": TABLE, "0002_i.sql": INDEXES})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert str(caught.value) == (
        'migrations/0002_i.sql:4:1: could not create unique index "two" (SQLSTATE 23505)\n'
        "    create unique index concurrently two on t (id);\n"
        "    ^\n"
        "DETAIL: Key (id)=(1) is duplicated.\n"
        "        statement 2 of 3: create unique index concurrently two on t (id)\n"
        "        ran before it, and stays: statement 1 (create index concurrently one on t (id))\n"
        "        it left invalid indexes: public.two\n"
        "        completed before it, and kept: 0001_t\n"
        "HINT: run it again: it drops that index and builds it again"
    )
    assert migrate.status(fresh_database_url, folder).having("interrupted")[0].name == "0002_i"


def test_an_invalid_index_of_no_name_is_not_built_twice(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    index = "-- transactional: false\ncreate unique index concurrently on t (id);"
    folder = write({"0001_t.sql": TABLE, "0002_i.sql": index})
    with pytest.raises(migrate.MigrationFailedError, match="could not create unique index"):
        migrate.apply(fresh_database_url, folder)
    query("delete from t")
    with pytest.raises(migrate.MigrationFailedError, match="an earlier run left the invalid index") as caught:
        migrate.apply(fresh_database_url, folder)
    query(str(caught.value.hint).split(";")[0])
    assert migrate.apply(fresh_database_url, folder).done == ("0002_i",)
    assert migrate.status(fresh_database_url, folder).is_current


def test_a_file_that_drops_the_invalid_index_first_may_run_again(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    index = "drop index concurrently if exists two;\ncreate unique index concurrently two on t (id);"
    folder = write({"0001_t.sql": TABLE, "0002_i.sql": f"-- transactional: false\n{index}"})
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    query("delete from t")
    assert migrate.apply(fresh_database_url, folder).done == ("0002_i",)


def test_a_position_counts_from_the_statement(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "-- transactional: false\nselect 1;\n  select nope;\n"})
    with pytest.raises(migrate.MigrationFailedError, match=r"0001_a\.sql:3:10: column \"nope\""):
        migrate.apply(fresh_database_url, folder)


def test_a_transaction_that_is_left_open_is_refused(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"0001_a.sql": "-- transactional: false\nbegin;\ncreate table a ();"})
    with pytest.raises(migrate.MigrationFailedError, match="begins a transaction and does not end it"):
        migrate.apply(fresh_database_url, folder)
    assert query("select to_regclass('a')") == [(None,)]


def test_a_concurrent_index_in_a_transaction_gets_a_hint(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_t.sql": TABLE, "0002_i.sql": "create index concurrently i on t (id);"})
    with pytest.raises(
        migrate.MigrationFailedError, match="HINT: start the file with '-- transactional: false'"
    ):
        migrate.apply(fresh_database_url, folder)


def test_a_file_that_was_cut_off_runs_again_from_its_top(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"0001_a.sql": "-- transactional: false\ncreate table if not exists a ();\nselect 1/0;"})
    with pytest.raises(migrate.MigrationFailedError, match="HINT: make the statements repeatable"):
        migrate.apply(fresh_database_url, folder)
    write({"0001_a.sql": "-- transactional: false\ncreate table if not exists a ();\nselect 1;"})
    assert migrate.apply(fresh_database_url, folder).done == ("0001_a",)


def test_a_rollback_that_was_cut_off_must_be_ended_first(write: Write, fresh_database_url: str) -> None:
    folder = write(
        {
            "0001_a.sql": "-- transactional: false\ncreate table a ();",
            "0001_a.rollback.sql": "drop table if exists a;\nselect 1/0;",
        }
    )
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(migrate.MigrationFailedError, match="division by zero"):
        migrate.rollback(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="cut off"):
        migrate.apply(fresh_database_url, folder)
    write({"0001_a.rollback.sql": "drop table if exists a;"})
    assert migrate.rollback(fresh_database_url, folder).done == ("0001_a",)
