"""The edits that remove problems: made in one run, they leave nothing to report."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from plainsql.check.problems import Edit
from plainsql.check.quick_fixes import apply_edits
from plainsql.cli.app import main

MIGRATION = """\
create schema shop;
create table shop.products (id bigint primary key, name text not null, price numeric not null);
create table notes (id bigint primary key, text text not null, "Stars" integer);
"""
ROW = "-- Some.\n-- returns: optional Note\n"
FILES = {
    "star": (f"{ROW}select *\nfrom notes as n\nwhere n.id = :id\n", '\n  n.id,\n  n.text,\n  n."Stars"\n'),
    "stars": (
        (
            f"{ROW}select\n  n.text,\n  p.*\nfrom notes as n\ninner join shop.products as p on p.id = n.id\n"
            "where n.id = :id\n"
        ),
        "  n.text,\n  p.id,\n  p.name,\n",
    ),
    "column": (f"{ROW}select n.txt\nfrom notes as n\nwhere n.id = :id\n", "select n.text\n"),
    "schema": (f"{ROW}select p.id\nfrom products as p\nwhere p.id = :id\n", "from shop.products as p"),
    "cast": (f"{ROW}select n.id\nfrom notes as n\nwhere n.id = :id and :text is null\n", ":text::text is"),
    "alias": (
        f"{ROW}select n.id, lower(concat(n.text, ',')) || '!'\nfrom notes as n\nwhere n.id = :id\n",
        "|| '!' as total\n",
    ),
    "count": (
        "-- Some.\n-- returns: value\ndelete from notes as n\nwhere n.id = :id\n",
        "-- returns: count\n",
    ),
    "header": (
        "-- Some.\nselect n.id\nfrom notes as n\nwhere n.id = :id\n",
        "-- returns: many Quick\nselect",
    ),
    "key": (
        "-- Some.\n-- returns: optional value\n-- parm id: 1..\nselect n.id from notes n where n.id = :id\n",
        "-- param id: 1..\n",
    ),
    "allowed": (
        f"{ROW}-- allow: star: as it is\nselect n.id\nfrom notes as n\nwhere n.id = :id\n",
        "optional Note\nselect",
    ),
}


@pytest.fixture
def folder(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", database_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_all.sql").write_text(MIGRATION)
    (tmp_path / "migrations" / "0001_all.rollback.sql").write_text(
        "drop table notes;\ndrop schema shop cascade;"
    )
    for name, (text, _) in FILES.items():
        file = tmp_path / "sql" / name / "quick" / "find.sql"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return tmp_path


def test_check_makes_the_edits_and_finds_nothing_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--sql-only", "--format", "sarif"]) == 1
    (run,) = msgspec.json.decode(capsys.readouterr().out)["runs"]
    fixes = {
        each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: each for each in run["results"]
    }
    for name in FILES:
        assert "fixes" in fixes[f"sql/{name}/quick/find.sql"], name
    main(["check", "--sql-only", "--fix"])
    printed = capsys.readouterr().out
    for name, (_, wanted) in FILES.items():
        text = (folder / "sql" / name / "quick" / "find.sql").read_text()
        assert wanted in text, f"{name}:\n{text}\n{printed}"
        assert f"sql/{name}/" not in printed


def test_edits_that_overlap_are_not_both_made() -> None:
    edits = [Edit(1, 3, 1, 5, "X"), Edit(1, 4, 2, 2, "Y"), Edit(2, 3, 2, 3, "Z"), Edit(9, 1, 9, 1, "!")]
    assert apply_edits("abcdef\nghi\n", edits) == "abXef\nghZi\n!"
