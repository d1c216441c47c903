"""``plainsql test``: examples on seeded data, and the committed files of their results."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Write

PROJECT = {
    "pyproject.toml": '[tool.plainsql]\nseed = "tests/seed"\n',
    "migrations/0001_shop.sql": (
        "create schema shop;\n"
        "create table shop.orders (\n"
        "  id bigint generated always as identity primary key,\n"
        "  state text not null,\n"
        "  total numeric(10, 2) not null,\n"
        "  weight double precision,\n"
        "  note text,\n"
        "  tags text[] not null default '{}',\n"
        "  data jsonb,\n"
        "  raw bytea,\n"
        "  created timestamptz not null default now()\n"
        ");\n"
        "create table shop.items (\n"
        "  id bigint generated always as identity primary key,\n"
        "  order_id bigint not null references shop.orders (id) deferrable initially deferred,\n"
        "  name text not null\n"
        ");\n"
    ),
    # 2_ before 10_.
    "tests/seed/10_items.sql": "copy shop.items (order_id, name) from stdin;\n1\ta\n1\tsecond\n3\tc\n\\.\n",
    "tests/seed/2_orders.sql": (
        "insert into shop.orders (state, total, weight, note, tags, data, raw, created)\n"
        "values\n"
        "  ('open', 12.50, 0.1, null, '{a,null}', '{\"n\": 1.50}', '\\x00ff', '2026-01-01 10:00+02'),\n"
        "  ('open', 7, random(), 'null', '{}', null, null, '2026-01-02 00:00+00'),\n"
        "  ('closed', 1, 'NaN', 'é', '{}', null, null, '2026-01-03 00:00+00');\n"
    ),
    "sql/shop/list.sql": (
        "-- Orders.\n-- returns: many Order\n-- example: state = 'open'\n-- example: state = 'closed'\n"
        "select o.id, o.state, o.total, o.weight, o.note, o.tags, o.data, o.raw, o.created\n"
        "from shop.orders as o\nwhere o.state = :state\norder by o.created, o.id\nlimit 10\n"
    ),
    "sql/shop/add.sql": (
        "-- Add an order.\n-- returns: one Added\n-- example: state = 'open', total = 3\n"
        "insert into shop.orders as o (state, total) values (:state, :total)\n"
        "returning o.id, o.total, o.created, gen_random_uuid() as token, random() as luck\n"
    ),
    "sql/shop/close.sql": (
        "-- Close an order.\n-- returns: count\n-- example: id = 1\n"
        "update shop.orders as o set state = 'closed' where o.id = :id\n"
    ),
    "sql/shop/with_items.sql": (
        '-- Orders with their items.\n-- returns: many WithItems\nselect o.id, i.id as "items[].id", '
        'i.name as "items[].name"\nfrom shop.orders as o\nleft join shop.items as i on i.order_id = o.id\n'
    ),
    "sql/shop/average.sql": (
        "-- The average weight.\n-- returns: many value\nselect avg(o.weight) as weight\n"
        "from shop.orders as o\nwhere o.state = 'open'\n"
    ),
    "sql/shop/untested.sql": "-- Count.\n-- returns: value\nselect count(*) as n from shop.orders\n",
}

LIST = """\
    "state = 'open'": {
      "rows": [
        {
          "id": 1,
          "state": "open",
          "total": 12.50,
          "weight": 0.1,
          "note": null,
          "tags": ["a", null],
          "data": {"n": 1.50},
          "raw": "\\\\x00ff",
          "created": "2026-01-01T08:00:00+00:00"
        },
"""


def change(path: str, old: str, new: str) -> None:
    """Replace a text of a file, which must be in it."""
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_results_are_written_and_compared_until_a_person_accepts_a_change(
    write: Write, command: Command
) -> None:
    write(PROJECT)
    done = command("test")
    assert done.code == 1
    assert "sql/shop/close.sql:3:4: shop.close, id = 1: results/shop/close.json has no result" in done.out
    assert "HINT: write it: plainsql test --update shop.close\n" in done.out
    assert done.out.endswith("4 missing: 4 cases, 0.0 s\n")
    done = command("test", "--update")
    assert (done.code, done.out.splitlines()[-1]) == (0, "4 new: 4 cases, 0.0 s")
    # A query without an example gets a case if its name is given.
    assert command("test", "--update", "shop.with_items", "sql/shop/average.sql").code == 0
    done = command("test")
    assert (done.code, done.out, done.err) == (0, "6 same: 6 cases, 0.0 s\n", "")
    text = Path("results/shop/list.json").read_text(encoding="utf-8")
    assert LIST in text
    assert ('"note": "null"' in text, '"weight": "NaN"' in text, '"note": "é"' in text) == (True,) * 3
    added = json.loads(Path("results/shop/add.json").read_text(encoding="utf-8"))["cases"]
    ((row,), count) = added["state = 'open', total = 3"]["rows"], added["state = 'open', total = 3"]["count"]
    assert (count, row["id"], row["created"], row["token"], type(row["luck"])) == (1, 4, "…", "…", float)
    assert json.loads(Path("results/shop/close.json").read_text())["cases"] == {"id = 1": {"count": 1}}
    items = json.loads(Path("results/shop/with_items.json").read_text())["cases"]["no arguments"]["rows"]
    assert items[0] == {"id": 1, "items": [{"id": 1, "name": "a"}, {"id": 2, "name": "second"}]}
    assert items[1] == {"id": 2, "items": []}

    # Floats have a tolerance, decimals and texts have none; another order is a difference only if proved.
    weight = json.loads(Path("results/shop/average.json").read_text())["cases"]["no arguments"]["rows"][0]
    change("results/shop/average.json", str(weight), f"{weight + 1e-12:.16f}")
    assert command("test", "shop.average").code == 0
    change("results/shop/average.json", f"{weight + 1e-12:.16f}", str(weight + 1e-3))
    assert command("test", "shop.average").code == 1
    assert command("test", "shop.average", "--tolerance", "0.01").code == 0
    change("sql/shop/list.sql", "order by o.created, o.id", "order by o.created desc, o.id")
    change("sql/shop/with_items.sql", "on i.order_id = o.id", "on i.order_id = o.id order by i.name desc")
    change("results/shop/list.json", '"total": 1.00', '"total": 1.0')
    change("results/shop/add.json", '"count": 1', '"count": 2')
    done = command("test", "shop.*")
    assert done.code == 1
    assert "shop.list, state = 'open': 1 difference from results/shop/list.json [failed]\n" in done.out
    assert "  row 1: the expected rows come back in another order\n" in done.out
    assert "  row 1, total: expected 1.0, got 1.00\n" in done.out
    assert (
        "  count: expected 2, got 1\nHINT: if the new result is right, write it: plainsql test " in done.out
    )
    assert done.out.splitlines()[-1] == "4 failed, 2 same: 6 cases, 0.0 s"
    found = {
        each["case"]: each for each in json.loads(command("test", "--format", "json").out) if each["case"]
    }
    assert (found["id = 1"]["state"], found["state = 'closed'"]["state"]) == ("same", "failed")

    # An accepted change keeps placeholders; what has gone is removed.
    change("sql/shop/add.sql", "o.total, o.created", "o.total + 1 as total, o.created")
    change("results/shop/add.json", '"id": 4', '"id": "…"')
    change("sql/shop/list.sql", "-- example: state = 'closed'\n", "")
    Path("sql/shop/close.sql").unlink()
    Path("results/other.json").write_text("{}")
    done = command("test")
    assert "results/shop/list.json: the case \"state = 'closed'\" is no example of shop.list" in done.out
    assert "results/shop/close.json: its query has no case [leftover]\n" in done.out
    assert command("test", "--update").code == 0
    assert '{"id": "…", "total": 4.00, "created": "…"' in Path("results/shop/add.json").read_text()
    assert "closed" not in Path("results/shop/list.json").read_text()
    assert (Path("results/shop/close.json").exists(), Path("results/other.json").exists()) == (False, True)
    assert command("test").code == 0


def test_what_cannot_run_is_reported_at_its_place(write: Write, command: Command) -> None:
    write(PROJECT)
    assert command("test", "--update").code == 0
    change("sql/shop/list.sql", "state = 'closed'", "state = null")
    change("sql/shop/close.sql", "id = 1", "id = 'one'")
    change("results/shop/add.json", '"cases": {', '"cases": {{')
    write(
        {
            # The foreign key is checked at the end of a transaction.
            "sql/shop/item.sql": "-- Add.\n-- returns: count\n-- example: id = 99\n"
            "insert into shop.items (order_id, name) values (:id, 'x')\n",
        }
    )
    done = command("test")
    assert done.code == 1
    assert "results/shop/add.json:4:13: expecting property name" in done.out
    assert "sql/shop/close.sql:5:" in done.out or "sql/shop/close.sql:4:" in done.out
    assert "shop.close, id = 'one': invalid input syntax for type bigint: \"one\"" in done.out
    assert 'shop.item, id = 99: insert or update on table "items" violates foreign key constraint' in done.out
    assert "shop.list, state = null: results/shop/list.json has no result of this case" in done.out
    done = command("test", "--format", "github")
    assert "::error file=" in done.out
    assert ("sql,line=4,col=4" in done.out, done.err.endswith(" cases, 0.0 s\n")) == (True, True)
    done = command("test", "--update")
    assert (done.code, "refused" in done.out) == (1, True)

    for arguments, message in (
        (["test", "shop.untested"], "shop.untested has no cases\nHINT: write its results with --update"),
        (["test", "shop.lists"], "there is no query 'shop.lists'\nHINT: did you mean shop.list?"),
        (["test", "--tolerance", "2"], "--tolerance"),
    ):
        done = command(*arguments)
        assert (done.code, message in done.err) == (2, True), done
    change("tests/seed/2_orders.sql", "'NaN', 'é'", "'Nothing', 'é'")
    done = command("test")
    place = "tests/seed/2_orders.sql:5:17: invalid input syntax for type double precision"
    assert (done.code, done.err.splitlines()[0]) == (2, f'{place}: "Nothing" (SQLSTATE 22P02)')
    change("pyproject.toml", "tests/seed", "tests/none")
    assert command("test").err.startswith("seed in [tool.plainsql]: there is no file or folder tests/none\n")


def test_new_migrations_are_tested_on_the_data_of_a_ref(write: Write, command: Command) -> None:
    write(PROJECT)
    assert command("test", "--update", "shop.with_items").code == 0
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "The shop")
    git("tag", "v1.4")
    write(
        {
            "migrations/0002_closed.sql": (
                "alter table shop.orders add column open boolean;\n"
                "update shop.orders set state = 'closed', note = 'old' where total < 12;\n"
            ),
            "sql/shop/new.sql": "-- New.\n-- returns: many value\n-- example: id = 1\n"
            "select o.id from shop.orders as o where o.id = :id\n",
        }
    )
    # A new column is no change of the data.
    change("sql/shop/list.sql", "o.total, o.weight", "o.total, o.open, o.weight")
    change("sql/shop/close.sql", "state = 'closed'", "state = 'closed', gone = 1")
    done = command("test", "--since", "v1.4")
    assert done.code == 1
    assert (
        "shop.list, state = 'open': 1 difference from the result at v1.4 [failed]\n  missing row 2: "
        in done.out
    )
    assert '  row id = 3, note: expected "é", got "old"\n  unexpected row: {"id": 2, ' in done.out
    assert "shop.list, state = 'closed': 2 differences from the result at v1.4 [failed]\n" in done.out
    assert "HINT: compare the texts of the query: git diff v1.4 -- sql/shop/list.sql\n" in done.out
    assert 'shop.close, id = 1: after the migrations: column "gone" ' in done.out
    assert "note: not compared: shop.new, id = 1: the query is new\n" in done.out
    assert done.out.endswith(
        "2 failed, 1 refused, 2 same: 5 cases, after 1 new migration since v1.4, 0.0 s\n"
    )
    git("checkout", "--", "sql")
    done = command("test", "--since", "v1.4", "shop.list")
    assert "HINT: read the new migrations: 0002_closed\n" in done.out
    done = command("test", "--since", "v1.3")
    assert (done.code, done.err.startswith("v1.3: there is no such commit")) == (2, True)
    done = command("test", "--since", "v1.4", "--update")
    assert (done.code, done.err.startswith("--since and --update: expected one of them")) == (2, True)


def git(*arguments: str) -> None:
    """Run git in the working folder."""
    settings = ("-c", "user.name=you", "-c", "user.email=you@example.org")
    subprocess.run(["git", *settings, *arguments], check=True, capture_output=True)


POLICY = """\
create table notes (id int primary key, tenant text not null, note text not null);
alter table notes enable row level security;
create policy own on notes using (tenant = current_setting('app.jwt_tenant', true));
"""


@pytest.mark.parametrize("tenant", ["acme", ""])
def test_a_case_sees_the_rows_of_the_tenant_that_is_set(write: Write, command: Command, tenant: str) -> None:
    write(
        {
            "pyproject.toml": f'[tool.plainsql]\nseed = "seed.sql"\ntest_tenant = "{tenant}"\n',
            "migrations/0001_notes.sql": POLICY,
            "seed.sql": "insert into notes values (1, 'acme', 'ours'), (2, 'other', 'theirs');\n",
            "sql/notes.sql": "-- Notes.\n-- returns: many Note\nselect n.id, n.note from notes as n\n",
        }
    )
    done = command("test", "--update", "notes")
    if tenant:
        assert (done.code, done.err) == (0, "")
        assert (
            '"rows": [\n        {"id": 1, "note": "ours"}\n      ]' in Path("results/notes.json").read_text()
        )
    else:
        assert (done.code, Path("results").exists()) == (1, False)
        assert "test_tenant in [tool.plainsql]: the policies read app.jwt_tenant" in done.out
        assert "HINT: name the tenant of the cases" in done.out
