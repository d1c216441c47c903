"""Both executors on a database of the module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.types.both import Both, both_executors

SCHEMA = """
create extension if not exists vector;
create extension if not exists citext;
create extension if not exists ltree;
create type mood as enum ('sad', 'ok', 'so "happy", really');
create domain positive as integer check (value > 0);
create domain tags as text[];
create domain payload as jsonb;
create type address as (street text, number integer);
create type person as (name text, born date, home address, former address[], mood mood);
create type nothing as ();
create type single as (a integer);
create type visit as (at timestamptz, day date);
create type document as (title text, words tsvector);
create domain home as address;
create type span as range (subtype = float8);
create type text_span as range (subtype = text);
"""


@pytest.fixture(scope="module")
def both(database_url: str) -> Iterator[Both]:
    with both_executors(database_url, statements=SCHEMA) as both:
        yield both
