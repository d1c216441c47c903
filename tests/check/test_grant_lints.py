"""The lint of grants: the privileges that no query can need."""

from __future__ import annotations

from typing import Any

import psycopg

from plainsql.analysis.findings.grant_lints import grant_lints


def test_privileges_that_no_query_needs_are_named(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(
            b"""
            create schema shop;
            create role plainsql_test_wide;
            create role plainsql_test_wide_owner;
            create table shop.items (id int primary key);
            create table shop.enough (id int primary key);
            create table shop.emptied (id int primary key);
            create table shop.owned (id int primary key);
            alter table shop.owned owner to plainsql_test_wide_owner;
            grant truncate, trigger, select, insert on shop.items to plainsql_test_wide;
            grant select, insert, update, delete on shop.enough to plainsql_test_wide;
            grant truncate on shop.emptied to plainsql_test_wide;
            grant references on shop.enough to public;
            grant all on shop.enough to plainsql_test_wide_owner;
            grant usage, create on schema shop to plainsql_test_wide, plainsql_test_wide_owner;
            """
        )
        found = {lint.message: lint.words[0] for lint in grant_lints(connection, {"shop.emptied"})}
    app, needless = "plainsql_test_wide", "which no query needs"
    assert found == {
        f"{app} has create on schema shop, {needless}": ("grant", "create", "shop", app),
        f"{app} has trigger, truncate on shop.items, {needless}": ("grant", "items", app),
        f"public has references on shop.enough, {needless}": ("grant", "enough", "public"),
    }
