"""Optional lines, choices, and the way back from the text that was sent to the file."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.errors import BindError, SqlFileError
from plainsql.statements import MAX_VARIANTS, Compiled, compile_body
from tests.statements.oracle import Oracle

SEARCH = """\
select g.n, '--?' as mark, $$
and :x --?
$$ as body
from generate_series(1, 9) as g (n)
where g.n > :low
  and g.n < :high            --?
  and g.n <> :a::int + :b --?
  -- and g.n = :never --?
  and g.n <> :low + :step    --?
order by g.n, :seed::int     --? order=seeded
order by g.n desc            --? order=newest
limit :limit
"""


def compiled(body: str, line: int = 1) -> Compiled:
    return compile_body(body, name="app.search", path="sql/app/search.sql", line=line)


def test_parameters_on_marked_lines_are_optional_and_no_others() -> None:
    search = compiled(SEARCH)
    assert search.parameters == ("low", "high", "a", "b", "step", "seed", "limit")
    assert search.optional == {"high", "a", "b", "step", "seed"}
    assert search.choices == {"order": ("seeded", "newest")}


def test_only_a_line_whose_parameters_are_not_given_is_left_out() -> None:
    variant = compiled(SEARCH).variant({"a", "b"}, {"order": "newest"})
    lines = SEARCH.splitlines(keepends=True)
    expected = "".join(lines[:5] + lines[6:8] + lines[10:])
    for number, name in enumerate(["low", "a", "b", "limit"], 1):
        expected = expected.replace(f":{name}", f"${number}")
    assert variant.sql == expected.rstrip() + " /* app.search */"
    assert variant.parameters == ("low", "a", "b", "limit")


def test_one_number_stands_for_every_place_of_a_name() -> None:
    variant = compiled("select :b::int, :a::int, :b").variant()
    assert variant.sql == "select $1::int, $2::int, $1 /* app.search */"
    assert variant.parameters == ("b", "a")


def test_the_name_follows_the_text_and_is_never_swallowed_by_a_comment() -> None:
    assert compiled("select 1 -- one\n").variant().sql == "select 1 -- one\n/* app.search */"
    assert compiled("select 1 /* one */ ;\n").variant().sql == "select 1 /* one */ /* app.search */"
    assert compiled("select 1\nlimit :n --?").variant({"n"}).sql.endswith("--?\n/* app.search */")
    assert compiled("select 1 -- one\nlimit :n --?").variant().sql == "select 1 -- one\n/* app.search */"
    assert compile_body("select 1;", name="", path="q.sql").variant().sql == "select 1"


def test_all_variants_are_enumerated_once_and_accepted_by_the_server(oracle: Oracle) -> None:
    search = compiled(SEARCH)
    variants = search.variants()
    assert len(variants) == len({variant.sql for variant in variants}) == 2**3 * 2
    for variant in variants:
        assert oracle.describe(variant.sql)[0] == len(variant.parameters)
        again = search.variant(variant.given, variant.choices)
        assert (again.sql, again.parameters) == (variant.sql, variant.parameters)
    assert variants[0].given == {"seed"}


def test_a_statement_without_marks_has_one_variant() -> None:
    (variant,) = compiled("select :a").variants()
    assert variant.sql == "select $1 /* app.search */"


def test_marked_lines_may_share_parameters() -> None:
    shared = compiled("select 1 where true\nand :a = 1 --?\nand :a = :b --?\n")
    assert {variant.given for variant in shared.variants()} == {frozenset(), frozenset("a"), frozenset("ab")}
    with pytest.raises(BindError, match="b is given without a"):
        shared.variant({"b"})


def test_a_parameter_of_every_value_of_a_choice_is_always_given() -> None:
    both = compiled("select 1\norder by :x --? o=a\norder by -:x::int --? o=b\n")
    assert both.optional == frozenset()
    assert both.variant((), {"o": "b"}).parameters == ("x",)


def test_lines_of_one_value_stay_together() -> None:
    pair = compiled("select 1\n, 2 --? o=a\n, 3 --? o=b\nfrom t\norder by 2 --? o=a\n")
    assert pair.choices == {"o": ("a", "b")}
    assert pair.variant((), {"o": "a"}).sql.split("\n")[1:4] == [
        ", 2 --? o=a",
        "from t",
        "order by 2 --? o=a",
    ]
    assert pair.variant((), {"o": "b"}).sql.split("\n")[1:] == [", 3 --? o=b", "from t /* app.search */"]


def test_given_names_that_are_always_given_make_no_difference() -> None:
    search = compiled(SEARCH)
    choice = {"order": "newest"}
    assert search.variant({"low", "limit"}, choice).sql == search.variant((), choice).sql


@pytest.mark.parametrize(
    ("given", "choices", "message"),
    [
        ({"a"}, {"order": "newest"}, "a is given without b, its line needs both"),
        ((), {"order": "seeded"}, "seed is missing, order=seeded needs it"),
        ({"seed"}, {"order": "newest"}, "seed is given, but no line of order=newest uses it"),
        ((), {}, "the choice order is not made"),
        ((), {"order": "dearest"}, "the choice order has no such value"),
        ((), {"order": "newest", "sort": "x"}, "there is no choice sort"),
    ],
)
def test_what_would_not_be_sent_is_refused(given: set[str], choices: dict[str, str], message: str) -> None:
    with pytest.raises(BindError) as caught:
        compiled(SEARCH).variant(given, choices)
    assert caught.value.message == f"app.search: {message}"
    assert caught.value.hint
    assert "dearest" not in str(caught.value)


def test_an_error_position_leads_back_to_the_file(oracle: Oracle) -> None:
    """The server's position in the text that it received becomes a place in the file, whatever lines were
    left out.
    """
    body = "select 1\nfrom generate_series(:l::int, :h) as é\nwhere é > 1\nand é > :a --?\nand nowhere = :l\n"
    variant = compiled(body, line=5).variant()
    place = variant.place(oracle.position(variant.sql))
    assert (place.path, place.line, place.column, place.excerpt) == (
        "sql/app/search.sql",
        9,
        5,
        "and nowhere = :l",
    )


def test_every_character_leads_back_to_where_it_came_from() -> None:
    search = compiled(SEARCH)
    for variant in search.variants():
        for position in range(1, len(variant.sql) + 1):
            place = variant.place(position)
            character = variant.sql[position - 1]
            at = place.excerpt[place.column - 1 : place.column]
            if at == ":" != character:
                assert character in "$0123456789"
            elif position < variant.sql.index("/* app.search */"):
                assert (at or "\n") == character


def test_an_expression_replaces_each_parameter_and_nothing_else() -> None:
    body = "select ':a', :a::int, $$ $1 $$\nwhere :b --?\nlimit :a"
    (expected, _, number) = body.replace("where :b --?\n", "").replace(" :a", " input.a").partition("\nlimit")
    variant = compiled(body).variant()
    assert variant.substituted({"a": "input.a"}) == f"{expected}\nlimit{number} /* app.search */"


def test_marks_in_strings_and_comments_are_none() -> None:
    plain = compiled("select '--?', $$ :x --? $$, E'--?\\'--?' /* :x --? */ -- and :x --?\n, \"--?\"")
    assert plain.optional == frozenset()
    assert len(plain.variants()) == 1


def test_as_many_variants_as_can_be_checked_and_no_more() -> None:
    lines = [f"and :p{n} --?\n" for n in range(11)]
    assert len(compiled("select 1 where true\n" + "".join(lines[:10])).variants()) == MAX_VARIANTS
    with pytest.raises(SqlFileError, match="2048 texts result from the marked lines, expected 1024 at most"):
        compiled("select 1 where true\n" + "".join(lines))


@given(
    st.lists(st.frozensets(st.sampled_from("abcd"), min_size=1, max_size=3), max_size=5), st.integers(0, 3)
)
def test_a_line_stays_exactly_when_all_of_its_parameters_are_given(
    needs: list[frozenset[str]], fixed: int
) -> None:
    always = frozenset("abcd"[:fixed])
    marked = [need for need in needs if need - always]
    body = f"select {', '.join(f':{name}' for name in sorted(always)) or 1}\n" + "".join(
        f"and {' = '.join(f':{name}' for name in sorted(need))} --?\n" for need in marked
    )
    statement = compiled(body)
    optional = sorted({name for need in marked for name in need} - always)
    assert statement.optional == set(optional)
    for given_names in chain.from_iterable(combinations(optional, size) for size in range(len(optional) + 1)):
        stay = [need for need in marked if need <= always | set(given_names)]
        used = set().union(*stay) - always
        if used != set(given_names):
            with pytest.raises(BindError):
                statement.variant(given_names)
        else:
            assert statement.variant(given_names).sql.count("--?") == len(stay)


def test_texts_are_counted_out_only_so_far() -> None:
    lines = "\n".join(f"  and t.a <> :x{i} --?" for i in range(15_000))
    with pytest.raises(SqlFileError, match="more than 1000000000000000000 texts result"):
        compile_body(f"select t.a\nfrom t\nwhere true\n{lines}", name="a.b", path="sql/a/b.sql")


SAVE = """\
insert into people (org_id,
  nick,      --? :nick
  email)
