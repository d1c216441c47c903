"""``plainsql plans``: plan files are written, compared, accepted and removed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from plainsql.cli.app import main
from plainsql.plans.baseline.plan_file import MARK
from plainsql.plans.copy import open_plan_database
from plainsql.settings import Project
from tests.plans.conftest import MakeProject

SCHEMA = """
create schema shop;
create table shop.people (id bigint primary key, name text not null);
create table shop.orders (
  id bigint primary key,
  buyer_id bigint not null,
  state text not null,
  day date not null
);
create index orders_buyer_idx on shop.orders (buyer_id, day);
create index orders_state_idx on shop.orders (state, buyer_id);
create index orders_state_id_idx on shop.orders (state, id);
"""
LIST = """-- Orders of a buyer.
-- returns: many Order
select o.id, o.day
from shop.orders as o
where o.buyer_id = :buyer_id
  and o.day >= :after_day --? :after_day
  and o.state = :state --? :state
order by o.day, o.id
limit :limit
"""
COUNT = """-- Orders of a buyer, counted.
-- returns: one BuyerCount
select p.name, count(*) as orders
from shop.people as p
inner join shop.orders as o on p.id = o.buyer_id
where p.id = :id
group by p.name
"""
IN_STATE = """-- Is there any order in a state?
-- returns: one Found
select exists (select from shop.orders as o where o.state = :state) as found
"""
RENAME = """-- returns: count
update shop.people set name = :name where id = :id
"""
PROJECT = {
    "migrations/0001_shop.sql": SCHEMA,
    "migrations/0001_shop.rollback.sql": "drop schema shop cascade;\n",
    "sql/shop/orders/list.sql": LIST,
    "sql/shop/orders/count.sql": COUNT,
    "sql/shop/orders/in_state.sql": IN_STATE,
    "sql/shop/people/rename.sql": RENAME,
}
DROPPED = {
    "migrations/0002_drop.sql": "drop index shop.orders_buyer_idx;\n",
    "migrations/0002_drop.rollback.sql": "create index orders_buyer_idx on shop.orders (buyer_id, day);\n",
}

QUERIES = ["orders/count", "orders/in_state", "orders/list", "people/rename"]
COUNT_PLAN = f"""{MARK} the plans of sql/shop/orders/count.sql

every variant
  cost ~300, rows ~1
  hashaggregate
    nested loop
      index scan on shop.people using people_pkey
      index only scan on shop.orders using orders_buyer_idx
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """The project with its plan files; no statistics, so a million rows are assumed."""
    return make_project(PROJECT)


@pytest.fixture
def run(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "160")

    def plans(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["-C", str(project.root), "plans", *arguments])
        output = capsys.readouterr()
        return code, output.out + output.err

    return plans


def write(project: Project, files: dict[str, str]) -> None:
    for name, text in files.items():
        (project.root / name).write_text(text)


def files(project: Project) -> dict[str, str]:
    folder = project.root / "plans"
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def files_of(plans: Path, *names: str) -> list[str]:
    return [(plans / f"shop/{name}.plan").read_text() for name in names]


def test_ten_runs_write_the_same_files(project: Project, run: Run) -> None:
    code, output = run("--check")
    assert code == 1
    assert "sql/shop/orders/list.sql:3: shop.orders.list: there is no plan file [missing]" in output
    assert "1,000,000 rows are assumed in each table" in output
    assert files(project) == {}
    code, output = run()
    assert code == 0
    assert "4 new: 4 queries" in output
    written = files(project)
    assert [*written] == [f"shop/{name}.plan" for name in QUERIES]
    assert written["shop/orders/count.plan"] == COUNT_PLAN
    for _ in range(9):
        code, output = run()
        assert (code, files(project)) == (0, written)
    assert "no plan has changed: 4 queries" in output
    assert run("--check", "--strict")[0] == 0


def test_a_dropped_index_fails_until_its_queries_are_accepted(project: Project, run: Run) -> None:
    run()
    before = files(project)
    write(project, DROPPED)
    code, output = run("--check")
    assert code == 1
    assert "sql/shop/orders/list.sql:3: shop.orders.list: the plan turned worse [worse]" in output
    assert "scans shop.orders; no longer uses orders_buyer_idx on shop.orders; costs about" in output
    assert "limit                                                | limit\n" in output
    assert "index scan on shop.orders using orders_buyer_idx |     sort\n" in output
    assert "HINT: mend the query or the index, or take the plan: --accept shop.orders.count" in output
    assert "2 worse: 4 queries" in output
    # A worse plan is not written without a word.
    assert run()[0] == 1
    assert files(project) == before
    assert run("--accept", "*.count")[0] == 0
    changed = files(project)
    assert [name for name in before if before[name] != changed[name]] == ["shop/orders/count.plan"]
    code, output = run("--check", "--json")
    document = json.loads(output)
    states = {each["name"]: each["state"] for each in document["queries"]}
    assert code == 1
    assert states["shop.orders.list"] == "worse"
    assert {state for name, state in states.items() if name != "shop.orders.list"} == {"same"}
    first = document["queries"][2]["changes"][0]
    assert "    index scan on shop.orders using orders_buyer_idx" in first["recorded"]
    assert "scans shop.orders" in first["reasons"]
    assert run("--accept", "shop.orders.list", "--accept", "shop.people.rename")[0] == 0
    assert run("--check", "--strict")[0] == 0
    # With the index, the plans are better: no failure, unless all files are to be up to date.
    write(project, {"migrations/0003_again.sql": "create index again on shop.orders (buyer_id, day);\n"})
    code, output = run("--check")
    assert code == 0
    assert "now uses again on shop.orders" in output
    assert "2 better (plainsql plans writes the files)" in output
    assert run("--check", "--strict")[0] == 1
    assert "wrote plans/shop/orders/list.plan: better, now uses again" in run()[1].replace(
        os.path.relpath(project.root) + "/", ""
    )
    assert run("--check", "--strict")[0] == 0


