"""The statement that an error names: that which the server refused, also if nothing of the file ran."""

from __future__ import annotations

import pytest

from plainsql import migrate
from tests.migrate.conftest import Write


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        pytest.param(
            "-- Long.\ncreate table a (id int);\ncreate tabel b (id int);\n",
            "3:8",
            "statement 2 of 2: create tabel b (id int)",
            id="word",
        ),
        pytest.param(
            "creat table a ();\nselect 1;\n", "1:1", "statement 1 of 2: creat table a ()", id="first"
        ),
        pytest.param(
            "select 1;\nselect from from x;\nselect 3;\n",
            "2:13",
            "statement 2 of 3: select from from x",
            id="middle",
        ),
        pytest.param(
            # The end of the statement is not known, and so not how many there are.
            "create table a (id int);\ncreate table b (id int;\ncreate table c ();\n",
            "2:23",
            "statement 2: create table b (id int;",
            id="unclosed parenthesis",
        ),
        pytest.param(
            "select 1;\nselect 2;\nselect 'x;\n", "3:8", "statement 3: select 'x;", id="unclosed string"
        ),
        pytest.param(
            "select 1;\nselect 2;\nselect (1\n", "4:1", "statement 3 of 3: select (1", id="end of file"
        ),
        pytest.param(
            "create table é (id int);\n-- ü\nselect 1; selec 'ö';\n",
            "3:11",
            "statement 3 of 3: selec 'ö'",
            id="same line",
        ),
        pytest.param(
            # It is refused when it runs: the one before it has completed.
            "create table a (id int);\nselect nope from a;\nselect 3;\n",
            "2:8",
            "statement 2 of 3: select nope from a",
            id="column",
        ),
        pytest.param("select 1;\nselect 1/0;\n", "2:1", "statement 2 of 2: select 1/0", id="no position"),
    ],
)
def test_it_is_the_one_that_was_refused(
    write: Write, fresh_database_url: str, source: str, place: str, said: str
) -> None:
    folder = write({"0001_x.sql": source})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert str(caught.value).startswith(f"migrations/0001_x.sql:{place}: ")
    assert said in [line.strip() for line in str(caught.value.detail).splitlines()]


def test_in_a_rollback_file_as_well(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_x.sql": "select 1;", "0001_x.rollback.sql": "select 1;\nselect 2;\ndropp table a;"})
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(migrate.MigrationFailedError, match=r"0001_x\.rollback\.sql:3:1: ") as caught:
        migrate.rollback(fresh_database_url, folder)
    assert "statement 3 of 3: dropp table a" in str(caught.value.detail)


def test_outside_a_transaction_it_is_the_one_that_was_sent(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_x.sql": "-- transactional: false\nselect 1;\nselect 2;\nselectt 3;\n"})
    with pytest.raises(migrate.MigrationFailedError, match=r"0001_x\.sql:4:1: ") as caught:
        migrate.apply(fresh_database_url, folder)
    assert "statement 3 of 3: selectt 3" in str(caught.value.detail)


@pytest.mark.parametrize(
    ("statement", "extension"),
    [
        ("create table a (e vector(3));", "vector"),
        ("create table a (e halfvec(3)[]);", "vector"),
        ("create index on b using hnsw (e);", "vector"),
        ("create index on b using gin (e gin_trgm_ops);", "pg_trgm"),
        ("create index on b using gist (n gist_int4_ops);", "btree_gist"),
        ("create table a (id uuid default uuid_generate_v4());", '"uuid-ossp"'),
        ("select crypt('a', gen_salt('bf'));", "pgcrypto"),
    ],
)
def test_the_hint_names_the_extension_of_a_missing_object(
    write: Write, fresh_database_url: str, statement: str, extension: str
) -> None:
    folder = write({"0001_x.sql": f"create table b (e text, n int);\n{statement}\n"})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert str(caught.value.hint).endswith(f": create extension if not exists {extension};")


def test_an_extension_in_another_schema_is_said_and_one_in_the_path_is_not(
    write: Write, fresh_database_url: str
) -> None:
    folder = write(
        {"0001_x.sql": "create schema own; create extension pg_trgm schema own; create extension unaccent;\n"}
    )
    migrate.apply(fresh_database_url, folder)
    write({"0002_x.sql": "select similarity('a', 'b');\n"})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert caught.value.hint == "the extension pg_trgm is in the schema own: add it to search_path"
    write({"0002_x.sql": "select unaccent(1, 2);\n"})
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert "extension" not in str(caught.value.hint)
