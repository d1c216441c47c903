"""Applying: one file and its record are one transaction, and nothing is done half."""

from __future__ import annotations

import psycopg
import pytest

from plainsql import migrate
from plainsql.errors import ConnectError, MigrationError
from tests.migrate.conftest import Query, Write

TRICKY = """\
-- Bodies with semicolons, percent signs, strings.
create table t (id int primary key, note text default '100%; %s %(x)s');
create function f() returns int language plpgsql as $$ begin perform 1; return 2; end $$;
create function g(x int) returns int language sql
begin atomic
  select 1;
  select case when x % 2 = 0 then 1 else 0 end;
end;
insert into t (id) values (1)"""


def test_files_reach_the_server_as_they_are_written(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    done = migrate.apply(fresh_database_url, write({"0001_tricky.sql": TRICKY})).done
    assert done == ("0001_tricky",)
    assert query("select note, f(), g(3) from t") == [("100%; %s %(x)s", 2, 0)]


def test_a_second_run_finds_nothing_to_do(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "create table a ();", "realty/0001_a.sql": "create schema realty;"})
    assert migrate.apply(fresh_database_url, folder).done == ("0001_a", "realty/0001_a")
    assert migrate.apply(fresh_database_url, folder).done == ()
    assert migrate.status(fresh_database_url, folder).is_current


def test_only_the_chosen_migrations_are_applied(write: Write, fresh_database_url: str) -> None:
    folder = write(
        {f"{layer}/000{n}_x.sql": f"create table {layer}{n} ();" for layer in "abc" for n in (1, 2, 3)}
    )
    assert migrate.apply(fresh_database_url, folder, to="b/0002").done == ("b/0001_x", "b/0002_x")
    assert migrate.apply(fresh_database_url, folder, layers=["c", "b"]).done == (
        "c/0001_x",
        "c/0002_x",
        "c/0003_x",
        "b/0003_x",
    )
    with pytest.raises(MigrationError, match="no layer 'd'"):
        migrate.apply(fresh_database_url, folder, layers=["d"])


def test_a_failure_keeps_earlier_migrations_and_none_of_its_own_changes(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a ();",
            "0002_b.sql": "create table b ();\n\ncreate table a\n  ();\ncreate table c ();",
            "0003_c.sql": "create table d ();",
        }
    )
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert str(caught.value) == (
        'migrations/0002_b.sql:3:1: relation "a" already exists (SQLSTATE 42P07)\n'
        "    create table a\n"
        "    ^\n"
        "DETAIL: statement 2 of 3: create table a\n"
        "        nothing of this file was kept\n"
        "        completed before it, and kept: 0001_a"
    )
    assert (caught.value.sqlstate, caught.value.migration, caught.value.done) == (
        "42P07",
        "0002_b",
        ("0001_a",),
    )
    assert query("select to_regclass('a') is not null, to_regclass('b'), to_regclass('d')") == [
        (True, None, None)
    ]
    assert [item.state for item in migrate.status(fresh_database_url, folder).migrations] == [
        "applied",
        "pending",
        "pending",
    ]


def test_an_error_with_a_position_points_at_the_character(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "-- ñ🙂\r\nselect 'ñ;🙂';\r\nselect 'é', nope;\r\n"})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert str(caught.value).startswith(
        'migrations/0001_a.sql:3:13: column "nope" does not exist (SQLSTATE 42703)\n'
        "    select 'é', nope;\n                ^\n"
    )


def test_the_servers_detail_and_hint_are_shown(write: Write, fresh_database_url: str) -> None:
    body = "do $$ begin raise 'no' using detail = 'the detail', hint = 'the hint', errcode = 'P0042'; end $$;"
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, write({"0001_a.sql": body}))
    assert caught.value.sqlstate == "P0042"
    assert str(caught.value).splitlines()[-5:] == [
        "DETAIL: the detail",
        "        PL/pgSQL function inline_code_block line 1 at RAISE",
        f"        statement 1 of 1: {body.rstrip(';')}",
        "        nothing of this file was kept",
        "HINT: the hint",
    ]


def test_a_constraint_that_fails_at_the_commit_leaves_no_record(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a (id int primary key, up int references a initially deferred);\n"
            "insert into a values (1, 7);"
        }
    )
    with pytest.raises(
        migrate.MigrationFailedError, match=r"0001_a\.sql: at the commit: .* \(SQLSTATE 23503\)"
    ):
        migrate.apply(fresh_database_url, folder)
    assert query("select to_regclass('a')") == [(None,)]
    assert [item.state for item in migrate.status(fresh_database_url, folder).migrations] == ["pending"]


