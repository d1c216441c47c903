"""Texts that are being written: the tables in scope, the word at a place, what is typed."""

from __future__ import annotations

import pytest

from plainsql.editor.edited_text import EditedText
from plainsql.editor.hovers import KEYS
from plainsql.statements.header import KEYS as HEADER_KEYS


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("select 1 from a", {"a": "a"}),
        ('select 1 from shop."Leads" as l, only b c where', {"l": "shop.Leads", "c": "b"}),
        (
            "select 1 from a left join x.b using (id) inner join lateral (select 1) as q on true",
            {"a": "a", "b": "x.b"},
        ),
        ("insert into shop.notes as n (text) values ('from x') returning n.", {"n": "shop.notes"}),
        ("update a set x = 1 from b where a.x = b.x", {"a": "a", "b": "b"}),
        ("select 'from c' from a -- from d\nwhere b = 'unfinished", {"a": "a"}),
        ("", {}),
    ],
)
def test_the_tables_of_a_text_are_found_by_their_aliases(sql: str, tables: dict[str, str]) -> None:
    assert EditedText(sql).tables == tables


def test_a_word_has_its_qualifier_and_its_end() -> None:
    text = EditedText('select l."E-mail", :id from leads l')
    word = text.word(12)
    assert word is not None
    assert (word.text, word.qualifier, word.begin, word.end) == ("E-mail", "l", 7, 17)
    parameter = text.word(20)
    assert parameter is not None
    assert (parameter.text, parameter.kind) == ("id", "parameter")
    assert text.word(0) is not None
    assert EditedText("a + b").word(2) is None
    assert text.typed(len(text.text)) == ("", "l", "leads")


def test_with_items_are_names_of_tables() -> None:
    sql = "with recent as (select 1), rest as materialized (select 2) select cast(a as (b)) from re"
    assert EditedText(sql).with_items == ["recent", "rest"]


def test_the_header_ends_at_the_first_line_of_sql() -> None:
    text = EditedText("-- A.\n-- returns: one\n\nselect 1\n-- param x: 1\n")
    line = text.header_line(18)
    assert line is not None
    assert (line.key, line.has_colon) == ("returns", True)
    assert text.header_line(len(text.text) - 2) is None


def test_each_key_of_a_header_has_its_meaning() -> None:
    assert KEYS.keys() == HEADER_KEYS.keys()