values (:org_id,
  :nick,     --? :nick
  :email)
on conflict (email) do update set
  nick = :nick, --? :nick
  seen_by = :org_id
"""


def test_a_mark_names_the_parameter_that_decides_on_its_line() -> None:
    save = compiled(SAVE)
    assert save.parameters == ("org_id", "nick", "email")
    assert save.optional == {"nick"}
    lines = SAVE.splitlines(keepends=True)
    without, whole = save.variants()
    expected = "".join(lines[:1] + lines[2:4] + lines[5:7] + lines[8:])
    assert without.substituted({"org_id": ":org_id", "email": ":email"}) == (
        expected.rstrip() + " /* app.search */"
    )
    assert (without.given, whole.given) == (frozenset(), frozenset({"nick"}))
    assert whole.parameters == ("org_id", "nick", "email")


def test_a_mark_may_name_several_parameters_that_are_given_together() -> None:
    pair = compiled("insert into t (a,\n  lat, lng, --? :lat, :lng\n  b) values (1,\n  :lat, :lng, --?\n  2)")
    assert pair.optional == {"lat", "lng"}
    assert [variant.given for variant in pair.variants()] == [frozenset(), frozenset({"lat", "lng"})]
    with pytest.raises(BindError, match="lat is given without lng, its line needs both"):
        pair.variant({"lat"})


def test_a_line_of_a_flag_stays_if_the_flag_is_true() -> None:
    tasks = compiled(
        "select 1 from t where a = :a\n  and done is null --? only_open\n  and b = :a --? only_open"
    )
    assert tasks.choices == {"only_open": (False, True)}
    assert tasks.optional == frozenset()
    off, on = tasks.variants()
    assert (off.choices, on.choices) == ({"only_open": False}, {"only_open": True})
    assert off.sql == "select 1 from t where a = $1 /* app.search */"
    assert "and done is null" in on.sql
    assert "and b = $1" in on.sql
    assert tasks.variant().sql == off.sql


def test_a_flag_is_a_bool_and_nothing_that_equals_one() -> None:
    tasks = compiled("select 1 from t where a = :a\n  and done is null --? only_open")
    for other in ("true", "True", 1, None):
        with pytest.raises(BindError, match="the choice only_open has no such value"):
            tasks.variant((), {"only_open": other})  # type: ignore[dict-item]


def test_flags_choices_and_parameters_multiply_the_texts() -> None:
    every = compiled(
        "select 1 from t where true\n  and a --? x\n  and b --? y\n  and c = :c --?\n"
        "order by\n 1, --? o=one\n 2, --? o=two\n 3"
    )
    assert len({variant.sql for variant in every.variants()}) == 2 * 2 * 2 * 2
