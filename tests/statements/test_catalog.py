"""Folders of SQL files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plainsql.errors import SqlFileError, SqlFolderError
from plainsql.statements import Catalog, load
from plainsql.statements.discovery import find_files

QUERY = "-- returns: value\nselect 1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sql"


def write(*paths: str, text: str | bytes = QUERY) -> None:
    for path in paths:
        file = Path("sql", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())


def refusal(folder: Path) -> str:
    with pytest.raises(SqlFileError) as caught:
        load(folder)
    return str(caught.value)


def test_the_path_is_the_name(folder: Path) -> None:
    write("realty/leads/get_by_id.sql", "realty/leads/count.sql", "now.sql", "a/b/c/d2.sql")
    catalog = load(folder)
    assert list(catalog) == ["a.b.c.d2", "now", "realty.leads.count", "realty.leads.get_by_id"]
    statement = catalog["realty.leads.get_by_id"]
    assert statement.path == str(Path("sql/realty/leads/get_by_id.sql"))
    assert {module: len(statements) for module, statements in catalog.modules().items()} == {
        "": 1,
        "a.b.c": 1,
        "realty.leads": 2,
    }


def test_a_name_that_is_not_there_is_told_the_nearest(folder: Path) -> None:
    write("leads/get_by_id.sql")
    with pytest.raises(KeyError, match=r"leads\.get_by_di; did you mean leads\.get_by_id\?"):
        load(folder)["leads.get_by_di"]
    assert "leads.get_by_di" not in load(folder)


def test_hidden_files_and_files_of_other_kinds_are_not_looked_at(folder: Path) -> None:
    write("a.sql", ".b.sql", ".git/c.sql", "README.md", "c.sql.bak", "Not A Module/readme.txt", text=QUERY)
    assert list(load(folder)) == ["a"]


def test_line_ends_do_not_change_a_query(folder: Path) -> None:
    write("a.sql", text="-- One.\r\n-- returns: value\r\nselect 1\r\nwhere 1 = :a --?\r\n")
    statement = load(folder)["a"]
    assert statement.body == "select 1\nwhere 1 = :a --?"
    assert statement.description == "One."


def test_one_text_can_be_parsed_alone() -> None:
    assert Catalog.parse(QUERY, "a.b", "sql/a/b.sql").name == "a.b"


def test_a_folder_that_is_not_there(folder: Path) -> None:
    assert (
        refusal(folder) == f"sql: there is no such folder\nHINT: check the path, which begins in {Path.cwd()}"
    )


def test_a_file_where_a_folder_is_expected(folder: Path) -> None:
    write("a.sql")
    assert refusal(folder / "a.sql") == (
        "sql/a.sql: expected a folder, got a file\nHINT: give the folder that holds the file"
    )


def test_a_folder_without_queries(folder: Path) -> None:
    write("README.md")
    assert refusal(folder) == (
        "sql: there is no SQL file in this folder\nHINT: add a query file, whose name ends in .sql"
    )


def test_an_empty_file(folder: Path) -> None:
    write("a.sql", text="\n  \n")
    assert refusal(folder) == (
        "sql/a.sql:1:1: the file is empty\nHINT: write a header (-- returns: …) and a query"
    )


def test_bytes_that_are_not_utf_8_are_found(folder: Path) -> None:
    write("a.sql", text="-- returns: value\nselect 'é".encode() + b"\xe9'")
    assert refusal(folder) == (
        "sql/a.sql:2:10: the file is not UTF-8: the byte at offset 28 is 0xe9\nHINT: save it as UTF-8"
    )


def test_a_byte_order_mark(folder: Path) -> None:
    write("a.sql", text=b"\xef\xbb\xbf" + QUERY.encode())
    assert refusal(folder) == (
        "sql/a.sql:1: the file begins with a byte order mark, which PostgreSQL reads as a name\n"
        "HINT: save it as UTF-8 without a byte order mark"
    )


@pytest.mark.parametrize(
    ("path", "place", "message", "hint"),
    [
        (
            "GetLead.sql",
            "GetLead.sql",
            "'GetLead' cannot be the name of a query or module, expected lower-case letters, digits and _",
            "rename it to get_lead",
        ),
        (
            "my-leads/a.sql",
            "my-leads",
            "'my-leads' cannot be the name of a query or module, expected lower-case letters, digits and _",
            "rename it to my_leads",
        ),
        (
            "2nd.sql",
            "2nd.sql",
            "'2nd' cannot be the name of a query or module, expected lower-case letters, digits and _",
            "begin it with a letter",
        ),
        (
            "import.sql",
            "import.sql",
            "'import' is a keyword of Python and cannot be the name of a query or module",
            "rename it, for example to import_all",
        ),
        ("a.SQL", "a.SQL", "the file's name ends in .SQL, expected .sql", "rename it to a.sql"),
    ],
)
def test_names_that_python_cannot_have(folder: Path, path: str, place: str, message: str, hint: str) -> None:
    write(path)
    assert refusal(folder) == f"sql/{place}: {message}\nHINT: {hint}"


def test_a_file_and_a_folder_of_one_name(folder: Path) -> None:
    write("app/leads.sql", "app/leads/get.sql")
    assert refusal(folder) == (
        "sql/app/leads.sql: the file and the folder sql/app/leads claim one name, app.leads\n"
        "HINT: rename the file, or move it into the folder"
    )


def test_files_whose_names_differ_by_letter_case_only(folder: Path) -> None:
    write("leads.sql", "Leads.sql")
    assert "sql/Leads.sql: 'Leads' cannot be the name" in refusal(folder)


def test_a_link_that_leads_back(folder: Path) -> None:
    write("a/b.sql")
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    assert refusal(folder) == (
        "sql/a/loop: a symbolic link leads back to a folder above it\nHINT: remove the link"
    )


def test_a_link_to_another_folder_is_followed(folder: Path, tmp_path: Path) -> None:
    write("a/b.sql")
    (folder / "c").symlink_to(folder / "a", target_is_directory=True)
    assert list(load(folder)) == ["a.b", "c.b"]


def test_a_link_that_leads_nowhere(folder: Path) -> None:
    write("a.sql")
    (folder / "b.sql").symlink_to(folder / "gone.sql")
    assert refusal(folder) == ("sql/b.sql: the symbolic link leads nowhere\nHINT: remove or repair the link")


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    write("a.sql")
    (folder / "b.sql").symlink_to(folder / "b.sql")
    assert refusal(folder) == (
        "sql/b.sql: the file cannot be read: too many levels of symbolic links\nHINT: check its permissions"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    write("a.sql")
    os.mkfifo(folder / "b.sql")
    assert refusal(folder) == (
        "sql/b.sql: expected a file, got a device, a pipe or a socket\nHINT: remove it"
    )


@pytest.mark.parametrize("name", [b"\xff.sql", b"a\xff/b.sql"])
def test_a_name_that_is_not_utf8_is_refused_once(folder: Path, name: bytes) -> None:
    write("a.sql")
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_text(QUERY)
    (error,) = find_files(folder)[1]
    assert "cannot be the name of a query or module" in error.message
    assert [found.name for found in find_files(folder)[0]] == ["a"]


def test_all_errors_of_a_folder_are_said_at_once_in_order(folder: Path) -> None:
    write("b.sql", text="-- returns: one\n-- cash: 5m\nselect ':x")
    write("c.sql", text=QUERY)
    write("a.sql", text=b"\xff")
    write("D.sql")
    with pytest.raises(SqlFolderError) as caught:
        load(folder)
    assert [str(error.place) for error in caught.value.errors] == [
        "sql/D.sql",
        "sql/a.sql:1:1",
        "sql/b.sql:1:16",
        "sql/b.sql:2:4",
        "sql/b.sql:3:8",
    ]
    assert str(caught.value).endswith("\n\n5 errors in SQL files")


def test_paths_are_relative_where_that_is_shorter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.sql", text="select 1")
    assert refusal(folder).startswith("sql/a.sql:1:1: ")
    deep = folder.parent / "one" / "two" / "three" / "four" / "five" / "six"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    short = Path("/") / "nowhere"
    assert refusal(short).startswith("/nowhere: there is no such folder")
