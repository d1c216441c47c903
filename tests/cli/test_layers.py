"""``plainsql layers``: a copy of a layer is the project's own, with the settings that it chose."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.crypto import KEYS_VARIABLE, new_key
from plainsql.errors import PlainsqlError
from plainsql.layer_folders import packaged_layers
from plainsql.layers import copied_layer as copies
from plainsql.layers.copied_layer import copied_layer
from plainsql.layers.layer_edits import Edit
from tests.cli.conftest import Command, Write, tree

SETTINGS = {"pyproject.toml": "[tool.plainsql]\n"}


def test_a_copy_has_its_dimension_and_language_and_passes_the_check(
    write: Write, command: Command, configured: str
) -> None:
    folder = write(SETTINGS)
    done = command("layers", "copy", "realty", "--set", "dimension=3072", "--set", "language=english")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"wrote migrations/realty: {len([*(folder / 'migrations/realty').iterdir()])} files\n"
        f"wrote sql/realty: {len([*(folder / 'sql/realty').rglob('*.sql')])} files\n"
        "set dimension=3072\n"
        "set language=english\n"
        "set personal_data=plain\n"
        "\n"
        "The files are yours now: change them as you like, an upgrade of plainsql leaves them alone.\n"
        "Import queries.realty; plainsql.layers.realty keeps the queries of the package.\n"
        "\n"
        "Next:\n"
        "  plainsql generate\n"
        "  plainsql migrate --layer realty\n"
    )
    assert command("migrate", "--layer", "realty").code == 0
    homes = "sql/realty/properties"
    done = command("check", f"{homes}/set_embedding.sql", f"{homes}/search.sql")
    assert (done.code, done.err, done.out.splitlines()[0]) == (0, "", "clean: 2 queries, 0.0 s")
    with psycopg.connect(configured) as connection:
        row = connection.execute(
            "select format_type(a.atttypid, a.atttypmod), realty.english_words('the homes'),"
            " (select array_agg(c.cfgname::text) from pg_catalog.pg_ts_config as c)"
            " from pg_catalog.pg_attribute as a"
            " where a.attrelid = 'realty.properties'::regclass and a.attname = 'embedding'"
        ).fetchone()
    assert row is not None
    assert row[:2] == ("halfvec(3072)", "'home':2,4")  # with and without accents: two positions
    assert {*copies._LANGUAGES} <= {*row[2]}
    done = command("run", f"{homes}/search_hybrid.sql", f"embedding:={[0.5] * 3072}", "words=homes")
    assert (done.code, done.err) == (0, "")
    # What is there belongs to the project: a second copy writes nothing.
    (folder / homes / "search.sql").write_text("-- Mine.\n", "utf-8")
    before = {path: path.read_bytes() for path in (folder / homes).iterdir()}
    done = command("layers", "copy", "realty")
    assert (done.code, " more\nHINT: they are yours" in done.err, "nothing was written" in done.err) == (
        2,
        True,
        True,
    )
    assert before == {path: path.read_bytes() for path in (folder / homes).iterdir()}


def test_a_copy_with_encrypted_data_is_searched_and_shows_none(
    write: Write, command: Command, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(SETTINGS)
    monkeypatch.setenv(KEYS_VARIABLE, f"k:{new_key()}")
    for layer in ("marketplace", "realty", "whatsapp"):
        assert command("layers", "copy", layer, "--set", "personal_data=encrypted").code == 0
    assert command("migrate").code == 0
    changed = ["marketplace/buyers", "realty/leads", "realty/appointments", "whatsapp/contacts"]
    files = [str(file) for each in changed for file in sorted((folder / "sql" / each).glob("*.sql"))]
    done = command("check", *files)
    assert (done.code, done.err, done.out.split(",")[0]) == (0, "", f"clean: {len(files)} queries")
    q, phone, email, tenant = plainsql.load(folder / "sql"), "+34 600 111 222", "Ana@Example.com", uuid4()
    with plainsql.sync.connect(configured) as db:
        lead = q.realty.leads.create(db, id=uuid4(), name="Ana", phone=phone, email=email)
        found = [q.realty.leads.get_by_phone(db, phone="0034600111222")]
        found += [q.realty.leads.get_by_email(db, email=email.upper())]
        assert [(each.id, each.phone, each.email) for each in found] == [(lead.id, phone, email)] * 2
        q.marketplace.buyers.create_or_update(db, wallapop_user_id="b", phone=phone)
        q.marketplace.buyers.update(db, wallapop_user_id="b", email=email)
        buyer = q.marketplace.buyers.get_by_email(db, email=f" {email} ")
        assert q.marketplace.buyers.get_by_phone(db, phone=phone).id == buyer.id
        assert (buyer.wallapop_user_id, buyer.phone, buyer.email) == ("b", phone, email)
        own = db.tenant(tenant)
        ids = [
            q.whatsapp.contacts.save(own, tenant_id=tenant, id=uuid4(), phone_number=number).id
            for number in ("34600111222", phone)
        ]
        contact = q.whatsapp.contacts.get_by_phone(own, tenant_id=tenant, phone_number=phone)
        assert ids == [contact.id, contact.id]
        assert contact.phone_number == "34600111222"
    with psycopg.connect(configured) as connection:
        tables = ("marketplace.buyers", "realty.leads", "whatsapp.contacts")
        stored = [
            cell
            for table in tables
            for (cell,) in connection.execute(f"select t::text from {table} as t").fetchall()
        ]
    plain = [phone, email, email.lower(), "600111222", "example"]
    assert len(stored) == 3
    assert [text for row in stored for text in plain if text in row or text.encode().hex() in row] == []


@pytest.mark.parametrize("layer", sorted(packaged_layers()))
def test_a_copy_without_settings_is_the_layer_to_the_byte(layer: str) -> None:
    copied, packaged = copied_layer(layer, {}), packaged_layers()[layer]
    for texts, folder in ((copied.migrations, packaged.migrations / layer), (copied.sql, packaged.sql)):
        assert texts == {path.relative_to(folder): path.read_text("utf-8") for path in folder.rglob("*.sql")}


@pytest.mark.parametrize(("dimension", "kind"), [("1", "vector"), ("2000", "vector"), ("2001", "halfvec")])
def test_no_text_of_a_copy_names_the_former_settings(dimension: str, kind: str) -> None:
    for language in copies._LANGUAGES:
        copied = copied_layer("realty", {"dimension": dimension, "language": language})
        text = "\n".join([*copied.migrations.values(), *copied.sql.values()])
        assert language == "spanish" or "spanish" not in text.lower()
        assert "1536" not in text
        assert "1,536" not in text
        assert text.count(f" {kind}({dimension})") == 2
        assert text.count(f"{kind}_cosine_ops") == 2


def test_a_layer_whose_text_has_changed_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        copies._EDITS, "realty", lambda _: [Edit("sql/realty/*/search.sql", "no such text", "")]
    )
    with pytest.raises(PlainsqlError, match="a text that a setting changes is not there"):
        copied_layer("realty", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no layer 'nothing'\nHINT: the layers are assistant, "),
        (["realty", "--set", "dimension=0"], "--set dimension: expected a whole number from 1 to 4000, got"),
        (["realty", "--set", "dimension=4001"], "--set dimension: expected a whole number from 1 to 4000"),
        (["realty", "--set", "dimension=1e3"], "got '1e3'\nHINT: give the dimension of your model's"),
        (["realty", "--set", "language=x'; --"], "--set language: expected a text search configuration"),
        (["realty", "--set", "size=3"], "size: realty has no such setting\nHINT: its settings are dimension"),
        (["assistant", "--set", "size=3"], "has no such setting\nHINT: copy assistant without --set"),
        (["realty", "--set", "personal_data=yes"], "expected plain or encrypted, got 'yes'\nHINT: write enc"),
        (["realty", "--set", "dimension"], "--set: expected name=value, got 'dimension'"),
        (["realty", "--set", "language=dutch", "--set", "language=irish"], "expected one value, got two"),
    ],
)
def test_what_cannot_be_copied_is_refused_and_nothing_written(
    write: Write, command: Command, arguments: list[str], message: str
) -> None:
    folder = write(SETTINGS)
    done = command("layers", "copy", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert list(tree(folder)) == ["pyproject.toml"]


def test_a_schema_of_another_tool_takes_no_layer(write: Write, command: Command) -> None:
    folder = write({"pyproject.toml": '[tool.plainsql]\nschema = "schema.sql"\n', "schema.sql": ""})
    done = command("layers", "copy", "realty")
    assert (done.code, "the schema is not plainsql's: schema = " in done.err) == (2, True)
    assert not (folder / "sql").exists()


def test_the_layers_are_listed_with_their_settings(write: Write, command: Command) -> None:
    folder = write(SETTINGS)
    done = command("layers", "list")
    assert done.code == 0
    assert "dimension=1536, language=spanish, personal_data=plain" in " ".join(done.out.split())
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == sorted(packaged_layers())
    done = command("layers", "copy", "marketplace", "--dry-run")
    assert (done.code, "sql/marketplace/products/get_by_id.sql" in done.out.splitlines()) == (0, True)
    assert list(tree(folder)) == ["pyproject.toml"]
    assert Path("pyproject.toml").exists()
