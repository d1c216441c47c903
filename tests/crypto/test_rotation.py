"""Rotation: every value under the first key, none lost, whatever happens meanwhile."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

import plainsql
from plainsql import EncryptionError
from plainsql.cli import crypto as command
from plainsql.cli.app import main
from plainsql.crypto import KEYS_VARIABLE, KeyRing, Rotation
from tests.crypto.conftest import NEW, OLD, PROJECT
from tests.crypto.project.queries.vault import channels

COLUMN = "vault.channels.access_token"
BOTH = KeyRing.from_environment({KEYS_VARIABLE: f"{NEW},{OLD}"})
TENANT = UUID(int=7)


@pytest.fixture
def vault_db(empty_vault: str) -> Iterator[plainsql.sync.Database]:
    with plainsql.sync.connect(empty_vault) as db:
        yield db


@pytest.fixture
def vault_connection(empty_vault: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(empty_vault, autocommit=True) as connection:
        yield connection


def fill(db: plainsql.sync.Database, count: int) -> dict[UUID, str]:
    """Channels of one tenant, under the first key of the environment; their tokens."""
    tokens = {uuid4(): f"token {number}" for number in range(count)}
    for number, (id, token) in enumerate(tokens.items()):
        channels.create(db, tenant_id=TENANT, id=id, phone=f"{id}{number}", access_token=token)
    return tokens


def rotation(connection: psycopg.Connection[Any], batch: int = 4, **options: bool) -> Rotation:
    made = Rotation(connection, COLUMN, ("tenant_id", "id"), BOTH, batch)
    made.prepare(**options)
    return made


def tokens_of(db: plainsql.sync.Database) -> dict[UUID, str]:
    return {row.id: str(row.access_token) for row in channels.list(db, tenant_id=TENANT)}


def test_all_values_come_under_the_first_key(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = fill(vault_db, 11)
    work = rotation(vault_connection)
    assert work.pending() == 11
    assert sum(work.run()) == 11
    assert work.pending() == 0
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert tokens_of(vault_db) == tokens


def test_values_with_the_first_key_stay_unchanged(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    fill(vault_db, 3)
    list(rotation(vault_connection).run())
    before = vault_connection.execute(
        "select access_token, xmin::text from vault.channels order by id"
    ).fetchall()
    assert sum(rotation(vault_connection).run()) == 0
    after = vault_connection.execute(
        "select access_token, xmin::text from vault.channels order by id"
    ).fetchall()
    assert before == after


def test_nulls_stay(vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]) -> None:
    fill(vault_db, 2)
    work = Rotation(vault_connection, "vault.channels.refresh_token", ("tenant_id", "id"), BOTH)
    work.prepare()
    assert work.pending() == 0
    assert list(work.run()) == []


def test_after_an_interruption_each_row_decrypts_and_the_next_run_goes_on(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = fill(vault_db, 10)
    batches = rotation(vault_connection).run()
    assert next(batches) == 4
    batches.close()
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    assert tokens_of(vault_db) == tokens
    work = rotation(vault_connection)
    assert work.pending() == 6
    assert sum(work.run()) == 6
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert tokens_of(vault_db) == tokens


class Between:
    """A connection on which something else happens between the reading of a batch and its writing."""

    def __init__(self, connection: psycopg.Connection[Any], event: Any) -> None:
        self._connection = connection
        self._event = event

    def execute(self, query: Any, params: Any = None) -> Any:
        if str(query).startswith("update"):
            self._event()
        return self._connection.execute(query, params)


def test_a_write_in_between_wins(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = fill(vault_db, 3)
    changed = next(iter(tokens))

    def change() -> None:
        if tokens[changed] != "changed":
            tokens[changed] = "changed"
            channels.update(vault_db, tenant_id=TENANT, id=changed, access_token="changed")

    work = Rotation(Between(vault_connection, change), COLUMN, ("tenant_id", "id"), BOTH)
    work.prepare()
    # The other rows first; then, in a second pass, the new value, which was written with the old key.
    assert [done for done in work.run() if done] == [2, 1]
    assert work.pending() == 0
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert tokens_of(vault_db) == tokens


def test_rows_that_are_deleted_in_between_are_not_missed(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    fill(vault_db, 3)
    work = Rotation(
        Between(vault_connection, lambda: vault_connection.execute("delete from vault.channels")),
        COLUMN,
        ("tenant_id", "id"),
        BOTH,
    )
    work.prepare()
    assert sum(work.run()) == 0
    assert work.pending() == 0


def test_writers_with_the_old_key_do_not_keep_it_running_forever(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    (id,) = fill(vault_db, 1)
    work = Rotation(
        Between(
            vault_connection, lambda: channels.update(vault_db, tenant_id=TENANT, id=id, access_token="again")
        ),
        COLUMN,
        ("tenant_id", "id"),
        BOTH,
    )
    work.prepare()
    assert sum(work.run()) == 0
    assert work.pending() == 1


def test_an_undecryptable_row_is_named_and_the_rest_is_rotated(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    tokens = fill(vault_db, 5)
    bad, other = list(tokens)[:2]
    vault_connection.execute(
        "update vault.channels set access_token ="
        " (select o.access_token from vault.channels as o where o.id = %s) where id = %s",
        [other, bad],
    )
    stored = vault_connection.execute(
        "select access_token from vault.channels where id = %s", [bad]
    ).fetchone()
    work = rotation(vault_connection, batch=2)
    assert sum(work.run()) == 4
    (failure,) = work.failures
    assert f"id {bad}" in str(failure)
    assert "the key 'old'" in str(failure)
    assert (
        stored
        == vault_connection.execute("select access_token from vault.channels where id = %s", [bad]).fetchone()
    )


def test_a_key_that_is_missing_is_named(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    fill(vault_db, 1)
    work = Rotation(
        vault_connection, COLUMN, ("tenant_id", "id"), KeyRing.from_environment({KEYS_VARIABLE: NEW})
    )
    work.prepare()
    assert sum(work.run()) == 0
    assert "the key 'old', which is not in the ring (new)" in str(work.failures[0])


@pytest.mark.parametrize(
    ("column", "keys", "message"),
    [
        ("vault.channels.nothing", ("id",), "there is no column vault.channels.nothing"),
        ("vault.nothing.token", ("id",), "there is no column vault.nothing.token"),
        (
            "vault.channels.phone",
            ("id",),
            "vault.channels.phone: expected bytea for encrypted values, got text",
        ),
        (COLUMN, ("tenant", "id"), "vault.channels has no column tenant"),
    ],
)
def test_a_column_that_cannot_be_rotated_is_refused(
    vault_connection: psycopg.Connection[Any], column: str, keys: tuple[str, ...], message: str
) -> None:
    with pytest.raises(EncryptionError, match=message):
        Rotation(vault_connection, column, keys, BOTH).prepare()


@pytest.fixture
def tenants_role(vault_connection: psycopg.Connection[Any]) -> Iterator[str]:
    """A role for which row-level security shows the rows of one tenant."""
    role = f"app_{uuid4().hex}"
    name = sql.Identifier(role)
    vault_connection.execute(sql.SQL("create role {}").format(name))
    vault_connection.execute(sql.SQL("grant usage on schema vault to {}").format(name))
    vault_connection.execute(sql.SQL("grant select, update on vault.channels to {}").format(name))
    vault_connection.execute("alter table vault.channels enable row level security")
    vault_connection.execute(
        "create policy own on vault.channels using"
        " (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)"
    )
    yield role
    vault_connection.execute("reset role")
    vault_connection.execute("drop policy own on vault.channels")
    vault_connection.execute("alter table vault.channels disable row level security")
    vault_connection.execute(sql.SQL("drop owned by {}").format(name))
    vault_connection.execute(sql.SQL("drop role {}").format(name))


def test_rows_that_are_hidden_are_not_passed_over_in_silence(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any], tenants_role: str
) -> None:
    fill(vault_db, 2)
    channels.create(vault_db, tenant_id=uuid4(), id=uuid4(), phone="other", access_token="other")
    vault_connection.execute(sql.SQL("set role {}").format(sql.Identifier(tenants_role)))
    with pytest.raises(EncryptionError, match=f"hides rows of vault.channels from the role {tenants_role}"):
        rotation(vault_connection)
    vault_connection.execute("select set_config('app.tenant', %s, false)", [str(TENANT)])
    assert sum(rotation(vault_connection, partly=True).run()) == 2


# -- The command


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch, empty_vault: str) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("DATABASE_URL", empty_vault)


@pytest.mark.usefixtures("in_project")
def test_the_command_rotates_the_columns_of_the_headers(
    vault_db: plainsql.sync.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = fill(vault_db, 3)
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    assert main(["crypto", "rotate", "--batch", "2"]) == 0
    assert capsys.readouterr().out == (
        f"{COLUMN}: 3 re-encrypted with the key 'new', 0 left\n"
        "vault.channels.refresh_token: 0 re-encrypted with the key 'new', 0 left\n"
        "vault.customers.email: 0 re-encrypted with the key 'new', 0 left\n"
        "vault.customers.phone: 0 re-encrypted with the key 'new', 0 left\n"
    )
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert tokens_of(vault_db) == tokens


@pytest.mark.usefixtures("in_project")
def test_the_command_reports_the_remaining_rows(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(vault_db, 2)
    bad = next(iter(tokens_of(vault_db)))
    vault_connection.execute("update vault.channels set access_token = 'plain' where id = %s", [bad])
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    assert main(["crypto", "rotate", COLUMN, "--json"]) == 1
    captured = capsys.readouterr()
    (found,) = json.loads(captured.out)
    errors = found.pop("errors")
    assert found == {"column": COLUMN, "key": "new", "rotated": 1, "left": 1}
    assert str(bad) in errors[0]
    assert captured.err == ""
    assert main(["crypto", "rotate", COLUMN]) == 1
    assert "is not an encrypted value" in capsys.readouterr().err


@pytest.mark.usefixtures("in_project")
def test_the_command_says_how_far_it_came_when_it_is_interrupted(
    vault_db: plainsql.sync.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = fill(vault_db, 4)
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")

    class Interrupted(Rotation):
        def run(self) -> Generator[int]:
            yield next(super().run())
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "Rotation", Interrupted)
        assert main(["crypto", "rotate", COLUMN, "--batch", "3"]) == 130
    assert f"{COLUMN}: 3 of 4 re-encrypted; run it again for the rest" in capsys.readouterr().err
    assert tokens_of(vault_db) == tokens
    assert main(["crypto", "rotate", COLUMN]) == 0


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["channels"], "expected schema.table.column, got 'channels'"),
        (["vault.channels.phone"], "no header calls vault.channels.phone encrypted"),
        (["--keys", "id"], "--keys needs the column"),
        ([COLUMN, "--batch", "0"], "--batch: expected an integer from 1 to 2147483647, got 0"),
        ([COLUMN, "--set", "app.tenant"], "--set: expected name=value"),
    ],
)
def test_the_command_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crypto", "rotate", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_new_key_is_one_that_a_ring_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crypto", "new-key"]) == 0
    key = capsys.readouterr().out.strip()
    assert KeyRing.from_environment({KEYS_VARIABLE: f"k:{key}"}).ids == ("k",)


# -- The prompt


@pytest.mark.usefixtures("in_project")
def test_run_encrypts_arguments_and_hides_results(
    vault_db: plainsql.sync.Database, capsys: pytest.CaptureFixture[str]
) -> None:
    id = uuid4()
    words = [f"tenant_id={str(TENANT).upper()}", f"id={id}"]
    assert main(["run", "vault.channels.create", *words, "phone=1", "access_token=typed"]) == 0
    assert main(["run", "vault.channels.get", *words, "--json"]) == 0
    out = capsys.readouterr().out
    assert "typed" not in out
    assert '"access_token":"***"' in out
    assert '"refresh_token":null' in out
    assert tokens_of(vault_db) == {id: "typed"}
