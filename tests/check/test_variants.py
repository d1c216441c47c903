"""The facts about a query hold for every variant, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest

from plainsql.analysis import RefusedError
from plainsql.analysis.preparation import Prepared, prepare_all
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.cli.app import main
from plainsql.settings import Project
from tests.check.conftest import Write

SCHEMA = {
    "0001_t.sql": "create table t (id int primary key, k int not null, a int, b int, c int, s text);\n"
    "create index on t (k);\ncreate table u (id int primary key, t_id int references t (id));\n"
}
LINES = "\n".join(f"  and t.c < :w{number}  --?" for number in range(1, 4))
"""Lines that only increase the number of variants."""

Inspect = Callable[..., ProjectCheck]


@pytest.fixture
def analyse_statements(migrations: Write, tmp_path: Path, database_url: str) -> Inspect:
    """Check one query."""

    def run(sql: str, *header: str) -> ProjectCheck:
        migrations(SCHEMA)
        (tmp_path / "sql" / "things").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sql" / "things" / "q.sql").write_text("\n".join(["-- It.", *header, sql, ""]))
        return check_project(Project(root=tmp_path), database_url)

    return run


def module(found: ProjectCheck) -> str:
    assert [str(error) for error in found.errors] == []
    return next(source for path, source in found.files.items() if path.name == "things.py")


PAIR = (
    "select t.id, t.a\nfrom t\nwhere (\n    t.a > 0\n    or t.id = :r  --?\n  )\n"
    "  and (\n    t.a is not null\n    or t.b = :z  --?\n  )\n"
)
"""Two lines: each alone leaves `a` proved, together they do not."""


@pytest.mark.parametrize("others", [0, 3, 5])
def test_two_lines_that_act_together_make_a_column_nullable(analyse_statements: Inspect, others: int) -> None:
    # Each of the other lines proves it again: with all lines, nothing is null.
    lines = "\n".join(f"  and t.a < :w{number}  --?" for number in range(others))
    found = analyse_statements(f"{PAIR}{lines}\norder by t.id\nlimit 10", "-- returns: many Thing")
    assert "a: int | None" in module(found)
    # Every combination of the two, whatever the other lines are.
    both = [text.given & {"r", "z"} for text in found.inspection.checked[0].texts]
    assert len(set(both)) == 4


def test_an_order_and_two_lines_make_a_column_nullable(analyse_statements: Inspect) -> None:
    orders = "\n".join(f"order by t.id, t.a + {n}  --? order=by_{n}" for n in range(5))
    found = analyse_statements(f"{PAIR}{orders}\nlimit 10", "-- returns: many Thing")
    assert "a: int | None" in module(found)


def test_two_lines_that_act_together_let_a_second_row_come(analyse_statements: Inspect) -> None:
    sql = (
        "select t.s\nfrom t\nwhere (\n    t.id = :i\n    or t.a = :x  --?\n  )\n"
        "  and (\n    t.id = :j\n    or t.b = :z  --?\n  )\n"
    )
    found = analyse_statements(f"{sql}{LINES.replace('t.c <', 't.id =')}", "-- returns: optional value")
    assert [finding.name for finding in found.findings] == ["unproved-one"]
    assert [finding.name for finding in analyse_statements(sql, "-- returns: optional value").findings] == [
        "unproved-one"
    ]


def test_two_lines_that_act_together_take_a_partition_away(analyse_statements: Inspect) -> None:
    sql = (
        "select t.s\nfrom t\nwhere (\n    t.k = :k\n    or t.id = :r  --?\n  )\n"
        "  and (\n    t.k = :k\n    or t.b = :z  --?\n  )\n"
    )
    header = ("-- returns: many value", "-- cache: 5m")
    lines = LINES.replace("t.c <", "t.k = :k and t.c <")
    source = module(analyse_statements(f"{sql}{lines}\norder by t.id\nlimit 10", *header))
    assert 'Dependency("public.t")' in source
    assert 'Dependency("public.t", "k"' not in source


def test_a_table_that_only_some_lines_read_is_depended_on(analyse_statements: Inspect) -> None:
    sql = (
        f"select t.s\nfrom t\nwhere t.k = :k\n{LINES}\n  and t.a = :a  --?\n"
        "  and exists (select from u where u.t_id = t.id and u.id > :u)  --?\norder by t.id\nlimit 10"
    )
    source = module(analyse_statements(sql, "-- returns: many value", "-- cache: 5m"))
    assert 'Dependency("public.t", "k", "k"),\n    Dependency("public.u"),\n' in source
    assert "Reads public.t, public.u." in source


def test_a_line_that_may_write_makes_the_whole_a_write(analyse_statements: Inspect) -> None:
    sql = (
        f"select t.s\nfrom t\nwhere t.k = :k\n{LINES}\n  and t.id = nextval(:q)  --?\norder by t.id\nlimit 5"
    )
    assert "read_only=True, session_clean=True" not in module(
        analyse_statements(sql, "-- returns: many value")
    )


def test_variants_that_are_only_prepared_are_checked_too(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        good, refused, without = prepare_all(
            connection, ["select $1::bigint as a, 'x'::text", "select nope", "create table never (a int)"]
        )
    assert good == Prepared((20,), (("a", 20), ("text", 25)))
    assert isinstance(refused, RefusedError)
    assert (refused.sqlstate, refused.position) == ("42703", 8)
    assert without == Prepared((), ())


def test_set_lines_that_combine_in_returning_are_seen(analyse_statements: Inspect) -> None:
    lines = "\n".join(f"  {column} = :{column},  --?" for column in ("a", "b", "c"))
    sql = (
        f"update t\nset\n{lines}\n  s = :s,  --?\n  k = :k,  --?\n  id = t.id\n"
        "where t.id = :id and t.a is not null and t.b is not null\n"
        "returning t.id, coalesce(t.a, t.b) as either"
    )
    assert "either: int | None" in module(analyse_statements(sql, "-- returns: optional Thing"))


def test_set_lines_of_columns_that_are_returned_are_seen_one_by_one(analyse_statements: Inspect) -> None:
    lines = "\n".join(f"  {column} = :{column},  --?" for column in ("a", "b", "c", "s", "k"))
    sql = f"update t\nset\n{lines}\n  id = t.id\nwhere t.id = :id\nreturning t.id, t.a, t.k"
    found = analyse_statements(sql, "-- returns: optional Thing")
    assert "a: int | None" in module(found)
    assert "k: int\n" in module(found)
    assert len(found.inspection.checked[0].variants) < 16


AND = "\n".join(f"  and t.c < :w{number}  --?" for number in range(5))


@pytest.mark.parametrize(
    "sql",
    [
        # A line in a sub-select, or in an arm of a union, may remove what an outer expression depends on.
        f"select coalesce((\nselect t.a\nfrom t\nwhere true\n{AND}\nlimit 1), 0) as n",
        f"select t.s as n\nfrom t\nwhere true\n{AND}\nunion all\nselect 'a'\norder by 1\nlimit 3",
        f"select t.s as n\nfrom t\ninner join u on u.t_id = t.id\n{AND}\nlimit 3",
        f"select count(*) as n\nfrom t\ngroup by t.k\nhaving true\n{AND.replace('t.c', 't.k')}\nlimit 3",
        f"select t.s as n\nfrom t\nwhere case when t.a = 1\n{AND}\nthen true end\nlimit 3",
        "select t.s as n\nfrom t\nwhere true\n" + AND.replace("  --?", " or t.a = 1  --?") + "\nlimit 3",
        "select t.s as n\nfrom t\nwhere false\n" + AND.replace("  and", "  or") + "\nlimit 3",
    ],
)
def test_lines_that_may_interact_are_taken_in_all_combinations(analyse_statements: Inspect, sql: str) -> None:
    assert len(analyse_statements(sql, "-- returns: many value").inspection.checked[0].variants) == 32


def test_a_parameter_of_two_types_is_refused(analyse_statements: Inspect) -> None:
    sql = (
        "select t.s\nfrom t\nwhere true\n  and t.k = :x  --? by=number\n  and t.s = :x  --? by=text\nlimit 1"
    )
    (error,) = analyse_statements(sql, "-- returns: optional value", "-- allow: partial-order: any").errors
    assert (error.message, error.hint) == (
        ":x is integer with some lines and text with others",
        "cast it everywhere: :x::integer",
    )
    assert (error.line, error.column) == (7, 13)


def test_the_refusal_of_one_variant_names_its_lines(analyse_statements: Inspect) -> None:
    sql = "select t.s\nfrom t\nwhere\n  t.a = :a  --?\n  and t.b = :b  --?\norder by t.id\nlimit 5"
    (error,) = analyse_statements(sql, "-- returns: many value").errors
    assert (error.message, error.line, error.detail) == (
        'syntax error at or near "order"',
        8,
        "without any optional line",
    )


def test_lines_are_named_with_their_choices(analyse_statements: Inspect) -> None:
    sql = (
        "select t.s\nfrom t\nwhere true\n  and t.a = :a  --?\n  and t.b = :b + nope  --?\n"
        "order by t.id  --? order=up\norder by t.id desc  --? order=down\nlimit 5"
    )
    (error,) = analyse_statements(sql, "-- returns: many value").errors
    assert (error.message, error.detail) == ('column "nope" does not exist', None)
    sql = sql.replace(" + nope", "").replace("t.id desc", "t.nope")
    (error,) = analyse_statements(sql, "-- returns: many value").errors
    assert error.detail == "with order=down"


def test_the_refusal_of_all_variants_names_no_lines(analyse_statements: Inspect) -> None:
    sql = "select t.nope\nfrom t\nwhere true\n  and t.a = :a  --?\nlimit 5"
    (error,) = analyse_statements(sql, "-- returns: many value").errors
    assert (error.message, error.detail) == ("column t.nope does not exist", None)


def test_describe_shows_what_holds_for_all_variants(
    analyse_statements: Inspect,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    analyse_statements(f"{PAIR}order by t.id\nlimit 10", "-- returns: many Thing")
    monkeypatch.chdir(tmp_path)
    assert main(["describe", "things.q", "--json", "--scratch", database_url]) == 0
    described = msgspec.json.decode(capsys.readouterr().out)
    assert [column["nullable"] for column in described["columns"]] == [False, True]


def test_the_answer_agrees_with_the_database(analyse_statements: Inspect, database_url: str) -> None:
    """The row that the two lines let through, with data."""
    lines = LINES.replace("t.c <", "t.a <")
    found = analyse_statements(f"{PAIR}{lines}\norder by t.id\nlimit 10", "-- returns: many Thing")
    variant = found.inspection.checked[0].statement.variant({"r", "z"})
    with psycopg.connect(database_url) as connection:
        connection.execute("create temporary table t (id int, k int, a int, b int, c int, s text)")
        connection.execute("insert into t values (1, 1, null, 7, 1, '')")
        cursor = psycopg.RawCursor(connection)
        assert cursor.execute(variant.sql.encode(), [1, 7]).fetchall() == [(1, None)]
