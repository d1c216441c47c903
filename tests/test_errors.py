"""The text of an error: control characters are shown, and the caret is at the right column all the same."""

from __future__ import annotations

import pytest

from plainsql.errors import Place, PlainsqlError, SqlFileError, printable
from plainsql.statements import parse


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x7f\x00", r"a\x0db\x7f\x00"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\U000e0001", r"\U000e0001"),
        ("ñ über 表 — ≤", "ñ über 表 — ≤"),
    ],
)
def test_only_what_is_not_printed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_nothing_of_an_error_reaches_the_terminal_raw() -> None:
    bad = "\x1b]0;x\x07\u202e"
    error = PlainsqlError(bad, place=Place(bad, 1, 1, bad), detail=bad, hint=bad)
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)


def test_the_caret_stands_under_its_place_in_what_is_shown() -> None:
    with pytest.raises(SqlFileError) as caught:
        parse("-- returns: value\nselect '\x1b[1m\u202e', 'a", name="q", path="q.sql")
    _, line, caret, _ = str(caught.value).split("\n")
    assert line == r"    select '\x1b[1m\u202e', 'a"
    assert caret.index("^") == line.index("'a")
