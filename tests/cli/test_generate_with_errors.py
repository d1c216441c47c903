"""``plainsql generate`` when files are refused: what is right is written, and nothing that was is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import GET, NOTES, Command, Write, tree

OTHER = GET.replace("Note", "Other")
REFUSED = GET.replace("n.id,", "n.idd,")
NONSENSE = "-- returns: nonsense\n"
OLD = "-- Now.\n-- returns: value\n-- cache: 5m\nselect now() as at\n"
CHANGED = GET.replace("One note.", "One note, by its key.")


def modules(folder: Path) -> set[str]:
    return {name.removeprefix("queries/") for name in tree(folder) if name.startswith("queries/")}


def imported(folder: Path, module: str) -> list[str]:
    """Import a generated module in a process of its own, and return its public names."""
    done = subprocess.run(
        [sys.executable, "-c", f"import queries.{module} as m; print(*m.__all__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("name", "wrong"), [("refused", REFUSED), ("sql-file", NONSENSE), ("cache-unsteady", OLD)]
)
def test_a_new_query_with_an_error_is_left_out_of_its_module(
    write: Write, command: Command, name: str, wrong: str
) -> None:
    folder = write(NOTES | {"sql/notes/get.sql": GET, "sql/notes/bad.sql": wrong, "sql/other/get.sql": GET})
    done = command("generate")
    assert (done.code, done.err) == (1, "")
    assert f"[{name}]" in done.out
    assert done.out.endswith(
        "wrote: queries/notes.py\nwrote: queries/other.py\nleft out: notes.bad\n"
        "1 error; the others are up to date: 3 queries in 2 modules, 0.0 s\n"
        if wrong != NONSENSE
        else "left out: notes.bad\n2 errors; the others are up to date: 3 queries in 2 modules, 0.0 s\n"
    )
    assert imported(folder, "notes") == ["AddParameters", "GetParameters", "Note", "add", "get"]
    (folder / "sql/notes/bad.sql").unlink()
    done = command("generate")
    assert (done.code, done.out) == (0, "up to date: 3 queries in 2 modules, 0.0 s\n")


@pytest.mark.parametrize("wrong", [REFUSED, NONSENSE])
def test_a_module_that_has_the_query_is_kept_as_it_is(write: Write, command: Command, wrong: str) -> None:
    files = NOTES | {"sql/notes/get.sql": GET, "sql/other/get.sql": OTHER}
    folder = write(files)
    command("generate")
    before = tree(folder / "queries")
    write({"sql/notes/get.sql": wrong, "sql/notes/again.sql": GET, "sql/other/get.sql": CHANGED})
    done = command("generate")
    assert done.code == 1
    assert "wrote: queries/other.py\nkept as it is: queries/notes.py, which has notes.get\n" in done.out
    assert done.out.endswith("the others are up to date: 1 query in 1 module, 0.0 s\n")
    after = tree(folder / "queries")
    assert after["notes.py"] == before["notes.py"]
    assert b"by its key" in after["other.py"]
    write({"sql/notes/get.sql": GET})
    assert command("generate").code == 0
    assert imported(folder, "notes") == [
        *("AddParameters", "AgainParameters", "GetParameters"),
        *("Note", "add", "again", "get"),
    ]


def test_a_module_is_not_stale_while_its_file_is_refused(write: Write, command: Command) -> None:
    folder = write(NOTES | {"sql/a/b/get.sql": GET, "sql/a/c/get.sql": OTHER})
    command("generate")
    before = tree(folder / "queries")
    assert set(before) == {"notes.py", "a/__init__.py", "a/b.py", "a/c.py"}
    write({"sql/a/b/get.sql": REFUSED})
    assert command("generate").code == 1
    assert tree(folder / "queries") == before
    write({"sql/a/c/get.sql": REFUSED})
    done = command("generate")
    assert "kept as it is: queries/a/b.py, which has a.b.get\n" in done.out
    assert "kept as it is: queries/a/c.py, which has a.c.get\n" in done.out
    assert tree(folder / "queries") == before
    # A file that is gone takes its module along all the same.
    (folder / "sql/a/c/get.sql").unlink()
    assert "removed: queries/a/c.py\n" in command("generate").out
    assert modules(folder) == {"notes.py", "a/__init__.py", "a/b.py"}


def test_a_kept_module_is_not_hidden_by_a_package_of_its_name(write: Write, command: Command) -> None:
    folder = write(NOTES)
    command("generate")
    assert modules(folder) == {"notes.py"}
    write({"sql/notes/add.sql": NONSENSE, "sql/notes/inner/get.sql": GET})
    assert command("generate").code == 1
    assert modules(folder) == {"notes.py"}
    assert imported(folder, "notes") == ["AddParameters", "Note", "add"]
    write({"sql/notes/add.sql": NOTES["sql/notes/add.sql"]})
    assert command("generate").code == 0
    assert modules(folder) == {"notes/__init__.py", "notes/inner.py"}


def test_a_package_is_kept_while_a_module_in_it_is(write: Write, command: Command) -> None:
    folder = write(NOTES | {"sql/notes/inner/get.sql": GET})
    command("generate")
    write({"sql/notes/inner/get.sql": REFUSED})
    assert command("generate").code == 1
    assert modules(folder) == {"notes/__init__.py", "notes/inner.py"}
    assert imported(folder, "notes.inner") == ["GetParameters", "Note", "get"]


def test_queries_that_contradict_each_other_cost_one_of_them(write: Write, command: Command) -> None:
    two = GET.replace("n.id, n.text, n.stars", "n.id, n.text")
    folder = write(NOTES | {"sql/notes/get.sql": two, "sql/other/get.sql": OTHER})
    done = command("generate")
    assert (done.code, done.out.count("[contract]")) == (1, 1)
    assert done.out.endswith(
        "left out: notes.get\n1 error; the others are up to date: 2 queries in 2 modules, 0.0 s\n"
    )
    assert imported(folder, "notes") == ["AddParameters", "Note", "add"]


def test_check_says_what_would_be_written_and_writes_nothing(write: Write, command: Command) -> None:
    folder = write(NOTES | {"sql/notes/bad.sql": REFUSED})
    done = command("generate", "--check")
    assert (done.code, modules(folder)) == (1, set())
    assert done.out.endswith(
        "missing: queries/notes.py\nleft out: notes.bad\n"
        "1 error; the others are not up to date: 1 query in 1 module, 0.0 s\n"
    )
    command("generate")
    done = command("generate", "--check")
    assert done.out.endswith("1 error; the others are up to date: 1 query in 1 module, 0.0 s\n")


def test_nothing_is_written_if_no_query_can_be_analysed(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(NOTES)
    command("generate")
    before = tree(folder)
    write({"sql/notes/add.sql": NONSENSE})
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", "postgresql://127.0.0.1:1/none")
    done = command("generate")
    assert done.code == 1
    assert done.out.endswith("errors; nothing was written\n")
    assert tree(folder)["queries/notes.py"] == before["queries/notes.py"]
