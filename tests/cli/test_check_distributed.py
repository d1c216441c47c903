"""``plainsql check --distributed``: queries of one tenant, and keys that hold the tenant."""

from __future__ import annotations

import json

import pytest

from plainsql.analysis.distribution.findings import DISTRIBUTION_FINDINGS
from tests.cli.conftest import Command, Write

TABLES = """\
create table customers (
  tenant_id int not null,
  id int not null,
  email text,
  primary key (tenant_id, id)
);

create unique index customers_email_idx on customers (email) where tenant_id > 0;

create table orders (
  tenant_id bigint not null,
  id int generated always as identity,
  customer_id int,
  parent_id int,
  constraint orders_pkey primary key (id),
  constraint orders_customer_fkey foreign key (tenant_id, customer_id)
  references customers (tenant_id, id) on delete set null (customer_id),
  constraint orders_parent_fkey foreign key (parent_id) references orders (id)
);

-- allow: table-without-tenant: every server reads it from the first one
create table days (day date primary key);

create table countries (code text primary key);

create table "Visits" (at timestamptz);
"""
SOUND = """\
create table customers (tenant_id int not null, id int not null, primary key (tenant_id, id));
create table countries (code text primary key);
"""


def query(name: str, sql: str, *header: str) -> dict[str, str]:
    lines = ["-- Some.", "-- returns: many value", *(f"-- {each}" for each in header), sql]
    return {f"sql/shop/{name}.sql": "\n".join(lines) + "\n"}


OF_ONE = query("of_one", "select c.id from customers as c where c.tenant_id = :tenant_id")
OF_ALL = query("of_all", "select c.id\nfrom customers as c\nwhere c.id = :id")
BY_SETTING = "select customers.id\nfrom customers\nwhere customers.tenant_id = current_setting('app.t')::int"


def test_keys_without_the_tenant_are_found_at_their_statements(write: Write, command: Command) -> None:
    write({"pyproject.toml": "[tool.plainsql]\n", "migrations/0001_tables.sql": TABLES, **OF_ONE})
    done = command("check", "--distributed", "tenant_id", "--reference", "public.countries")
    assert done.code == 1
    problems = [line for line in done.out.splitlines() if line.startswith("migrations/")]
    assert problems == [
        (
            "migrations/0001_tables.sql:8:1: the unique key customers_email_idx of public.customers does not"
            " hold tenant_id: each server would check its own rows only [key-without-tenant]"
        ),
        (
            "migrations/0001_tables.sql:10:1: the primary key orders_pkey of public.orders does not hold"
            " tenant_id: each server would check its own rows only [key-without-tenant]"
        ),
        (
            "migrations/0001_tables.sql:10:1: the foreign key orders_customer_fkey of public.orders to"
            " public.customers compares tenant_id as bigint with integer: equal tenants may be on different"
            " servers [reference-without-tenant]"
        ),
        (
            "migrations/0001_tables.sql:10:1: the foreign key orders_parent_fkey of public.orders to"
            " public.orders does not compare tenant_id: the rows may be on different servers"
            " [reference-without-tenant]"
        ),
        (
            'migrations/0001_tables.sql:26:1: the table public."Visits" has no column tenant_id'
            " [table-without-tenant]"
        ),
    ]


def test_queries_of_several_tenants_are_found_and_allowed(write: Write, command: Command) -> None:
    write({"pyproject.toml": "[tool.plainsql]\n", "migrations/0001_tables.sql": SOUND, **OF_ONE, **OF_ALL})
    options = ("--distributed", "tenant_id", "--reference", "public.*")
    assert "no table" in command("check", "--distributed", "owner_id").err
    assert "did you mean tenant_id?" in command("check", "--distributed", "tenant-id").err
    assert "there is no table 'public.none'" in command("check", *options[:3], "public.none").err
    done = command("check", *options[:3], "public.countries", "--format", "json")
    assert done.code == 1
    found = json.loads(done.out)
    assert [(each["name"], each["path"], each["line"], each["column"]) for each in found["problems"]] == [
        ("fans-out", "sql/shop/of_all.sql", 4, 6)
    ]
    assert {each["query"]: (each["kind"], each["by"]) for each in found["queries"]} == {
        "shop.of_all": ("joined", ""),
        "shop.of_one": ("tenant", ":tenant_id"),
    }
    allowed = "allow: fans-out: it is a report"
    write({**query("of_all", "select c.id from customers as c where c.id = :id", allowed)})
    done = command("check", *options[:3], "public.countries")
    assert (done.code, done.out.splitlines()[-1]) == (0, "clean: 2 queries, 2 tables, 0.0 s")
    assert (
        "allow" not in command("check", "--sql-only").out
    )  # the other checks do not know whether it is needed
    write({**query("of_one", "select c.id from customers as c where c.tenant_id = :tenant_id", allowed)})
    done = command("check", *options[:3], "public.countries")
    assert done.code == 1
    assert "sql/shop/of_one.sql:3:11: allows 'fans-out', which is not found here" in done.out


def test_notes_name_what_citus_does_otherwise(write: Write, command: Command) -> None:
    write({"pyproject.toml": "[tool.plainsql]\n", "migrations/0001_tables.sql": SOUND, **OF_ONE})
    write(query("by_setting", BY_SETTING))
    write(query("no_alias", "select customers.id\nfrom customers"))
    options = ("check", "--distributed", "tenant_id", "--reference", "public.countries")
    done = command(*options)
    assert (
        "note: Citus: the tenant is the setting app.t, and no parameter or constant: it runs on all shards:"
        " shop.by_setting" in done.out
    )
    assert "sql/shop/no_alias.sql:4:6: it reads every tenant" in done.out
    found = {
        each["query"]: each["citus"]
        for each in json.loads(command(*options, "--format", "json").out)["queries"]
    }
    assert (bool(found["shop.by_setting"]), found["shop.of_one"]) == (True, [])


def test_options_that_do_not_fit_are_refused(write: Write, command: Command) -> None:
    write({"pyproject.toml": "[tool.plainsql]\n", "migrations/0001_tables.sql": SOUND, **OF_ONE})
    assert "--distributed: expected no --schema with it" in (
        command("check", "--distributed", "tenant_id", "--schema").err
    )
    assert "--reference: expected --distributed with it" in command("check", "--reference", "a.b").err
    assert "expected a column, got nothing" in command("check", "--distributed", "").err


@pytest.mark.parametrize("name", DISTRIBUTION_FINDINGS)
def test_every_finding_has_a_page(name: str, command: Command) -> None:
    assert name in command("check", "--explain", name).out
