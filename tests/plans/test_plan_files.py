"""Plan files: what is recorded of a plan, and how it is compared with the plan of today."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainsql.plans.baseline.judgement import Verdict, judge
from plainsql.plans.baseline.magnitude import keep_step, nearest_step
from plainsql.plans.baseline.plan_file import MARK, PlanFileError, RecordedPlan, parse_plans, render_plans
from plainsql.plans.baseline.plan_folder import PlanFolder
from plainsql.plans.baseline.recorded_node import RecordedNode, quoted_name
from plainsql.plans.baseline.side_by_side import side_by_side
from plainsql.plans.baseline.variant_sets import describe_sets, matches, parse_set, render_set

ORDERS, PEOPLE, SMALL = "shop.orders", "shop.people", "shop.small"


def scan(kind: str, table: str, index: str = "", *notes: str) -> RecordedNode:
    return RecordedNode(kind, table, index, notes)


def over(kind: str, *children: RecordedNode) -> RecordedNode:
    return RecordedNode(kind, children=children)


BY_ID = scan("index scan", ORDERS, "orders_pkey")
BY_DAY = scan("index scan", ORDERS, "orders_day_idx")
ALL = scan("seq scan", ORDERS, "", "filtered")


# -- Steps


@given(st.floats(1, 1e12), st.floats(0.77, 1.3))
def test_a_small_change_moves_no_step(value: float, change: float) -> None:
    step = nearest_step(value)
    assert keep_step(step, value * change) == step


def test_steps_are_ones_and_threes() -> None:
    steps = [nearest_step(value) for value in (0, 0.2, 1.6, 1.8, 5, 6, 17, 18, 2_000_000, 5e11)]
    assert steps == [1, 1, 1, 3, 3, 10, 10, 30, 3_000_000, 300_000_000_000]


# -- Sets of variants


@given(st.lists(st.integers(0, 2), min_size=24, max_size=24), st.sets(st.integers(0, 23), max_size=20))
def test_sets_describe_each_variant_once(plans: list[int], missing: set[int]) -> None:
    every = product(("cheapest", "newest", "oldest"), *[("without", "with")] * 3)
    variants = [
        (dict(zip(["order", "a", "b", "c"], values, strict=True)), plan)
        for number, (values, plan) in enumerate(zip(every, plans, strict=True))
        if number not in missing
    ]
    described = describe_sets(variants)
    read = [(parse_set(render_set(each)), plan) for each, plan in described]
    assert read == described
    for facts, plan in variants:
        assert [found for each, found in described if matches(each, facts)] == [plan]


def test_parameters_without_an_influence_are_not_named() -> None:
    variants = [
        ({"order": order, "a": a, "b": b}, (order, b))
        for order, a, b in product(("cheapest", "newest"), ("without", "with"), ("without", "with"))
    ]
    assert [render_set(each) for each, _ in describe_sets(variants)] == [
        "without b; order = cheapest",
        "with b; order = cheapest",
        "without b; order = newest",
        "with b; order = newest",
    ]
    assert [render_set(each) for each, _ in describe_sets([(facts, 1) for facts, _ in variants])] == [
        "every variant"
    ]


# -- Files

NAMES = st.one_of(
    st.sampled_from(["orders", "a.b", 'a "b"', "on using, x", "naïve", "\n<b>\u202e"]), st.text(min_size=1)
)
NODES = st.recursive(
    st.builds(
        RecordedNode,
        st.sampled_from(["seq scan", "index only scan backward", "cte scan", "insert"]),
        st.builds(lambda schema, name: f"{quoted_name(schema)}.{quoted_name(name)}", NAMES, NAMES),
        st.one_of(st.just(""), NAMES.map(quoted_name)),
        st.sampled_from([(), ("filtered",), ("subplan", "filtered")]),
    ),
    lambda children: st.builds(
        RecordedNode,
        st.sampled_from(["limit", "hash left join"]),
        children=st.lists(children, min_size=1, max_size=2).map(tuple),
    ),
    max_leaves=5,
)


@given(st.lists(NODES, min_size=1, max_size=3, unique=True))
def test_a_file_reads_back_as_it_was_written(nodes: list[RecordedNode]) -> None:
    recorded = [({"a": f"v{at}"}, RecordedPlan(30, 10**at, node)) for at, node in enumerate(nodes)]
    text = render_plans("sql/shop/orders/list.sql", recorded)
    assert parse_plans(text) == recorded
    assert render_plans("sql/shop/orders/list.sql", parse_plans(text)) == text
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("  cost", "<<<<<<< HEAD\n  cost", 4),
        ("rows ~100", "rows ~100.0", 4),
        ("    index", "      index", 6),
        ("every variant\n", "", 3),
        ("  limit\n", "  Limit\n", 5),
        ("using orders_pkey\n", "using orders_pkey\n\nwith a\n", 8),
    ],
)
def test_a_line_that_was_not_written_is_found(before: str, after: str, line: int) -> None:
    plan = RecordedPlan(30, 100, over("limit", BY_ID))
    text = render_plans("sql/shop/orders/list.sql", [({}, plan)])
    assert before in text
    with pytest.raises(PlanFileError) as refused:
        parse_plans(text.replace(before, after))
    assert refused.value.line == line


def test_the_files_of_another_database_are_no_leftovers(tmp_path: Path) -> None:
    folder = PlanFolder(tmp_path / "plans", tmp_path / "sql")
    kept, gone = (folder.file(str(tmp_path / "sql/shop" / name)) for name in ("list.sql", "gone.sql"))
    other = tmp_path / "plans/reports/daily.plan"
    for file in (kept, gone, other):
        folder.write(file, f"{MARK} the plans of a query\n")
    (tmp_path / "plans/link.plan").symlink_to(kept)
    assert folder.leftovers([kept], [tmp_path / "plans/reports", tmp_path / "plans"]) == [gone]
    folder.remove(gone)
    assert folder.leftovers([kept]) == [other]


# -- Comparison


@pytest.mark.parametrize(
    ("recorded", "now", "cost", "verdict", "reason"),
    [
        (BY_ID, BY_ID, 30, "same", ""),
        (BY_ID, BY_ID, 74, "same", ""),
        (BY_ID, BY_ID, 76, "different", "costs about 100, not 30"),
        (BY_ID, BY_ID, 300, "worse", "costs about 10 times as much"),
        (BY_ID, BY_ID, 10, "better", "costs about 10, not 30"),
        (BY_ID, ALL, 30, "worse", "scans shop.orders; no longer uses orders_pkey on shop.orders"),
        (BY_ID, ALL, 3, "better", "does other work"),
        (ALL, BY_ID, 30, "different", "now uses orders_pkey on shop.orders"),
        (ALL, BY_ID, 3, "better", "now uses orders_pkey on shop.orders"),
        (BY_ID, BY_DAY, 30, "different", "now uses orders_day_idx on shop.orders"),
        (BY_ID, BY_DAY, 100, "worse", "no longer uses orders_pkey on shop.orders"),
        (ALL, scan("parallel seq scan", ORDERS), 30, "different", "does other work"),
        (BY_ID, over("sort", BY_ID), 100, "worse", "does other work at a higher cost"),
        (BY_ID, scan("index scan", ORDERS, "orders_pkey", "filtered"), 30, "different", "does other work"),
        (scan("seq scan", PEOPLE), scan("seq scan", SMALL), 30, "different", "does other work"),
        (
            scan("index scan", SMALL, "small_pkey"),
            scan("seq scan", SMALL),
            30,
            "different",
            "does other work",
        ),
        (
            scan("index scan", SMALL, "small_pkey"),
            scan("seq scan", SMALL),
            100,
            "worse",
            "no longer uses small_pkey on shop.small",
        ),
    ],
)
def test_a_plan_is_judged_by_the_recorded_one(
    recorded: RecordedNode, now: RecordedNode, cost: float, verdict: Verdict, reason: str
) -> None:
    found = judge(RecordedPlan(30, 10, recorded), now, cost, 10, large={ORDERS, PEOPLE})
    assert (found.verdict, "; ".join(found.reasons)) == (verdict, reason)
    if verdict == "same":
        assert found.now is found.recorded


def test_another_cheap_plan_is_not_worse() -> None:
    recorded = RecordedPlan(3, 1, BY_ID)
    found = [judge(recorded, over("sort", BY_ID), cost, 1, large={ORDERS}).verdict for cost in (8, 29)]
    assert found == ["different", "different"]


def test_the_sides_of_a_join_with_equal_costs_are_no_change() -> None:
    one = over("hash join", scan("seq scan", ORDERS), over("hash", scan("seq scan", PEOPLE)))
    other = over("hash join", scan("seq scan", PEOPLE), over("hash", scan("seq scan", ORDERS)))
    left = over("hash left join", scan("seq scan", ORDERS), over("hash", scan("seq scan", PEOPLE)))
    right = over("hash right join", scan("seq scan", PEOPLE), over("hash", scan("seq scan", ORDERS)))
    recorded = RecordedPlan(30, 10, over("limit", one))
    assert judge(recorded, over("limit", other), 30, 10, large=()).now is recorded
    assert left.key == right.key
    keys = {one.key, left.key, over("hash left join", *reversed(left.children)).key}
    assert len(keys) == 3
    loop = over("nested loop", scan("seq scan", ORDERS), scan("seq scan", PEOPLE))
    assert loop.key != over("nested loop", *reversed(loop.children)).key


def test_two_plans_are_printed_next_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    recorded = RecordedPlan(3, 1, over("limit", BY_ID))
    assert side_by_side(recorded, RecordedPlan(30_000, 1, ALL)) == [
        "recorded                                      | now",
        "cost ~3, rows ~1                              | cost ~30000, rows ~1",
        "limit                                         | seq scan on shop.orders, filtered",
        "  index scan on shop.orders using orders_pkey |",
    ]
    wide = RecordedPlan(3, 1, scan("index scan", ORDERS, "x" * 200))
    assert side_by_side(recorded, wide)[4:6] == ["", "now"]
    # Each line fits the terminal, with the indentation of the report.
    now = RecordedPlan(30_000, 1, ALL)
    width = max(map(len, side_by_side(recorded, now))) + 4
    for columns, beginning in ((width, "recorded   "), (width - 1, "recorded")):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = side_by_side(recorded, now)
        assert lines[0].startswith(beginning)
        assert ("now" in lines) == (columns < width)
        assert max(map(len, lines)) + 4 <= columns
