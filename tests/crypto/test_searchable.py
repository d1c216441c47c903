"""Encrypted values that are found by their digests, through both executors, generated and loaded."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
import pickle
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psycopg
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

import plainsql
from plainsql import BindError, EncryptionError, SettingsError
from plainsql.cli.app import main
from plainsql.crypto import (
    KEYS_VARIABLE,
    Encrypted,
    KeyRing,
    Rotation,
    Secret,
    encrypt_searchable,
    search_digests,
)
from plainsql.crypto.blind_index import FORMS
from plainsql.crypto.envelope import unpack
from plainsql.statements.header_encryption import SEARCH_FORMS
from tests.crypto.conftest import NEW, OLD, PROJECT
from tests.crypto.project.queries.vault import customers
from tests.scenario.executors import Side

TENANT, OTHER = UUID(int=7), UUID(int=8)
EMAIL = "Ana.Pérez@Example.com"
PHONE = "+34 600-111-222"
COLUMN = "vault.customers.email"


async def add(vault: Side, q: Any, **given: Any) -> UUID:
    row = {"tenant_id": TENANT, "id": uuid4(), "name": "Ana", "email": EMAIL, "phone": PHONE, **given}
    made = await vault.call(q.customers.create, **row)
    assert isinstance(made.id, UUID)
    return made.id


async def done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


# -- Searches


async def test_a_row_is_found_by_its_digest(vault: Side, q: Any) -> None:
    id = await add(vault, q)
    await add(vault, q, email="bob@example.com", phone=None)
    found = await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=" ANA.pe\u0301rez@example.COM")
    assert (found.id, found.email, found.phone) == (id, EMAIL, PHONE)
    assert repr(found.email) == "Secret('***')"
    (same,) = await vault.call(q.customers.list, phone="0034 (600) 111 222")
    assert same.id == id
    assert await vault.call(q.customers.list, phone="+34 600 111 223") == []
    assert await vault.call(q.customers.get_by_email, tenant_id=TENANT, email="eve@example.com") is None
    assert len(await vault.call(q.customers.list)) == 2  # the optional line is left out


async def test_the_database_has_neither_text(vault: Side, q: Any, empty_vault: str) -> None:
    await add(vault, q)
    with psycopg.connect(empty_vault) as connection:
        text, digest, value = connection.execute(
            "select c::text, c.email_digest, c.email from vault.customers as c"
        ).fetchall()[0]
    assert value.hex() in text
    for plain in (EMAIL, EMAIL.lower(), PHONE, "+34600111222"):
        assert plain not in text
        assert plain.encode().hex() not in text
    parsed = unpack(value)
    assert parsed is not None
    assert parsed.digest == digest
    assert len(digest) == 32


async def test_an_update_replaces_the_digest_with_the_value(vault: Side, q: Any) -> None:
    id = await add(vault, q)
    await vault.call(q.customers.update, tenant_id=TENANT, id=id, email="new@example.com", phone=None)
    assert await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=EMAIL) is None
    found = await vault.call(q.customers.get_by_email, tenant_id=TENANT, email="new@example.com")
    assert (found.id, found.phone) == (id, None)
    assert await vault.call(q.customers.list, phone=PHONE) == []
    await vault.call(q.customers.update, tenant_id=TENANT, id=id)  # neither line is sent
    assert await vault.call(q.customers.get_by_email, tenant_id=TENANT, email="new@example.com") is not None


async def test_a_unique_index_on_digests_refuses_the_same_text(vault: Side, q: Any) -> None:
    await add(vault, q)
    with pytest.raises((asyncpg.UniqueViolationError, psycopg.errors.UniqueViolation)) as caught:
        await add(vault, q, email=EMAIL.upper())
    assert EMAIL.casefold() not in "".join([str(caught.value), *caught.value.__notes__]).casefold()
    await add(vault, q, tenant_id=OTHER)  # the same address, another tenant


async def test_the_digest_of_a_tenant_is_its_own(vault: Side, q: Any, empty_vault: str) -> None:
    await add(vault, q)
    await add(vault, q, tenant_id=OTHER)
    with psycopg.connect(empty_vault) as connection:
        rows = connection.execute("select email_digest, phone_digest from vault.customers").fetchall()
    (email, phone), (other_email, other_phone) = rows
    assert email != other_email
    assert phone == other_phone  # searched through all tenants
    assert len(await vault.call(q.customers.list, phone=PHONE)) == 2


async def test_batches_and_transactions_search_too(vault: Side, q: Any) -> None:
    rows = [
        {"tenant_id": TENANT, "id": uuid4(), "name": str(n), "email": f"n{n}@example.com", "phone": None}
        for n in range(5)
    ]
    await done(q.customers.create.execute_many(vault.db, rows))
    async with vault.transaction() as tx:
        wanted = [{"tenant_id": TENANT, "email": f"N{n}@example.com"} for n in (3, 9, 0)]
        found = await done(q.customers.get_by_email.batch(tx.db, wanted))
    assert [row and row.name for row in found] == ["3", None, "0"]


async def test_concurrent_searches_get_their_own_rows(empty_vault: str) -> None:
    async with plainsql.connect(empty_vault, max_size=2) as db:
        for n in range(10):
            email = f"n{n}@example.com"
            await customers.create(db, tenant_id=TENANT, id=uuid4(), name=str(n), email=email)
        found = await asyncio.gather(
            *(customers.get_by_email(db, tenant_id=TENANT, email=f"n{n}@example.com") for n in range(10))
        )
    assert [row and row.name for row in found] == [str(n) for n in range(10)]


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("ana", "email: expected an e-mail address"),
        ("ana @example.com", "email: expected an e-mail address"),
        (b"ana@example.com", "email: expected str, got bytes"),
        ("ana@\ud800", "email: the text is not valid Unicode"),
    ],
)
async def test_what_is_no_address_is_refused_unseen(vault: Side, q: Any, email: Any, message: str) -> None:
    for query, more in ((q.customers.create, {"id": uuid4(), "name": "A"}), (q.customers.get_by_email, {})):
        with pytest.raises(TypeError, match=message) as caught:
            await vault.call(query, tenant_id=TENANT, email=email, **more)
        assert "ana" not in str(caught.value).replace("vault.customers", "")


async def test_no_log_has_the_searched_text(vault: Side, q: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await add(vault, q)
    found = await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=EMAIL)
    logging.getLogger("app").info("found %r", found)
    assert "Secret" in caplog.text
    assert "Ana.P" not in caplog.text


async def test_a_cached_search_has_no_text_in_its_key(empty_vault: str, redis_url: str) -> None:
    prefix = f"digest-{uuid4().hex}"
    async with plainsql.connect(empty_vault, redis=redis_url, cache_prefix=prefix) as db:
        await add(Side("asyncpg", db), type("q", (), {"customers": customers}))
        for _ in range(2):
            assert await customers.get_name(db, tenant_id=TENANT, email=EMAIL) == "Ana"
        assert await customers.get_name(db, tenant_id=TENANT, email="eve@example.com") is None
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter(f"*{prefix}*"))
        texts = [key + (client.dump(key) or b"") for key in keys]
    assert keys
    assert not any(part in text.lower() for text in texts for part in (b"example.com", b"rez@"))


# -- Keys


async def test_every_key_of_the_ring_finds_old_rows(
    vault: Side, q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await add(vault, q)
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    found = await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=EMAIL)
    assert found.id == id
    await add(vault, q, email="new@example.com")
    monkeypatch.setenv(KEYS_VARIABLE, f"{OLD},{NEW}")  # a program that has not been restarted yet
    assert await vault.call(q.customers.get_by_email, tenant_id=TENANT, email="new@example.com") is not None
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=EMAIL) is None
    monkeypatch.delenv(KEYS_VARIABLE)
    with pytest.raises(SettingsError, match=f"{KEYS_VARIABLE} is not set"):
        await vault.call(q.customers.get_by_email, tenant_id=TENANT, email=EMAIL)


def test_a_digest_belongs_to_its_column_form_and_tenant() -> None:
    def digest(column: str = COLUMN, text: str = "a@b", form: str = "email", **scope: Any) -> bytes:
        (found,) = search_digests(column, "x", text, form, **scope)
        assert isinstance(found, bytes)
        return found

    digests = {
        digest(),
        digest(column="vault.customers.phone"),
        digest(form="exactly"),
        digest(text="a@c"),
        digest(tenant_id=TENANT),
        digest(tenant_id=OTHER),
        digest(id=TENANT),
    }
    assert len(digests) == 7
    assert digest(tenant_id=str(TENANT).upper()) == digest(tenant_id=TENANT)
    with pytest.raises(BindError, match="tenant_id: got null"):
        digest(tenant_id=None)


def test_the_key_of_digests_is_none_that_encrypts() -> None:
    ring = KeyRing.from_environment()
    (key,) = ring.search_keys(COLUMN)
    assert key != b"o" * 32
    assert search_digests(COLUMN, "x", "a@b", "exactly")[0] not in {
        hmac.digest(b"o" * 32, text, "sha256") for text in (b"a@b", COLUMN.encode() + b"a@b")
    }
    assert key.hex() not in repr(ring) + repr(vars(type(ring)))


def test_a_digest_that_was_changed_is_not_decrypted() -> None:
    stored = encrypt_searchable(COLUMN, "email", EMAIL, "email", ("tenant_id",), tenant_id=TENANT, id=1)
    ring = KeyRing.from_environment()
    assert ring.decrypt(stored, COLUMN, ("tenant_id", "id"), (TENANT, 1)) == EMAIL
    changed = stored[:10] + bytes([stored[10] ^ 1]) + stored[11:]
    with pytest.raises(EncryptionError, match="it was changed"):
        ring.decrypt(changed, COLUMN, ("tenant_id", "id"), (TENANT, 1))
    mark = Encrypted(COLUMN, "tenant_id", "id", form="email", scope=("tenant_id",))
    assert repr(mark) == (
        "Encrypted('vault.customers.email', 'tenant_id', 'id', form='email', scope=('tenant_id',))"
    )
    assert repr(pickle.loads(pickle.dumps(mark))) == repr(mark)


# -- Normal forms


@pytest.mark.parametrize(
    ("form", "text", "normal"),
    [
        ("exactly", " A ", " A "),
        ("email", "\tA@B.C\n", "a@b.c"),
        ("email", "\uff21@b", "a@b"),
        ("email", "a@", None),
        ("email", "a@b@c", None),
        ("phone", "+34 600 11 12 22", "+34600111222"),
        ("phone", "0034.600.111/222", "+34600111222"),
        ("phone", "34600111222", "+34600111222"),
        ("phone", "\uff0b34\u00a0600\u2013111", "+34600111"),
        ("phone", "\u0663\u0664", "+34"),
        ("phone", "600 ext. 5", None),
        ("phone", "6+00", None),
        ("phone", "()", None),
        ("phone", "", None),
    ],
)
def test_the_normal_form_of_a_text(form: str, text: str, normal: str | None) -> None:
    assert FORMS[form](text) == normal


@given(st.sampled_from(sorted(FORMS)), st.text() | st.from_regex(r"\A[+0-9 @.a-zİß]{1,12}\Z"))
def test_a_normal_form_is_its_own(form: str, text: str) -> None:
    normal = FORMS[form](text)
    assert normal is None or FORMS[form](normal) == normal


def test_headers_have_the_forms_that_there_are() -> None:
    assert tuple(FORMS) == SEARCH_FORMS


# -- Rotation


@pytest.fixture
def vault_connection(empty_vault: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(empty_vault, autocommit=True) as connection:
        yield connection


@pytest.fixture
def vault_db(empty_vault: str) -> Iterator[plainsql.sync.Database]:
    with plainsql.sync.connect(empty_vault) as db:
        yield db


def create(db: plainsql.sync.Database, email: str) -> UUID:
    return customers.create(db, tenant_id=TENANT, id=uuid4(), name="A", email=email).id


def rotated(connection: psycopg.Connection[Any], form: str | None = "email") -> Rotation:
    ring = KeyRing.from_environment()
    scope = ("tenant_id",) if form else ()
    rotation = Rotation(connection, COLUMN, ("tenant_id", "id"), ring, 2, form=form, scope=scope)
    rotation.prepare()
    sum(rotation.run())
    return rotation


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch, empty_vault: str) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("DATABASE_URL", empty_vault)


@pytest.mark.usefixtures("in_project")
def test_the_command_makes_the_digests_of_the_first_key(
    vault_db: plainsql.sync.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [create(vault_db, f"n{n}@example.com") for n in range(3)]
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    assert main(["crypto", "rotate", COLUMN, "--batch", "2"]) == 0
    assert capsys.readouterr().out == f"{COLUMN}: 3 re-encrypted with the key 'new', 0 left\n"
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    found = customers.get_by_email(vault_db, tenant_id=TENANT, email="N1@example.com")
    assert found is not None
    assert found.id == ids[1]
    words = [f"tenant_id={TENANT}", "email=n2@EXAMPLE.com", "--json"]
    assert main(["run", "vault.customers.get_by_email", *words]) == 0
    assert str(ids[2]) in (out := capsys.readouterr().out)
    assert "example" not in out


def test_values_without_a_digest_get_one(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    id = create(vault_db, EMAIL)
    plain = KeyRing.from_environment().encrypt(EMAIL, COLUMN, ("tenant_id", "id"), (TENANT, id))
    vault_connection.execute("update vault.customers set email = %s", [plain])
    assert customers.get_by_email(vault_db, tenant_id=TENANT, email=EMAIL) is None
    assert rotated(vault_connection).pending() == 0
    assert customers.get_by_email(vault_db, tenant_id=TENANT, email=EMAIL) is not None


def test_a_rotation_that_knows_no_form_keeps_the_digest(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create(vault_db, EMAIL)
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    (error,) = rotated(vault_connection, None).failures
    assert "is searchable, and the rotation has no form" in str(error)
    assert EMAIL not in str(error)
    assert customers.get_by_email(vault_db, tenant_id=TENANT, email=EMAIL) is not None


def test_rows_that_a_unique_index_refuses_are_reported(
    vault_db: plainsql.sync.Database,
    vault_connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [create(vault_db, f"n{n}@example.com") for n in range(4)]
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD}")
    create(vault_db, "n2@example.com")  # the old digest is another one
    rotation = rotated(vault_connection)
    assert rotation.pending() == 1
    (error,) = rotation.failures
    assert f"id {ids[2]}: another row has the same value" in str(error)


def test_a_text_that_is_no_address_is_reported(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    id = create(vault_db, EMAIL)
    plain = KeyRing.from_environment().encrypt("nobody", COLUMN, ("tenant_id", "id"), (TENANT, id))
    vault_connection.execute("update vault.customers set email = %s", [plain])
    (error,) = rotated(vault_connection).failures
    assert "the value is not searchable: expected an e-mail address" in str(error)
    assert "nobody" not in str(error)


def test_the_index_of_digests_serves_the_search(
    vault_db: plainsql.sync.Database, vault_connection: psycopg.Connection[Any]
) -> None:
    create(vault_db, EMAIL)
    vault_connection.execute("set enable_seqscan = off")
    digests = search_digests(COLUMN, "email", EMAIL, "email", tenant_id=TENANT)
    plan = vault_connection.execute(
        "explain select c.id from vault.customers as c where c.tenant_id = %s and c.email_digest = any(%s)",
        [TENANT, digests],
    ).fetchall()
    assert "customers_tenant_id_email_digest_key" in str(plan)
    assert isinstance(Secret(EMAIL), str)
