"""A script's statements are those that the server sees."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import generators

from plainsql.migrate.script import Script, checksum, place_at

# Each is one statement, without its semicolon, that could be cut in the wrong place.
STATEMENTS = [
    "select 1",
    "select ';', E'it\\'s; \\\\', 'it''s;', U&'\\0061;', B'01', $$;$$, $a$ $$;$$ ; $a$",
    'select 1 as "a;b", 2 as "c"";"',
    "select 1 /* ; /* nested; */ ; */ + 1",
    "select 1 -- ; not here\n + 1",
    "select '100%', '%s', '%(x)s', 5 % 3",
    "do $body$ begin perform 1; perform 2; end $body$",
    "create function pg_temp.plain() returns int language plpgsql as $$ begin return 1; end $$",
    (
        "create function pg_temp.body(x int) returns int language sql\n"
        "begin atomic select 1; select case when x > 1 then case x when 2 then 3 end else 4 end; end"
    ),
    "create or replace procedure pg_temp.p() language sql begin atomic select 1; end",
    "create table pg_temp.begin_end (id int, atomic int)",
    "create rule r as on insert to pg_temp.target do also (select 1; select 2)",
    "select 'ñandú; 🙂' as ñ",
    "select a$b$c from (select 1 as a$b$c) as t",
]
GLUE = st.sampled_from([";", ";\n", " ; ; ", ";-- a comment; with one\n", ";/* ; */\r\n"])


@pytest.mark.parametrize("statement", STATEMENTS)
def test_one_statement_stays_one(statement: str) -> None:
    assert [found.text for found in Script.read(f"  {statement} ;\n").statements] == [statement]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(STATEMENTS), GLUE), min_size=1, max_size=6, unique_by=lambda p: p[0]
    )
)
def test_as_many_statements_as_the_server_answers(database_url: str, parts: list[tuple[str, str]]) -> None:
    source = "".join(statement + glue for statement, glue in parts)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create temporary table target (id int)")
        connection.pgconn.send_query(source.encode())
        results = connection.wait(generators.execute(connection.pgconn))
        assert not [result.error_message for result in results if result.error_message]
    assert len(Script.read(source).statements) == len(results)


@pytest.mark.parametrize(
    "source", ["select 'open", "select $$open; ", "/* open", 'select "open', "select E'\\"]
)
def test_an_unclosed_quote_or_comment_ends_with_the_file(source: str) -> None:
    assert len(Script.read(source).statements) <= 1


@given(st.text(alphabet="ab';\"$-/*\\E()\n "))
def test_no_text_is_lost_or_loops(source: str) -> None:
    for statement in Script.read(source).statements:
        assert source[statement.start :].startswith(statement.text)


def test_the_header_is_the_comment_before_the_first_statement() -> None:
    script = Script.read("-- Adds it.\n\n-- depends: 0001_a 0002_b\n-- transactional: FALSE\nselect 1;")
    assert script.header.transactional is False
    assert script.header.depends == ("0001_a", "0002_b")
    assert not script.problems


def test_a_directive_in_a_string_is_text() -> None:
    script = Script.read("select '\n-- transactional: false\n';")
    assert script.header.transactional is None
    assert not script.problems


def test_places_count_characters_and_any_line_end() -> None:
    place = place_at("f.sql", "a\r\nñ🙂x\rb", 5)
    assert (place.line, place.column, place.excerpt) == (2, 3, "ñ🙂x")


def test_line_ends_do_not_change_the_checksum() -> None:
    assert checksum("a\r\nb\r\n") == checksum("a\nb\n") == checksum("a\rb\r") != checksum("a\n b\n")
