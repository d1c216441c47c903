"""All faults of a folder are reported together, before a migration runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql import migrate
from plainsql.errors import MigrationError
from tests.migrate.conftest import Write


def errors(folder: Path) -> list[str]:
    with pytest.raises(migrate.MigrationFolderError) as caught:
        migrate.read_folder(folder)
    return [str(error).split("\nHINT")[0] for error in caught.value.errors]


def test_flat_files_come_first_then_the_layers_by_name(write: Write) -> None:
    one = "select 1;"
    folder = write(
        {"whatsapp/0001_b.sql": one, "realty/0002_y.sql": one, "realty/0001_x.sql": one, "0001_z.sql": one}
    )
    assert [migration.name for migration in migrate.read_folder(folder).migrations] == [
        "0001_z",
        "realty/0001_x",
        "realty/0002_y",
        "whatsapp/0001_b",
    ]


def test_everything_wrong_is_said_at_once(write: Write) -> None:
    folder = write(
        {
            "0001_a.sql": "select 1;",
            "0001_b.sql": "select 1;",
            "0002_empty.sql": " \n",
            "0003_comment.sql": "-- to be written\n",
            "0004_latin.sql": b"select 1;\n-- a\xf1o",
            "0005_late.sql": "select 1;\n-- transactional: false",
            "0006_unsure.sql": "-- transactional: no\nselect 1;",
            "0007_depends.sql": "-- depends: 0009_x\nselect 1;",
            "0008_commit.sql": "select 1;\n  commit;",
            "0009_psql.sql": "\\restrict abc\nselect 1;",
            "0010_copy.sql": "copy t from stdin;",
            "0011_gone.rollback.sql": "select 1;",
            "12_short.sql": "select 1;",
            "Realty/0001_a.sql": "select 1;",
            "realty/old/0001_a.sql": "select 1;",
        }
    )
    assert errors(folder) == [
        "migrations/0001_b.sql: has the same number as 0001_a.sql",
        "migrations/0002_empty.sql: is empty",
        "migrations/0003_comment.sql: holds no statement",
        "migrations/0004_latin.sql:2: expected UTF-8, got byte 0xf1",
        (
            "migrations/0005_late.sql:2:1: "
            "'transactional:' is after the first statement, and has no effect there\n"
            "    -- transactional: false\n    ^"
        ),
        (
            "migrations/0006_unsure.sql:1:1: expected 'transactional: true' or 'false', got 'no'\n"
            "    -- transactional: no\n    ^"
        ),
        "migrations/0007_depends.sql: depends on '0009_x', which does not come before it",
        (
            "migrations/0008_commit.sql:2:3: "
            "'commit' would end the transaction that the file's record is part of\n"
            "      commit;\n      ^"
        ),
        "migrations/0009_psql.sql:1:1: a backslash command is psql's, not SQL\n    \\restrict abc\n    ^",
        (
            "migrations/0010_copy.sql:1:1: a migration has no standard input or output to copy\n"
            "    copy t from stdin;\n    ^"
        ),
        "migrations/0011_gone.rollback.sql: undoes 0011_gone.sql, which is not there",
        "migrations/12_short.sql: is not named like a migration",
        "migrations/Realty: is not a name of a layer",
        "migrations/realty/old/0001_a.sql: is too deep to be run",
    ]


def test_savepoints_and_nontransactional_files_may_control_transactions(write: Write) -> None:
    folder = write(
        {
            "0001_a.sql": "savepoint s; select 1; rollback to s; release s;",
            "0002_b.sql": "-- transactional: false\nbegin; select 1; commit;",
        }
    )
    assert len(migrate.read_folder(folder).migrations) == 2


def test_a_byte_order_mark_and_other_files_are_no_matter(write: Write) -> None:
    folder = write(
        {
            "0001_a.sql": b"\xef\xbb\xbfselect 1;",
            "README.md": "x",
            ".0002_b.sql.swp": "x",
            # The schemas that the migrations make: of this folder, and of databases whose folders are in it.
            **dict.fromkeys(("schema.sql", "shop/schema.sql", "shop/old/schema.sql"), "create table t ();"),
        }
    )
    assert [migration.script.source for migration in migrate.read_folder(folder).migrations] == ["select 1;"]


def test_a_bare_number_needs_its_layer_when_several_have_it(write: Write) -> None:
    folder = migrate.read_folder(write({"a/0001_x.sql": "select 1", "b/0001_y.sql": "select 1"}))
    assert (
        folder.find("b/1").name
        == folder.find("0001_y").name
        == folder.only(["b"]).find("0001").name
        == "b/0001_y"
    )
    with pytest.raises(MigrationError, match=r"'0001' means a/0001_x, b/0001_y"):
        folder.find("0001")
    with pytest.raises(MigrationError, match="no migration '0002'"):
        folder.find("0002")


def test_a_new_migration_gets_the_next_number_and_a_rollback(write: Write) -> None:
    folder = write({"realty/0007_x.sql": "select 1;"})
    paths = migrate.new(folder, "Añade  teléfono: leads", layer="realty")
    assert [path.as_posix() for path in paths] == [
        "migrations/realty/0008_anade_telefono_leads.sql",
        "migrations/realty/0008_anade_telefono_leads.rollback.sql",
    ]
    assert paths[0].read_text(encoding="utf-8").startswith("-- Añade teléfono: leads.\n-- Lock: ")
    with pytest.raises(MigrationError, match=r"expected the layer .*\n*HINT: name one with --layer: realty"):
        migrate.new(folder, "add x")


def test_a_new_migration_without_statements_does_not_run(write: Write, fresh_database_url: str) -> None:
    folder = write({})
    migrate.new(folder, "add x")
    with pytest.raises(migrate.MigrationFolderError, match="holds no statement"):
        migrate.apply(fresh_database_url, folder)
