"""``plainsql layers``: a copy of a layer is the project's own, with the settings that it chose."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from plainsql.errors import PlainsqlError
from plainsql.layer_folders import packaged_layers
from plainsql.layers import copied_layer as copies
from plainsql.layers.copied_layer import copied_layer
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
        copies._EDITS, "realty", lambda _: [copies._Edit("sql/realty/*/search.sql", "no such text", "")]
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
        (["whatsapp", "--set", "size=3"], "whatsapp has no such setting\nHINT: copy whatsapp without --set"),
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
    assert "dimension=1536, language=spanish" in done.out
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == sorted(packaged_layers())
    done = command("layers", "copy", "marketplace", "--dry-run")
    assert (done.code, "sql/marketplace/products/get_by_id.sql" in done.out.splitlines()) == (0, True)
    assert list(tree(folder)) == ["pyproject.toml"]
    assert Path("pyproject.toml").exists()
