"""The batched form of a read is planned next to the single one, and its loss is reported."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis.batched_plans import lost_by_batching
from plainsql.statements import Variant, compile_body


@pytest.fixture(scope="module")
def bills(database_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create extension vector;
            create table customer (id int primary key, name text not null);
            create table bill (
              id int primary key, customer_id int not null references customer, at timestamptz not null,
              words tsvector not null, meaning vector(3) not null
            );
            create index bill_customer_idx on bill (customer_id, at desc, id);
            create index bill_words_idx on bill using gin (words);
            create index bill_meaning_idx on bill using hnsw (meaning vector_cosine_ops);
            """
        )
        yield connection


def variant(sql: str) -> Variant:
    return compile_body(sql, name="t", path="t.sql", line=1).variant()


@pytest.mark.parametrize(
    "sql",
    [
        "select c.name from customer as c where c.id = :id",
        "select c.name from customer as c where c.id = any(:ids::int[])",
        "select b.id from bill as b where b.customer_id = :id order by b.at desc, b.id limit :most",
        "select max(b.at) from bill as b where b.customer_id = :id",
        "select b.id from bill as b where b.words @@ to_tsquery('simple', :words) order by b.id limit 5",
        "select b.id from bill as b order by b.meaning <=> :meaning::vector limit 5",
        "select c.name, b.at from customer as c left join bill as b on b.customer_id = c.id where c.id = :id",
        "select 1",
    ],
)
def test_the_same_indexes_serve_many_calls(bills: psycopg.Connection[Any], sql: str) -> None:
    assert lost_by_batching(bills, variant(sql)) == ""


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        (
            """
            select s.n from (select b.customer_id, count(*) as n from bill as b group by b.customer_id) as s
            where s.customer_id = :id
            """,
            "b would be read without an index",
        ),
        (
            """
            select s.id from (
              select b.id, b.customer_id, row_number() over (partition by b.customer_id) as n from bill as b
            ) as s
            where s.customer_id = :id and s.n = 1
            """,
            "b would be read without an index",
        ),
    ],
)
def test_an_index_that_is_lost_is_named(bills: psycopg.Connection[Any], sql: str, lost: str) -> None:
    assert lost_by_batching(bills, variant(sql)) == lost


def test_nothing_of_it_stays_in_the_session(bills: psycopg.Connection[Any]) -> None:
    lost_by_batching(bills, variant("select c.name from customer as c where c.id = :id"))
    assert bills.execute("show enable_seqscan").fetchone() == ("on",)
    assert bills.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
