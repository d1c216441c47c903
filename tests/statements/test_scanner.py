"""The scanner against the server's own lexer, token by token."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plainsql.errors import SqlFileError
from plainsql.statements import scan
from tests.statements.oracle import Oracle

LEXED = Path(__file__).with_name("lexed.jsonl")
"""Random sequences of fragments, and their tokens; CPython 3.11.2 can read half of them otherwise.

With ``PLAINSQL_UPDATE_GOLDEN=1`` the tokens are written again; another test compares them with the server's.
"""
TEXTS: list[str] = [json.loads(line)["text"] for line in LEXED.read_text("utf-8").splitlines()]

_SETTINGS = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Every text that begins, ends or continues a token somewhere, to be joined at random.
_FRAGMENTS = st.sampled_from(
    [
        "'",
        "''",
        '"',
        "$$",
        "$a$",
        "$",
        "$1",
        "E'",
        "e'",
        "B'",
        "x'",
        "N'",
        "n",
        "U&'",
        'u&"',
        "\\",
        "\\'",
        "a",
        "a$b",
    ]
    + ["é", "_", "1", "12", ".", "..", "1.", ".5", "1e5", "1_000", "0x1F", "0b1", "0o7", "e", "E", "x"]
    + [
        ":",
        "::",
        ":=",
        "=>",
        "=",
        "<",
        ">",
        "!",
        "@",
        "-",
        "+",
        "*",
        "/",
        "--",
        "/*",
        "*/",
        "?",
        "#",
        "%",
        "^",
        "|",
    ]
    + [
        "&",
        "`",
        "~",
        "<=",
        "<>",
        "!=",
        "->>",
        "@>",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        "\n",
        "\r",
        " ",
        "\t",
        "\f",
        "\v",
    ]
    + [":name", "and", "'a'\n'b'", "/* /* */ */", "{", "}"]
)


def tokens(text: str) -> list[tuple[str, str]]:
    return [(token.kind, text[token.start : token.end]) for token in scan(text)]


@_SETTINGS
@given(st.lists(_FRAGMENTS, min_size=1, max_size=12).map("".join))
@example("'a' -- c\n 'b:x'")
@example("E'a'\n'\\':x'")
@example("+-1")
@example("@-1")
@example("*-/* */-")
@example("a$b$c$")
@example("/*/**/*/:x")
@example("1..2")
@example("B'1''2'")
@example("x'1'\n'2'")
@example("1.e''")
@example("1e51e5")
@example("n'a'")
@example("U&'a'\n'b'")
@example("=" * 60 + "+-")
def test_every_token_is_the_servers_own(oracle: Oracle, text: str) -> None:
    assert_tokens_are_the_servers(oracle, text)


def test_the_server_agrees_with_the_tokens_that_are_kept(oracle: Oracle) -> None:
    for text in TEXTS:
        assert_tokens_are_the_servers(oracle, text)


def test_every_python_finds_the_same_tokens() -> None:
    """Regular expressions differ between releases of Python; the stored tokens were equal on all of them."""
    lines = [json.dumps(lexed(text), ensure_ascii=False) for text in TEXTS]
    if os.environ.get("PLAINSQL_UPDATE_GOLDEN"):
        LEXED.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    assert lines == LEXED.read_text("utf-8").splitlines()


def lexed(text: str) -> dict[str, Any]:
    try:
        return {"text": text, "tokens": tokens(text)}
    except SqlFileError as error:
        return {"text": text, "refused": f"{error.place}: {error.message}"}


def assert_tokens_are_the_servers(oracle: Oracle, text: str) -> None:
    try:
        found = scan(text)
    except SqlFileError as error:
        offset = _offset(text, error)
        refusal = oracle.refusal("close all " + text[offset:])
        if "has no end" in error.message:
            assert "unterminated" in refusal
        elif "touches the number" in error.message:
            number = scan(text[:offset])[-1]
            assert "trailing junk after numeric literal" in oracle.refusal(
                "close all " + text[number.start :]
            )
        else:
            assert refusal == f'syntax error at or near "{text[offset]}"'
        text = text[:offset]
        found = scan(text)
    for kind, start, end in found:
        piece = text[start:end]
        expected = ":" if kind == "parameter" else piece
        if kind in {"line_comment", "block_comment", "semicolon"}:
            assert not oracle.refusal("close all " + piece)
        elif kind == "positional" or text.startswith("$", end):
            # Junk behind it (1e5$, $1a) is part of a token to the server, which then refuses it.
            assert (oracle.first_token(text[start:]) or "").startswith(expected)
        elif "invalid" in oracle.refusal("close all " + piece):
            assert kind in {"string", "quoted_name"}  # with an escape that means nothing
        elif piece[:2] in {"U&", "u&"}:
            # The server reads one token more, in search of uescape, and may stumble over that one.
            assert expected in {oracle.first_token(text[start:]), oracle.first_token(piece)}
        else:
            assert oracle.first_token(text[start:]) == expected


def _offset(text: str, error: SqlFileError) -> int:
    assert error.place is not None
    lines = text.split("\n")[: error.place.line - 1]
    return sum(len(line) + 1 for line in lines) + error.place.column - 1


@_SETTINGS
@given(st.lists(_FRAGMENTS, max_size=12).map("".join))
def test_between_two_tokens_there_are_only_blanks(text: str) -> None:
    try:
        found = scan(text)
    except SqlFileError:
        return
    position = 0
    for token in found:
        assert not text[position : token.start].strip(" \t\n\r\f\v")
        assert token.start < token.end
        position = token.end
    assert not text[position:].strip(" \t\n\r\f\v")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a$b$c", [("word", "a$b$c")]),
        ("$a$ :x $$ $b$ $a$", [("string", "$a$ :x $$ $b$ $a$")]),
        ("$1$1", [("positional", "$1"), ("positional", "$1")]),
        ("E'\\\\' :a", [("string", "E'\\\\'"), ("parameter", ":a")]),
        ("'\\' :a", [("string", "'\\'"), ("parameter", ":a")]),
        ("'a'\n  ':b' :c", [("string", "'a'\n  ':b'"), ("parameter", ":c")]),
        ("'a' ':b'", [("string", "'a'"), ("string", "':b'")]),
        ("'a' /* \n */ 'b'", [("string", "'a'"), ("block_comment", "/* \n */"), ("string", "'b'")]),
        ("a:=:b", [("word", "a"), ("assign", ":="), ("parameter", ":b")]),
        ("a=>:b", [("word", "a"), ("operator", "=>"), ("parameter", ":b")]),
        ("a=-:b", [("word", "a"), ("operator", "="), ("operator", "-"), ("parameter", ":b")]),
        ("x::text", [("word", "x"), ("cast", "::"), ("word", "text")]),
        ("1.5e10+.5", [("number", "1.5e10"), ("operator", "+"), ("number", ".5")]),
        (
            "a.b[1]",
            [("word", "a"), ("dot", "."), ("word", "b"), ("open", "["), ("number", "1"), ("close", "]")],
        ),
        ("/* /* :a */ :b */ :c", [("block_comment", "/* /* :a */ :b */"), ("parameter", ":c")]),
        ("1-- :a\n:b", [("number", "1"), ("line_comment", "-- :a"), ("parameter", ":b")]),
    ],
)
def test_tokens_have_their_kinds(text: str, expected: list[tuple[str, str]]) -> None:
    assert tokens(text) == expected


def test_a_text_may_hold_many_statements() -> None:
    assert [kind for kind, _ in tokens("select 1; select $1;")].count("semicolon") == 2


def test_a_nul_character_is_refused_even_in_a_string() -> None:
    with pytest.raises(SqlFileError, match="a NUL character"):
        scan("select '\0'")


def test_time_is_linear_where_expressions_like_to_backtrack() -> None:
    """Unfinished continuations and comments of a megabyte: minutes, if anything were tried twice."""
    for text in (
        "'a' " + "--x" * 100_000,
        "'a'\n" + "-- \n" * 100_000,
        "'a'" + "\n" * 100_000,
        ("'a'" + "\n" * 1000) * 100,
        "1_0" * 100_000,
        "+" * 100_000,
        "a-+" * 50_000,
    ):
        assert scan(text)
    with pytest.raises(SqlFileError, match="has no end"):
        scan("'" + "''" * 100_000)
