"""Old names of commands and options: they work, and warn with the new name."""

from __future__ import annotations

from tests.cli.conftest import NOTES, Command, Write


def test_check_anew_is_check_no_cache(write: Write, command: Command) -> None:
    write(NOTES)
    command("generate")
    done = command("check", "--anew")
    assert (done.code, done.out) == (0, "clean: 1 query, 0.0 s\n")
    assert done.err == "'plainsql check --anew' is deprecated: use 'plainsql check --no-cache'\n"
    assert command("check", "--no-cache").err == ""
    assert "--anew" not in command("check", "--help").out


def test_db_test_is_db_doctor(command: Command) -> None:
    done = command("db", "test", "--json")
    assert done.err == "'plainsql db test' is deprecated: use 'plainsql db doctor'\n"
    new = command("db", "doctor", "--json")
    assert (new.code, new.err) == (done.code, "")
    assert '"name":"postgresql"' in done.out
    assert " test " not in command("db", "--help").out


def test_an_old_name_is_known_in_another_folder_too(write: Write, command: Command) -> None:
    folder = write(NOTES)
    command("generate")
    done = command("-C", str(folder), "check", "--anew")
    assert done.code == 0
    assert done.err.count("deprecated") == 1


def test_an_old_header_key_is_reported_with_its_place(write: Write, command: Command) -> None:
    folder = write(NOTES)
    path = next((folder / "sql").rglob("*.sql"))
    text = path.read_text("utf-8").replace("-- returns:", "-- join: off\n-- returns:", 1)
    path.write_text(text, "utf-8")
    line = text.split("\n").index("-- join: off") + 1
    done = command("generate")
    assert done.code == 0
    relative = path.relative_to(folder).as_posix()
    assert done.err == (
        f"warning: {relative}:{line}:4: the header key 'join' is now called 'autobatch'; "
        "the old name works in this version only\n"
    )