def test_queries_without_a_file_and_files_without_a_query(project: Project, run: Run) -> None:
    run()
    plans = project.root / "plans"
    (project.root / "sql/shop/orders/count.sql").rename(project.root / "sql/shop/orders/counted.sql")
    broken = project.root / "sql/shop/people/broken.sql"
    broken.write_text("-- returns: many Person\nselect p.id, p.nam from shop.people as p where p.id = :id\n")
    (plans / "README.md").write_text("Plans.")
    (plans / "other.plan").write_text("of another program")
    code, output = run("--check")
    assert code == 1
    assert "people/broken.sql:2: shop.people.broken: column p.nam does not exist [refused]\nHINT: " in output
    assert "shop.orders.counted: there is no plan file [missing]" in output
    assert "plans/shop/orders/count.plan: its query is gone [leftover]" in output
    (plans / "shop/people/rename.plan").write_text(f"{MARK} x\n<<<<<<< HEAD\n")
    code, output = run("--check")
    assert code == 1
    assert "plans/shop/people/rename.plan:2 is not a line that plainsql writes [unreadable]" in output
    code, output = run()
    assert code == 1
    assert "1 refused, 1 new, 1 unreadable, 1 removed: 5 queries" in output
    broken.unlink()
    assert files(project)["other.plan"] == "of another program"
    assert {*files(project)} == {
        "README.md",
        "other.plan",
        *(f"shop/{name}.plan" for name in ("orders/counted", *QUERIES[1:])),
    }
    # A merge conflict from the first line on is that of a plan file; other programs' files are kept.
    listed, renamed = plans / "shop/orders/list.plan", plans / "shop/people/rename.plan"
    current = listed.read_text()
    listed.write_text(f"<<<<<<< HEAD\n{current}=======\n{current}>>>>>>> other\n")
    (plans / "shop/orders/counted.plan").write_text("of another program")
    (plans / "shop/orders/in_state.plan").write_text("syntax err")
    renamed.write_bytes(b"\xff\xfe")
    code, output = run("--check", "--json")
    found = {each["name"]: each for each in json.loads(output)["queries"]}
    assert (code, {each["state"] for each in found.values()}) == (1, {"unreadable"})
    assert [name for name, each in found.items() if not each.get("is_kept")] == ["shop.orders.list"]
    code, output = run()
    assert code == 1
    assert "counted.plan is not a file that plainsql wrote [unreadable]\n" in output
    assert "HINT: move the file, or replace it: --accept shop.orders.counted\n" in output
    assert "list.plan: unreadable\n" in output
    assert (listed.read_text(), renamed.read_bytes()) == (current, b"\xff\xfe")
    assert files_of(plans, "orders/counted", "orders/in_state") == ["of another program", "syntax err"]
    assert run("--accept", "*")[0] == 0
    assert run("--check", "--strict")[0] == 0
    (plans / "shop/orders/counted.plan").unlink()
    outside = project.root / "outside"
    (plans / "shop").rename(outside)
    (plans / "shop").symlink_to(outside)
    code, output = run()
    assert code == 2
    assert "plans/shop is a symbolic link" in output
    assert not (outside / "orders/counted.plan").exists()


def test_the_file_keeps_one_of_two_indexes_with_equal_costs(project: Project, run: Run) -> None:
    run()
    written = files(project)
    (used,) = re.findall("orders_state_[a-z]*_?idx", written["shop/orders/in_state.plan"])
    # Made again, the other index is the newer one of the two, and the planner takes that.
    columns = {"orders_state_idx": "state, buyer_id", "orders_state_id_idx": "state, id"}
    (other,) = columns.keys() - {used}
    again = f"drop index shop.{other};\ncreate index {other} on shop.orders ({columns[other]});\n"
    write(project, {"migrations/0002_again.sql": again})
    with open_plan_database(project) as database, closing(database.connect()) as connection:
        plan = connection.execute(
            "explain (generic_plan) select from shop.orders where state = $1"
        ).fetchall()
    assert other in str(plan)
    assert run("--check", "--strict")[0] == 0
    # Without it, the other index is not its equal but its successor.
    write(project, {"migrations/0003_gone.sql": f"drop index shop.{used};\n"})
    code, output = run("--check")
    assert code == 0
    assert f"now uses {other} on shop.orders" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--accept", "shop.orders.lists"),
            "--accept: there is no query 'shop.orders.lists'\nHINT: did you mean shop.orders.list?",
        ),
        (("--accept", "x"), "there is no query 'x'\nHINT: write its whole name or a pattern: "),
        (
            ("--accept", "shop.orders.*x"),
            "the pattern 'shop.orders.*x'\nHINT: for all queries of the folder: 'shop.orders.*'",
        ),
        (("--accept", "ship.*"), "HINT: a name is, for example, shop.orders.count"),
        (("--check", "--accept", "*"), "--check and --accept: expected one of them, got both"),
        (("--strict",), "--strict: expected --check with it, got none"),
    ],
)
def test_a_wrong_option_is_refused(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert message in output
