"""Every message about a file, as its author sees it.

A file of ``golden/`` holds the text of a SQL file, a line of equal signs, and the messages. To add a case,
write the text and the line, and run with ``PLAINSQL_UPDATE_GOLDEN=1``; then read the result.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plainsql.errors import SqlFileError
from plainsql.statements import parse
from scripts.language import style_of

GOLDEN = Path(__file__).parent / "golden"
LINE = "=" * 40 + "\n"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_message(path: Path) -> None:
    text, _, expected = path.read_text(encoding="utf-8").partition(LINE)
    with pytest.raises(SqlFileError) as caught:
        parse(text, name="app.query", path="sql/app/query.sql")
    message = f"{caught.value}\n"
    if os.environ.get("PLAINSQL_UPDATE_GOLDEN"):
        path.write_text(text + LINE + message, encoding="utf-8")
    else:
        assert message == expected


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_every_message_says_where_and_what_to_do(path: Path) -> None:
    text, _, _ = path.read_text(encoding="utf-8").partition(LINE)
    with pytest.raises(SqlFileError) as caught:
        parse(text, name="app.query", path="sql/app/query.sql")
    for error in getattr(caught.value, "errors", [caught.value]):
        assert error.hint
        assert error.place.line
        assert error.place.column
        assert style_of(error.message) is None
        assert style_of(error.hint, "hint") is None


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("select '\0'", 9, "a NUL character, which PostgreSQL does not accept", "remove it"),
        (
            "select 1\rselect 2",
            9,
            "a carriage return without a line feed",
            "save the file with Unix or Windows line endings",
        ),
        (
            "-- returns: value\nselect \x01",
            8,
            "the character U+0001 is not allowed in SQL",
            "remove it, or put it into quotes",
        ),
        (
            "-- returns: value\nselect\u00a01",
            7,
            "an invisible character, U+00A0, which PostgreSQL reads as a letter",
            "replace it with a space, or put the name into double quotes",
        ),
    ],
)
def test_characters_that_no_golden_file_could_show(text: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(SqlFileError) as caught:
        parse(text, name="q", path="q.sql")
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.place is not None
    assert caught.value.place.column == column