def test_a_record_that_cannot_be_written_undoes_the_migration(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"0001_a.sql": "create table a ();"})
    migrate.apply(fresh_database_url, folder)
    query("alter table _yoyo_log add constraint full_up check (migration_id <> '0002_b')")
    with pytest.raises(MigrationError, match="records of migrations"):
        migrate.apply(fresh_database_url, write({"0002_b.sql": "create table b ();"}))
    assert query("select to_regclass('b')") == [(None,)]


def test_a_session_is_clean_for_the_next_file_and_for_the_record(
    write: Write, fresh_database_url: str
) -> None:
    leave_behind = "create table a (); select set_config('search_path', '', false); set role pg_monitor;"
    folder = write(
        {
            "0001_a.sql": leave_behind,
            "0002_b.sql": "-- transactional: false\nset search_path = pg_catalog; select 1;",
            "0003_c.sql": "alter table a add column id int;",
        }
    )
    assert len(migrate.apply(fresh_database_url, folder).done) == 3


def test_a_schema_of_the_users_own_name_does_not_hide_the_records(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    ((user,),) = query("select current_user")
    folder = write({"0001_a.sql": f'create schema "{user}";', "0002_b.sql": "create table b ();"})
    migrate.apply(fresh_database_url, folder, to="0001")
    # "$user" comes before public in the search_path.
    assert migrate.apply(fresh_database_url, folder).done == ("0002_b",)


def test_a_connection_lost_at_the_commit_is_not_called_a_failure(
    write: Write, fresh_database_url: str
) -> None:
    folder = write(
        {
            "0001_a.sql": """
create table a ();
create function cut() returns trigger language plpgsql as $$
begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
create constraint trigger cut after insert on a initially deferred for each row execute function cut();
insert into a default values;
"""
        }
    )
    with pytest.raises(migrate.MigrationFailedError, match="whether it was committed is not known") as caught:
        migrate.apply(fresh_database_url, folder)
    assert "nothing of this file was kept" not in str(caught.value)


def test_a_number_that_is_left_out_is_an_error(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;", "0003_c.sql": "select 1;"})
    with pytest.raises(
        migrate.MigrationFolderError, match=r"0003_c\.sql: expected number 0002 after 0001_a, got 0003"
    ):
        migrate.apply(fresh_database_url, folder)


def test_the_wait_for_the_lock_of_another_session_has_a_limit(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table a ()")
    with psycopg.connect(fresh_database_url) as other:
        other.execute("lock table a")
        with pytest.raises(migrate.MigrationFailedError, match=r"\(SQLSTATE 55P03\)(.|\n)*--lock-timeout"):
            migrate.apply(
                fresh_database_url, write({"0001_a.sql": "drop table a;"}), lock_timeout=0.05, lock_retries=0
            )


def test_a_dry_run_gives_the_sql_and_touches_nothing(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    index = "-- transactional: false\ncreate index concurrently i on a (id);\n"
    folder = write(
        {
            "0001_a.sql": "create table a () -- the end",
            "0002_b.sql": index,
        }
    )
    run = migrate.apply(fresh_database_url, folder, dry_run=True, lock_timeout=1.5)
    assert [step.sql for step in run.planned] == [
        "begin;\nset local lock_timeout = '1500ms';\ncreate table a () -- the end\n;\ncommit;\n",
        f"set lock_timeout = 0;\n{index}reset lock_timeout;\n",
    ]
    assert run.done == ()
    assert query("select count(*) from pg_class where relnamespace = 'public'::regnamespace") == [(0,)]


def test_progress_says_done_only_after_the_commit(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"0001_a.sql": "do $$ begin raise warning 'mind'; end $$; create table a ();"})
    seen: list[tuple[str, str, bool]] = []

    def told(progress: migrate.Progress) -> None:
        seen.append((progress.stage, progress.text, query("select to_regclass('a') is not null")[0][0]))

    migrate.apply(fresh_database_url, folder, on_progress=told)
    assert seen == [("started", "", False), ("notice", "WARNING: mind", False), ("done", "", True)]


def test_a_password_never_shows(write: Write) -> None:
    folder = write({"0001_a.sql": "select 1;"})
    for url in ("postgresql://u:hush@localhost:1/x", "postgresql://u:hu sh%zz@localhost:1/x"):
        with pytest.raises(ConnectError) as caught:
            migrate.apply(url, folder)
        assert "hu" not in str(caught.value).replace("the", "")
