"""The baseline: findings that were there are accepted, new ones are not, and those that are gone leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import GET, NOTES, Command, Write, command, configured, write

__all__ = ["command", "configured", "write"]

ALL = "-- All.\n-- returns: many Note\nselect n.id, n.text, n.stars\nfrom notes as n\n"
BY_STARS = ALL.replace("All", "By stars") + "order by n.stars\nlimit 5\n"
TWICE = (
    "-- Two lists.\n-- returns: many value\n"
    "select a.id from (select n.id from notes as n limit 5) as a\n"
    "union all\n"
    "select b.id from (select n.id from notes as n limit 5) as b\n"
)
FILES = NOTES | {"sql/notes/all.sql": ALL, "sql/notes/by_stars.sql": BY_STARS, "sql/notes/get.sql": GET}
FILE = "known.txt"
HEADER = "# Findings that plainsql check accepts. Write it with --update-baseline.\n"
UNBOUNDED = (
    "sql/notes/all.sql: nothing bounds the number of rows: no limit, and no key is compared with a parameter"
    " [unbounded]\n"
)
PARTIAL = (
    "sql/notes/by_stars.sql: the order under a limit is not total: rows that are equal in it come back by"
    " chance [partial-order]\n"
)
CHECK = ("check", "--sql-only", "--baseline", FILE)


@pytest.fixture
def folder(write: Write, command: Command) -> Path:
    """A project with two findings, and a baseline of them."""
    folder = write(FILES)
    done = command(*CHECK, "--update-baseline")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"wrote {FILE}: 2 findings, 2 added, 0 removed\nclean: 4 queries, 0.0 s; 2 findings in the baseline\n"
    )
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED + PARTIAL
    return folder


def names(command: Command, *arguments: str) -> list[tuple[str, str, int]]:
    done = command(*CHECK, "--format", "json", *arguments)
    found = [(each["name"], each["path"], each["line"]) for each in json.loads(done.out)]
    assert done.code == bool(found)
    return found


def test_the_findings_of_the_baseline_are_accepted(folder: Path, command: Command) -> None:
    assert command("check", "--sql-only").code == 1
    done = command(*CHECK)
    assert (done.code, done.out) == (0, "clean: 4 queries, 0.0 s; 2 findings in the baseline\n")
    for format in ("json", "github", "sarif"):
        done = command(*CHECK, "--format", format)
        assert (done.code, "unbounded [" in done.out, "sql/notes/all.sql" in done.out) == (0, False, False)


def test_a_new_finding_is_not_accepted(folder: Path, command: Command) -> None:
    (folder / "sql/notes/any.sql").write_text(ALL)
    assert names(command) == [("unbounded", "sql/notes/any.sql", 3)]
    done = command(*CHECK)
    assert done.out.endswith("1 problem in 5 queries, 0.0 s; 2 findings in the baseline\n")
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED + PARTIAL


def test_a_finding_of_another_kind_in_the_same_file_is_new(folder: Path, command: Command) -> None:
    (folder / "sql/notes/all.sql").write_text(f"{ALL}limit 5\n")
    assert names(command) == [("partial-order", "sql/notes/all.sql", 5), ("baseline", FILE, 2)]


def test_a_statement_that_moved_is_the_same(folder: Path, command: Command) -> None:
    file = folder / "sql/notes/by_stars.sql"
    file.write_text(BY_STARS.replace("select", "\n\n  select"))
    assert names(command) == []


def test_a_second_finding_of_the_same_words_is_new(folder: Path, command: Command) -> None:
    file = folder / "sql/notes/two.sql"
    file.write_text(TWICE.replace("limit 5) as b", "where n.id = 1) as b"))
    command(*CHECK, "--update-baseline")
    before = (folder / FILE).read_text()
    assert names(command) == []
    file.write_text(TWICE)
    assert [name for name, *_ in names(command)] == ["partial-order"]
    command(*CHECK, "--update-baseline")
    (line,) = set((folder / FILE).read_text().splitlines()) - set((HEADER + UNBOUNDED + PARTIAL).splitlines())
    assert (before.count(line), (folder / FILE).read_text().count(line)) == (1, 2)
    assert names(command) == []


def test_a_fixed_finding_is_reported_until_it_leaves_the_file(folder: Path, command: Command) -> None:
    (folder / "sql/notes/all.sql").write_text(f"{ALL}where n.id = 1\n")
    done = command(*CHECK)
    assert done.code == 1
    assert done.out == (
        f"{FILE}:2:1: this finding is gone [baseline]\n    {UNBOUNDED}    ^\n"
        f"HINT: remove the line, or run plainsql check --baseline {FILE} --prune-baseline\n\n"
        "1 problem in 4 queries, 0.0 s; 1 finding in the baseline\n"
    )
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED + PARTIAL
    done = command(*CHECK, "--prune-baseline")
    assert (done.code, done.out) == (
        0,
        f"wrote {FILE}: 1 finding, 0 added, 1 removed\nclean: 4 queries, 0.0 s; 1 finding in the baseline\n",
    )
    assert (folder / FILE).read_text() == HEADER + PARTIAL
    assert names(command) == []


def test_pruning_accepts_no_new_finding(folder: Path, command: Command) -> None:
    (folder / "sql/notes/all.sql").unlink()
    (folder / "sql/notes/any.sql").write_text(ALL)
    assert names(command, "--prune-baseline") == [("unbounded", "sql/notes/any.sql", 3)]
    assert (folder / FILE).read_text() == HEADER + PARTIAL


def test_errors_are_never_in_the_baseline(folder: Path, command: Command) -> None:
    (folder / "sql/notes/all.sql").write_text(ALL.replace("n.stars", "n.starts"))
    (folder / "sql/notes/any.sql").write_text("select 1\n")
    (folder / "sql/notes/by_stars.sql").write_text(f"{BY_STARS}-- allow: star: not here\n")
    expected = ["refused", "sql-file"]
    assert [name for name, *_ in names(command, "--update-baseline")] == expected
    # The findings of a refused file are not known: its lines are kept, and not called gone.
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED + PARTIAL
    assert [name for name, *_ in names(command)] == expected


def test_files_that_are_not_checked_keep_their_lines(folder: Path, command: Command) -> None:
    (folder / "sql/notes/all.sql").write_text(f"{ALL}where n.id = 1\n")
    (folder / "sql/notes/by_stars.sql").write_text(BY_STARS.replace("by n.stars", "by n.id"))
    assert names(command, "sql/notes/by_stars.sql") == [("baseline", FILE, 3)]
    assert names(command, "sql/notes/get.sql") == []
    assert names(command, "sql/notes/by_stars.sql", "--update-baseline") == []
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED


def test_the_settings_may_name_the_baseline(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(f'[tool.plainsql]\nbaseline = "{FILE}"\n')
    monkeypatch.chdir(folder / "sql")
    done = command("check", "--sql-only")
    assert (done.code, done.out) == (0, "clean: 4 queries, 0.0 s; 2 findings in the baseline\n")
    (folder / "sql/notes/all.sql").unlink()
    assert command("check", "--sql-only", "--prune-baseline").out.startswith(f"wrote ../{FILE}: 1 finding,")
    assert (folder / FILE).read_text() == HEADER + PARTIAL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            (
                f"{FILE}: there is no such file\n"
                f"HINT: write it: plainsql check --baseline {FILE} --update-baseline\n"
            ),
        ),
        (
            "sql = 1\n",
            (
                f"{FILE}:1: this file is no baseline: its first line is another\n"
                "HINT: name a file of its own, for example plainsql-baseline.txt\n"
            ),
        ),
        (
            f"{HEADER}{UNBOUNDED}=======\n{PARTIAL}",
            (
                f"{FILE}:3:1: expected a finding, path: message [name]\n    =======\n    ^\n"
                f"HINT: write it again: plainsql check --baseline {FILE} --update-baseline\n"
            ),
        ),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(
    folder: Path, command: Command, content: str | None, message: str
) -> None:
    (folder / FILE).unlink()
    if content is not None:
        (folder / FILE).write_text(content)
    done = command(*CHECK)
    assert (done.code, done.out, done.err) == (2, "", message)


def test_what_is_no_baseline_is_never_overwritten(folder: Path, command: Command) -> None:
    before = (folder / "pyproject.toml").read_text()
    done = command("check", "--baseline", "pyproject.toml", "--update-baseline")
    assert (done.code, (folder / "pyproject.toml").read_text()) == (2, before)


def test_a_merge_with_conflicts_is_written_again(folder: Path, command: Command) -> None:
    (folder / FILE).write_text(f"{HEADER}<<<<<<< ours\n{UNBOUNDED}=======\n{PARTIAL}>>>>>>> theirs\n")
    assert command(*CHECK).code == 2
    assert command(*CHECK, "--update-baseline").code == 0
    assert (folder / FILE).read_text() == HEADER + UNBOUNDED + PARTIAL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--update-baseline"], "--update-baseline: there is no baseline to write\n"),
        (["--prune-baseline"], "--prune-baseline: there is no baseline to write\n"),
        (
            ["--baseline", FILE, "--update-baseline", "--prune-baseline"],
            "--update-baseline and --prune-baseline: expected one of them, got both\n",
        ),
    ],
)
def test_a_baseline_to_write_is_named(
    write: Write, command: Command, arguments: list[str], message: str
) -> None:
    write(FILES)
    done = command("check", *arguments)
    assert (done.code, done.err.splitlines(keepends=True)[0]) == (2, message)


SEVERAL = (
    '[tool.plainsql.databases.shop]\nbaseline = "known.txt"\n'
    '[tool.plainsql.databases.stock]\nbaseline = "known.txt"\nallow = { "few/**" = "unbounded: few" }\n'
)


def test_databases_of_one_project_may_share_a_baseline(write: Write, command: Command) -> None:
    files = {"pyproject.toml": SEVERAL, "sql/stock/few/all.sql": ALL}
    for name in ("shop", "stock"):
        files[f"migrations/{name}/0001_notes.sql"] = NOTES["migrations/0001_notes.sql"]
        files[f"sql/{name}/notes/all.sql"] = ALL
    folder = write(files)
    check = ("check", "--sql-only")
    done = command(*check, "--update-baseline")
    assert (done.code, done.err) == (0, "")
    lines = [UNBOUNDED.replace("sql/notes", f"sql/{name}/notes") for name in ("shop", "stock")]
    assert (folder / FILE).read_text() == HEADER + "".join(lines)
    assert command(*check).code == 0
    (folder / "sql/shop/notes/all.sql").write_text(f"{ALL}where n.id = 1\n")
    assert (command(*check, "--db", "stock").code, command(*check, "--db", "shop").code) == (0, 1)
    assert command(*check, "--prune-baseline").code == 0
    assert (folder / FILE).read_text() == HEADER + lines[1]
