"""The values of a header."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plainsql.errors import SqlFileError, SqlFolderError
from plainsql.statements import CachePolicy, Returns, Statement, parse


def read(header: str, body: str = "select :limit, :low, :name") -> Statement:
    return parse(f"{header}\n{body}\n", name="app.q", path="sql/app/q.sql")


def test_a_whole_header() -> None:
    statement = read(
        """
-- The lead who talks to us from this chat.
--
-- Why this shape: the index has the chat first.
--   - a list
--   - keeps its indent
-- returns: optional Lead
-- param limit: 1..200 = 5
-- column payload: whatsapp.Payload
-- column "A b": not null
-- cache: 5m, local 1s, no negative
-- allow: missing-index: the table has forty rows,
--   and a scan of it is cheaper
--
-- autobatch: off"""
    )
    assert statement.description == (
        "The lead who talks to us from this chat.\n"
        "\n"
        "Why this shape: the index has the chat first.\n"
        "  - a list\n"
        "  - keeps its indent"
    )
    assert statement.returns == Returns("optional", "Lead")
    bounds = statement.parameter("limit").bounds
    assert bounds is not None
    assert (bounds.low, bounds.high, bounds.default, bounds.has_default) == (1, 200, 5, True)
    assert [(c.name, c.type, c.nullable) for c in statement.columns] == [
        ("payload", "whatsapp.Payload", None),
        ("A b", None, False),
    ]
    assert statement.cache == CachePolicy(300, local=1, stale=None, negative=False)
    assert [(a.finding, a.reason) for a in statement.allow] == [
        ("missing-index", "the table has forty rows, and a scan of it is cheaper")
    ]
    assert not statement.autobatch
    assert statement.body == "select :limit, :low, :name"
    assert statement.body_line == 16
    assert (statement.module, statement.function) == ("app", "q")


@pytest.mark.parametrize(
    ("written", "kind", "row", "value"),
    [
        ("one Lead", "one", "Lead", False),
        ("optional Lead", "optional", "Lead", False),
        ("many  Lead2", "many", "Lead2", False),
        ("value", "one", None, True),
        ("optional value", "optional", None, True),
        ("many value", "many", None, True),
        ("count", "count", None, False),
    ],
)
def test_returns(written: str, kind: str, row: str | None, value: bool) -> None:
    returns = read(f"-- returns: {written}").returns
    assert (returns.kind, returns.row, returns.value) == (kind, row, value)
    assert str(returns) == " ".join(written.split())


@pytest.mark.parametrize(
    ("written", "low", "high", "default"),
    [
        ("1..200", 1, 200, "none"),
        ("1..", 1, None, "none"),
        ("..200", None, 200, "none"),
        ("-5 .. 5", -5, 5, "none"),
        ("0.5..1_000", Decimal("0.5"), 1000, "none"),
        ("1..200 = 5", 1, 200, 5),
        ("= 5", None, None, 5),
        ("= 0.50", None, None, Decimal("0.50")),
        ("= 'it''s = 1'", None, None, "it's = 1"),
        ("= true", None, None, True),
        ("= null", None, None, None),
        ("1..9 = null", 1, 9, None),
    ],
)
def test_bounds_and_defaults(written: str, low: object, high: object, default: object) -> None:
    bounds = read(f"-- returns: value\n-- param limit: {written}").parameter("limit").bounds
    assert bounds is not None
    assert (bounds.low, bounds.high) == (low, high)
    assert (bounds.default if bounds.has_default else "none") == default
    assert type(bounds.default) is (type(default) if bounds.has_default else type(None))


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("5m", CachePolicy(300)),
        ("1h30m", CachePolicy(5400)),
        ("500ms", CachePolicy(0.5)),
        ("1.5s", CachePolicy(1.5)),
        ("1d, stale 30s", CachePolicy(86400, stale=30)),
        ("5m, no negative, local 1s", CachePolicy(300, local=1, negative=False)),
    ],
)
def test_cache(written: str, policy: CachePolicy) -> None:
    assert read(f"-- returns: many Lead\n-- cache: {written}").cache == policy


@pytest.mark.parametrize(
    ("written", "type_", "nullable"),
    [
        ("whatsapp.Payload", "whatsapp.Payload", None),
        ("list[whatsapp.Item]", "list[whatsapp.Item]", None),
        ("dict[str, int | None]", "dict[str, int | None]", None),
        ("not null", None, False),
        ("nullable", None, True),
        ("whatsapp.Payload not null", "whatsapp.Payload", False),
    ],
)
def test_columns(written: str, type_: str | None, nullable: bool | None) -> None:
    (column,) = read(f"-- returns: many Lead\n-- column total: {written}").columns
    assert (column.name, column.type, column.nullable) == ("total", type_, nullable)


@pytest.mark.parametrize(
    "line",
    [
        "Note: this is slow.",
        "The key is returns: see below.",
        "See https://example.org: there.",
        "12:30 is noon.",
        "Leads and what they return: rows.",
        "a:b",
    ],
)
def test_a_line_with_a_colon_can_be_description(line: str) -> None:
    assert read(f"-- {line}\n-- returns: count").description == line


def test_examples_are_typical_calls() -> None:
    statement = read(
        "-- Example: the last ten.\n-- examples: this is description.\n"
        "-- example: low = 1, name = 'it''s, a = b', limit = 5\n-- returns: value\n"
        "-- param limit: 1..200 = 5\n-- example: low = null,\n--   name = true\n"
        "-- example: name = '', low = 0.50, newest = true",
        "select :limit, :low, :name\n, 3 --? newest",
    )
    assert statement.description == "Example: the last ten.\nexamples: this is description."
    assert [dict(example.values) for example in statement.examples] == [
        {"low": 1, "name": "it's, a = b", "limit": 5},
        {"low": None, "name": True},
        {"name": "", "low": Decimal("0.50"), "newest": True},
    ]
    assert [str(example.place) for example in statement.examples] == [
        "sql/app/q.sql:3:4",
        "sql/app/q.sql:6:4",
        "sql/app/q.sql:8:4",
    ]


def test_comments_below_an_empty_line_are_part_of_the_body() -> None:
    statement = read("-- returns: value\n\n-- param nothing: here\n", "-- why\nselect :a")
    assert statement.body == "-- param nothing: here\n\n-- why\nselect :a"
    assert statement.body_line == 3
    assert statement.parameter("a").places[0].line == 6


def test_a_header_without_blanks_behind_the_dashes() -> None:
    statement = read("--One lead.\n--returns: one Lead")
    assert (statement.description, str(statement.returns)) == ("One lead.", "one Lead")


def test_a_choice_may_have_a_default() -> None:
    statement = read("-- returns: value\n-- param o: = 'b'", "select 1\n, 2 --? o=a\n, 3 --? o=b")
    (choice,) = statement.choices
    assert (choice.name, choice.values, choice.default, choice.place.line) == ("o", ("a", "b"), "b", 4)


def test_the_closing_semicolon_and_what_follows_are_no_part_of_the_body() -> None:
    assert read("-- returns: value", "select 1 -- one\n;\n-- done").body == "select 1 -- one"


def test_the_body_compiled_alone_is_the_statement() -> None:
    """Generated modules keep the body and its line only."""
    from plainsql.statements import compile_body

    statement = read("-- returns: value\n\n", "select 1\nwhere :a = 1 --?\n;")
    alone = compile_body(statement.body, name="app.q", path="sql/app/q.sql", line=statement.body_line)
    assert [v.sql for v in alone.variants()] == [v.sql for v in statement.variants()]
    assert alone.source.place(alone.offsets["a"][0]) == statement.parameter("a").places[0]


def test_all_that_is_wrong_in_a_file_is_said_at_once() -> None:
    with pytest.raises(SqlFolderError) as caught:
        read("-- returns: some Lead\n-- param limit: many\n-- cash: 5m", "select ':x")
    assert all(type(error) is SqlFileError for error in caught.value.errors)
    assert [error.place.line for error in caught.value.errors if error.place] == [1, 2, 3, 4]


@pytest.mark.parametrize("value", ["1..{}", "{}..", "1.. = {}", "..-{}"])
def test_a_number_has_an_end(value: str) -> None:
    """Longer ones than Python reads are refused as all else is, with their place."""
    with pytest.raises(SqlFileError, match=r"q\.sql:2:.*expected 1000 at most"):
        read(f"-- It.\n-- param limit: {value.format('9' * 5000)}")
