"""Types, columns and errors, as the server describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser, PgType, RefusedError
from plainsql.analysis.describer import Describer
from plainsql.errors import ContractError

TYPES = """
create schema types;
create type types.mood as enum ('sad', 'ok', 'happy');
create domain types.short as varchar(10);
create domain types.code as types.short not null;
create type types.point3 as (x integer, moods types.mood[], code types.code);
create type types.span as range (subtype = integer);
create table types.tree (id integer, parent integer);
create table types.all_types (
  a types.mood, b types.mood[], c types.code, d types.point3, e types.span, f int4multirange, g vector(3),
  h numeric(10, 2), i types.tree, j vector(2)[]
);
"""


@pytest.fixture(scope="module")
def typed(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        connection.execute(TYPES.encode())
        with Analyser(connection) as analyser:
            yield analyser


def column(analyser: Analyser, expression: str) -> PgType:
    return analyser.analyse(f"select {expression} from types.all_types").columns[0].type


def test_enum_has_its_labels_in_order(typed: Analyser) -> None:
    """Not by name: by `enumsortorder`."""
    mood = column(typed, "a")
    assert (mood.kind, mood.schema, mood.name, mood.labels) == (
        "enum",
        "types",
        "mood",
        ("sad", "ok", "happy"),
    )


def test_array_has_its_element(typed: Analyser) -> None:
    """The element is complete as well."""
    moods = column(typed, "b")
    assert (moods.kind, str(moods)) == ("array", "types.mood[]")
    assert moods.element is not None
    assert moods.element.labels == ("sad", "ok", "happy")


def test_domain_over_a_domain_knows_not_null_and_length(typed: Analyser) -> None:
    """The server's result carries the base type's modifier; the domain carries its own."""
    fact = typed.analyse("select $1::types.code as c").parameters[0].type
    assert (fact.kind, fact.name, fact.not_null) == ("domain", "code", True)
    below = fact.element
    assert below is not None
    assert (below.kind, below.name, below.not_null) == ("domain", "short", False)
    assert below.element is not None
    assert (below.element.name, below.element.modifier) == ("varchar", 14)


def test_composite_has_its_attributes(typed: Analyser) -> None:
    """Attributes are complete types, in order."""
    point = column(typed, "d")
    assert [(a.name, str(a.type)) for a in point.attributes] == [
        ("x", "integer"),
        ("moods", "types.mood[]"),
        ("code", "types.code"),
    ]
    assert column(typed, "i").attributes[1].name == "parent"


def test_ranges_have_their_subtype(typed: Analyser) -> None:
    """A multirange has its range."""
    span, multirange = column(typed, "e"), column(typed, "f")
    assert (span.kind, str(span.element)) == ("range", "integer")
    assert (multirange.kind, str(multirange.element)) == ("multirange", "int4range")


def test_vector_has_its_dimension(typed: Analyser) -> None:
    """Also inside an array."""
    assert str(column(typed, "g")) == "vector(3)"
    assert str(column(typed, "j")) == "vector(2)[]"


def test_column_has_the_table_it_comes_from(typed: Analyser) -> None:
    """Unchanged columns alone."""
    columns = typed.analyse("select t.a, t.a is null as n from types.all_types as t").columns
    assert str(columns[0].origin) == "types.all_types.a"
    assert columns[1].origin is None


def test_parameters_are_named_in_their_order(typed: Analyser) -> None:
    """Columns without a name are called by their number."""
    facts = typed.analyse("select $1::integer, $2::text", ("limit",)).parameters
    assert [(fact.name, str(fact.type)) for fact in facts] == [("limit", "integer"), ("$2", "text")]


@pytest.mark.parametrize(
    ("sql", "message", "sqlstate", "position"),
    [
        ("select nothing from types.tree", 'column "nothing" does not exist', "42703", 8),
        ("select 'é', nothing", 'column "nothing" does not exist', "42703", 13),
        ("select from where", 'syntax error at or near "where"', "42601", 13),
        ("select $1 is null", "could not determine data type of parameter $1", "42P18", None),
        ("select 1; select 2", "cannot insert multiple commands into a prepared statement", "42601", None),
        ("", "there is no statement", None, 1),
        ("-- nothing", "there is no statement", None, 1),
        ("select '\0'", "the statement holds a zero character", None, 9),
    ],
)
def test_a_refused_statement_has_message_and_position(
    typed: Analyser, sql: str, message: str, sqlstate: str | None, position: int | None
) -> None:
    """The position counts characters, not bytes."""
    with pytest.raises(RefusedError) as caught:
        typed.analyse(sql)
    error = caught.value
    assert isinstance(error, ContractError)
    assert (error.message, error.sqlstate, error.position) == (message, sqlstate, position)


def test_a_refusal_spoils_nothing(typed: Analyser) -> None:
    """The next statement is analysed normally."""
    with pytest.raises(RefusedError):
        typed.analyse("select nothing")
    assert typed.analyse("select 1").rows == "one"


def test_analysis_inside_a_transaction_survives_a_refusal(database_url: str) -> None:
    """A schema that is not committed can be analysed, and a bad statement does not end the transaction."""
    with psycopg.connect(database_url) as connection:
        connection.execute("create table inside (id integer not null)")
        with Analyser(connection) as analyser:
            with pytest.raises(RefusedError):
                analyser.analyse("select nothing from inside")
            assert not analyser.analyse("select id from inside").columns[0].nullable
        connection.rollback()


def test_the_connection_is_given_back_as_it_was(database_url: str) -> None:
    """Its settings, its autocommit mode, and no handler of ours."""
    with psycopg.connect(database_url) as connection:
        with Analyser(connection) as analyser:
            analyser.analyse("select 1")
            assert connection.execute("show debug_print_parse").fetchone() == ("on",)
        assert not connection.autocommit
        assert connection.execute("show debug_print_parse").fetchone() == ("off",)
        assert connection.execute("show client_min_messages").fetchone() == ("notice",)


def test_a_statement_costs_two_round_trips(typed: Analyser, tmp_path: Path) -> None:
    """The catalog is read once; then a statement is prepared and described, and no other query is sent."""
    server = typed._connection.pgconn
    sql = "select a, b, d from types.all_types as t left join types.tree as r on r.id = t.h where r.id = $1"
    typed.analyse(sql)
    with (tmp_path / "trace").open("w+") as file:
        server.trace(file.fileno())
        for _ in range(50):
            typed.analyse(sql)
        server.untrace()
        file.seek(0)
        sent = [line.split("\t")[3].strip() for line in file if line.split("\t")[1:2] == ["F"]]
    assert sent.count("Parse") == sent.count("Describe") == 50
    assert sent.count("Sync") == 100
    assert not {"Query", "Bind", "Execute"} & set(sent)


def test_an_older_server_is_refused_with_a_reason() -> None:
    """It can run queries; its trees do not show enough."""

    class Info:
        server_version = 150004

    class Connection:
        info = Info()

    with pytest.raises(ContractError) as caught:
        Describer(Connection())  # type: ignore[arg-type]
    assert str(caught.value) == (
        "queries cannot be analysed on PostgreSQL 15\n"
        "DETAIL: it can run them, but its trees do not show which outer joins make a column null\n"
        "HINT: use PostgreSQL 16 or newer for the analysis, or the embedded server"
    )
