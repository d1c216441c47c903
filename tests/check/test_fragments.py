"""Fragments in a project: ``check`` reports a copy that has drifted, and ``generate`` writes it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from plainsql.check.fragment_copies import read_copies, write_copies
from plainsql.check.live_project import LiveProject
from plainsql.check.problems import Problem
from plainsql.cli.app import main
from plainsql.errors import SqlFileError
from plainsql.settings import Project

TABLE = "create table products (id integer primary key, name text not null, at timestamptz);\n"
VISIBLE = "-- Products that are published.\n-- aliases: p\n\nand p.at <= now()\nand p.name like :name --?\n"
QUERY = (
    "-- The products.\n-- returns: many value\nselect q.name\nfrom products as q\nwhere q.id > :after\n"
    "  -- begin fragment visible(q)\n{}  -- end fragment visible\norder by q.id\nlimit :limit\n"
)
COPY = "  and q.at <= now()\n  and q.name like :name --?\n"


def test_check_reports_a_copy_and_generate_writes_it(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "pyproject.toml": '[tool.plainsql]\noutput = "made"\n',
        "migrations/0001_products.sql": TABLE,
        "sql/_fragments/visible.sql": VISIBLE,
        "sql/_fragments/unused.sql": "and true\n",
        "sql/shop/list.sql": QUERY.format(""),
        "sql/shop/broken.sql": QUERY.format("").replace("visible", "visibel").replace("(q)", ""),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    scratch = ("--scratch", database_url)
    assert main(["check", *scratch, "--sql-only", "--format", "json"]) == 1
    printed = capsys.readouterr()
    problems = msgspec.json.decode(printed.out, type=list[Problem])
    assert [(each.name, each.path, each.line, each.message, each.hint) for each in problems] == [
        ("fragment", "sql/shop/broken.sql", 6, "there is no fragment 'visibel'", "did you mean visible?"),
        (
            "fragment",
            "sql/shop/list.sql",
            6,
            "the copy of the fragment visible is not what the fragment makes",
            "run `plainsql generate`",
        ),
    ]
    assert problems[1].detail == "expected 'and q.at <= now()', got 'no line'"
    assert "note: sql/_fragments/unused.sql: no file uses this fragment" in printed.err
    (tmp_path / "sql/shop/broken.sql").unlink()
    # A checkout on Windows keeps its line ends.
    query = tmp_path / "sql/shop/list.sql"
    query.write_bytes(query.read_bytes().replace(b"\n", b"\r\n"))
    query.chmod(0o640)
    assert main(["generate", *scratch, "--check"]) == 1
    assert b"like" not in query.read_bytes()
    assert main(["generate", *scratch]) == 0
    assert "wrote: sql/shop/list.sql\nwrote: made/shop.py\n" in capsys.readouterr().out
    assert query.read_bytes() == QUERY.format(COPY).replace("\n", "\r\n").encode()
    assert query.stat().st_mode & 0o777 == 0o640
    assert (
        "name: str | Omit = OMIT" in (tmp_path / "made/shop.py").read_text()
        or "name" in (tmp_path / "made/shop.py").read_text()
    )
    with LiveProject(Project.load(), database_url) as live:
        unsaved = query.read_text().replace("<=", "<")
        assert live.check().errors == ()
        (drift,) = live.check({query.resolve(): unsaved}).errors
        assert (drift.name, drift.line, drift.column) == ("fragment", 7, 3)
    # For a fragment, all files are checked: they may have copies of it.
    assert main(["check", *scratch, "sql/_fragments/visible.sql"]) == 0
    (tmp_path / "sql/_fragments/visible.sql").write_text(VISIBLE.replace("<=", "<"))
    assert main(["check", *scratch, "sql/_fragments/visible.sql"]) == 1
    assert "sql/shop/list.sql:7:3: the copy of the fragment visible" in capsys.readouterr().out
    # A query is not generated without the conditions of its fragment.
    query.write_text(QUERY.format(""))
    (tmp_path / "sql/_fragments/visible.sql").write_text(VISIBLE.replace("now()", "now();"))
    (tmp_path / "made/shop.py").unlink()
    assert main(["generate", *scratch]) == 1
    assert "left out: shop.list\n" in capsys.readouterr().out
    assert not (tmp_path / "made/shop.py").exists()


def test_a_file_outside_of_the_sql_folder_is_not_written(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.sql", tmp_path / "sql"
    (folder / "_fragments").mkdir(parents=True)
    (folder / "_fragments" / "visible.sql").write_text(VISIBLE)
    outside.write_text(QUERY.format(""))
    (folder / "away.sql").symlink_to(outside)
    (folder / "own.sql").write_text(QUERY.format(""))
    (folder / "linked.sql").symlink_to("own.sql")
    with pytest.raises(SqlFileError, match="it is a link out of the SQL folder"):
        write_copies(folder, read_copies(folder).texts)
    assert outside.read_text() == (folder / "own.sql").read_text() == QUERY.format("")
    (folder / "away.sql").unlink()
    write_copies(folder, read_copies(folder).texts)
    assert (folder / "own.sql").read_text() == QUERY.format(COPY)
    assert (folder / "linked.sql").is_symlink()
