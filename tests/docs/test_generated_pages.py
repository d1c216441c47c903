"""Pages that are generated are up to date."""

from __future__ import annotations

import functools
from pathlib import Path

import psycopg
import pytest

from plainsql import migrate
from plainsql.cli.app import load_commands
from plainsql.statements.discovery import find_files
from plainsql.testing import Databases
from scripts import commands_doc, layer_doc
from tests.docs.markdown import ROOT, blocks_of, headings_of

LAYERS = sorted(path.name for path in (ROOT / "sql").iterdir() if path.is_dir())


def test_the_page_of_commands_is_what_help_prints() -> None:
    assert commands_doc.PAGE.read_text("utf-8") == commands_doc.page(), "run python scripts/commands_doc.py"


def test_every_command_has_a_section() -> None:
    load_commands()  # those of plugins
    sections = {heading for heading in headings_of("docs/commands.md") if heading.startswith("plainsql")}
    assert sections == {" ".join(["plainsql", *path]) for path in commands_doc.commands()}
    assert {"plainsql check", "plainsql migrate rollback"} <= sections


def test_no_command_is_without_help() -> None:
    blocks = [block for block in blocks_of("docs/commands.md") if block.language == "text"]
    assert len(blocks) > 30
    for block in blocks:
        usage, _, description = block.code.partition("\n")
        assert usage.startswith("Usage: plainsql"), block.place
        assert description.strip()[:1].isalpha(), f"{block.place}: no description"


@pytest.mark.parametrize("layer", LAYERS)
def test_the_page_of_a_layer_matches_its_database_and_its_sql(
    layer: str, plainsql_databases: Databases
) -> None:
    made = functools.partial(migrate.apply, folder=ROOT / "migrations", layers=[layer])
    with (
        plainsql_databases.clone(plainsql_databases.template(made)) as url,
        psycopg.connect(url) as connection,
    ):
        file, text = layer_doc.page(layer, connection)
    assert file.is_file(), f"there is no {file.relative_to(ROOT)}: write it"
    assert file.read_text("utf-8") == text, f"run python scripts/layer_doc.py {layer}"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layers_page_lists_all_its_queries(layer: str) -> None:
    text = Path(ROOT / "docs" / "layers" / f"{layer}.md").read_text("utf-8")
    names = [each.path.stem for each in find_files(ROOT / "sql" / layer)[0]]
    assert names
    assert [name for name in names if f"| `{name}(" not in text] == []
