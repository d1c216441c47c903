"""Parameters and texts that look like one, as the server sees them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plainsql.errors import SqlFileError
from plainsql.statements import compile_body
from tests.statements.oracle import Oracle

ROW = (
    "(select array[1, 2, 3] as a, 1 as lo, 2 as hi, 'k'::text as k, 1 as v, '{}'::jsonb as j, now() as at) t"
)

# Expressions over ROW in which no colon and no dollar is a parameter.
NO_PARAMETERS = [
    "':x'",
    "'it''s :x'",
    "'a\\' || ':x'",
    "'a'\n  ':x'",
    "'a' -- :x\n  ':y'",
    "E':x\\':y'",
    "E'\\\\' || ':x'",
    "e'a'\n'\\':x'",
    "B'01'",
    "X'1F'\n'2E'",
    "N':x'",
    "U&':x \\0061'",
    "U&':x !0061' uescape '!'",
    "$$ :x $1 ' $$",
    "$a$ :x $$ :y $b$ $a$",
    "$é$ :x $é$",
    "$$ -- $$",
    "$_1$ :x $_1$",
    '1 as ":x"',
    '1 as "a""b:x"',
    '1 as U&":x \\0061"',
    "1 as x$y$z",
    "1 as é$1",
    "1::text",
    "1 :: text",
    "'1'::int::text",
    "a[1:2]",
    "a[1 : 2]",
    "a[:2]",
    "a[1:]",
    "a[:]",
    "a[lo : hi]",
    "a[lo: hi]",
    "a[: hi]",
    "a[lo + 1 : hi]",
    "a[lo::int : hi::int]",
    "(array[a, a])[1:2][1:1]",
    "array[1, 2]",
    "json_object('a': 1)",
    "json_object('a':1, 'b':'x')",
    "json_object(k : v)",
    "json_object(k: v)",
    "json_object(k: v absent on null)",
    'json_object("k":"v")',
    "json_objectagg(k: v) filter (where true)",
    "json_object(k value v)",
    "make_interval(days => 1)",
    "make_interval(days := 1)",
    "make_interval(days:=1)",
    "j ->> ':x'",
    "j ? ':x'",
    "j @> '{\"a\": 1}'",
    "j #>> '{a,:b}'",
    "1 /* :x */",
    "1 /* /* :x */ :y */",
    "1 /* ' */ + /* ' */ 1",
    "1 -- :x ' $$ /*\n",
    "- -1",
    "2 -1--1",
    "4 */* :x */ 2",
    "1_000 + 0x1F + 0o17 + 0b11",
    "1.5e10 + .5 + 5.",
    "5 operator(pg_catalog.+) 3",
    "at at time zone 'utc'",
    "'12:30:00'::time",
    "timestamp '2026-01-01 12:30:00'",
    "date'2026-01-01'",
    "case when lo<hi then 1 else 2 end",
]

# Expressions with the parameters that they have, each name once, in order.
WITH_PARAMETERS = [
    (":x::int", ["x"]),
    (":x :: int", ["x"]),
    ("-:x::int", ["x"]),
    ("lo=:x", ["x"]),
    ("lo<=:x", ["x"]),
    ("lo+:x", ["x"]),
    ("abs(:x::int)", ["x"]),
    ("(:x::int)", ["x"]),
    ("coalesce(lo,:x)", ["x"]),
    ("a[:n]", ["n"]),
    ("a[:n : 3]", ["n"]),
    ("a[1 : :n]", ["n"]),
    ("a[1: :n]", ["n"]),
    ("a[: :n]", ["n"]),
    ("a[:lo : :hi]", ["lo", "hi"]),
    ("a[lo + :n]", ["n"]),
    ("a[lo+:n : hi]", ["n"]),
    ("a[case when lo = :n then :m else :o::int end]", ["n", "m", "o"]),
    ("a[case lo when :n then 1 end]", ["n"]),
    ("a[greatest(:n, lo)]", ["n"]),
    ("array[:n, :m]::int[]", ["n", "m"]),
    ("array[lo between :n and :m, not :o, lo is distinct from :p]", ["n", "m", "o", "p"]),
    ("json_object('k': :x::text)", ["x"]),
    ("json_object(:k::text : :x::text)", ["k", "x"]),
    ("json_object(:k::text: v)", ["k"]),
    ("json_object(k value :x::text)", ["x"]),
    ("json_object((:k::text) value :x::text)", ["k", "x"]),
    ("json_object('a': :x::text, 'b': :y::text absent on null)", ["x", "y"]),
    ("make_interval(days => :x)", ["x"]),
    ("make_interval(days =>:x)", ["x"]),
    ("make_interval(days := :x)", ["x"]),
    ("make_interval(days:=:x)", ["x"]),
    (":x::int + :y::int + :x", ["x", "y"]),
    (":_x1::int", ["_x1"]),
    (":Type::text", ["Type"]),
    ("'a' || :x", ["x"]),
    ("':a' || :x || $$:b$$ || E'\\':c'", ["x"]),
    ("at at time zone :zone", ["zone"]),
    ("(row(1, :x::int)).f2", ["x"]),
    ("(:x::int[])[1]", ["x"]),
    ("k like :x escape :y", ["x", "y"]),
    ("j->:x", ["x"]),
    ("lo = any(:x)", ["x"]),
    ("1 /* :no */ + /* :no */ :x -- :no\n", ["x"]),
    ("1 operator(pg_catalog.+) :x", ["x"]),
]


@pytest.mark.parametrize("expression", NO_PARAMETERS)
def test_a_colon_or_dollar_that_is_no_parameter_is_sent_unchanged(oracle: Oracle, expression: str) -> None:
    sql = f"select {expression} from {ROW}"
    compiled = compile_body(sql, name="", path="q.sql")
    assert compiled.parameters == ()
    assert compiled.variant().sql == sql
    assert oracle.describe(sql)[0] == 0


@pytest.mark.parametrize(("expression", "names"), WITH_PARAMETERS)
def test_parameters_are_those_that_the_server_finds(
    oracle: Oracle, expression: str, names: list[str]
) -> None:
    variant = compile_body(f"select {expression} from {ROW}", name="", path="q.sql").variant()
    assert variant.parameters == tuple(names)
    assert oracle.describe(variant.sql)[0] == len(names)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select distinct on (t.lo) :x::text from {row}", ["x"]),
        ("select lo from {row} order by lo limit :n offset :m", ["n", "m"]),
        ("select lo from {row} fetch first :n rows only", ["n"]),
        ("values (:x::int,:y::int)", ["x", "y"]),
        ("select * from generate_series(:lo::int,:hi::int) as g", ["lo", "hi"]),
        (
            "select sum(lo) over (order by lo rows between :n preceding and :m following) from {row}",
            ["n", "m"],
        ),
        ("with c as (select :x::int as n) select n from c where n > :y", ["x", "y"]),
        ("select lo from {row} where (lo, hi) < (:x, :y)", ["x", "y"]),
        ("do $$ begin perform ':x'; end $$", []),
        ("select 1;", []),
        ("select :x::int; -- done :y\n ; /* ; */ ", ["x"]),
    ],
)
def test_parameters_of_whole_statements(oracle: Oracle, sql: str, names: list[str]) -> None:
    variant = compile_body(sql.format(row=ROW), name="", path="q.sql").variant()
    assert variant.parameters == tuple(names)
    assert oracle.describe(variant.sql)[0] == len(names)


@pytest.mark.parametrize(
    "sql",
    [
        "select a[1:n] from t",
        "select a[lo:n] from t",
        "select a[(lo):n] from t",
        "select a[:lo:n] from t",
        "select a[case when x then 1 end:n] from t",
        "select a[x is null :n] from t",
        "select json_object('k':n) from t",
        "select json_object(k :n) from t",
        "select json_object(value :n) from t",
        "select json_objectagg(k /* c */ :n) from t",
    ],
)
def test_a_colon_that_could_mean_two_things_is_refused(sql: str) -> None:
    with pytest.raises(SqlFileError, match="could be a colon and the column n, or the parameter") as caught:
        compile_body(sql, name="", path="q.sql")
    assert caught.value.place is not None
    assert caught.value.place.column == sql.index(":n") + 1


def test_either_reading_of_an_ambiguous_colon_can_be_written(oracle: Oracle) -> None:
    for sql, count in (("select a[lo : hi] from {row}", 0), ("select a[lo : :hi] from {row}", 1)):
        variant = compile_body(sql.format(row=ROW), name="", path="q.sql").variant()
        assert oracle.describe(variant.sql)[0] == count


_TEXT = st.text(st.sampled_from('ab:x$1-/* \n";é?{}[]()'), max_size=8)
_NAMES = st.sampled_from(["x", "y", "name", "_z9", "Type"])
_BLANK = st.sampled_from([" ", "\n", "\t", " -- :no 'no' $$\n", "/* :no ' */", " /* /* $1 */ */ "])


# Expressions that the server accepts whatever is in them.
_PIECES = st.one_of(
    _TEXT.map(lambda t: f"'{t}'"),
    _TEXT.map(lambda t: f"'{t}''{t}'"),
    _TEXT.map(lambda t: f"E'{t}\\'{t}\\\\'"),
    _TEXT.map(lambda t: f"'{t}'\n'{t}'"),
    _TEXT.map(lambda t: f"U&'{t}'"),
    _TEXT.filter(lambda t: "$" not in t).map(lambda t: f"$${t}$$"),
    _TEXT.filter(lambda t: "$q$" not in t + "$").map(lambda t: f"$q${t}$q$"),
    _TEXT.filter(bool).map(lambda t: f'null as "{t.replace(chr(34), chr(34) * 2)}"'),
    st.sampled_from(["1", "1.5e3", "0x1F", "1_000", "null as a$b", "1::text", "(array[1,2])[1:2]", "B'01'"]),
    st.sampled_from(["(array[1,2])[:1]", "json_object('a':'b')", "1 - -1", "make_interval(days:=1)"]),
    _NAMES.map(lambda n: f":{n}"),
    _NAMES.map(lambda n: f":{n}::text"),
    _NAMES.map(lambda n: f"(array['a'])[:{n}::int]"),
    _NAMES.map(lambda n: f"json_object('a': :{n}::text)"),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_BLANK, _PIECES, _BLANK), min_size=1, max_size=8))
def test_any_text_has_the_parameters_that_the_server_counts(
    oracle: Oracle, pieces: list[tuple[str, str, str]]
) -> None:
    sql = "select" + ",".join("".join(piece) for piece in pieces)
    # One type for each name: what is a text here and a number there is refused by the server for that.
    sql = sql.replace("::int]", "::text::int]").replace(":x,", ":x::text,")
    compiled = compile_body(sql, name="", path="q.sql")
    variant = compiled.variant()
    assert oracle.describe(variant.sql)[0] == len(compiled.parameters)
    if not compiled.parameters:
        assert variant.sql == sql.rstrip(" \t\n")
