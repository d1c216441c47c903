"""The findings about searches by distance, each compared with what PostgreSQL itself does."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser

SCHEMA = """
create extension if not exists vector;
create table docs (
  id bigint primary key,
  tenant integer not null,
  cat text not null,
  words tsvector,
  e vector(16),
  part vector(16),
  half halfvec(16),
  sparse sparsevec(16),
  bits bit(16),
  other vector(16)
);
create index docs_tenant on docs (tenant);
create index docs_words on docs using gin (words);
create index docs_e on docs using hnsw (e vector_cosine_ops);
create index docs_half on docs using hnsw (half halfvec_l1_ops);
create index docs_sparse on docs using hnsw (sparse sparsevec_ip_ops);
create index docs_bits on docs using ivfflat (bits bit_hamming_ops);
create index docs_part on docs using hnsw (part vector_l2_ops) where cat in ('a', 'b');
create table chunks (id bigint primary key, e vector(16) not null, doc bigint not null);
create index chunks_cast on chunks using hnsw ((e::halfvec(16)) halfvec_l2_ops);
create index chunks_quantized on chunks using hnsw ((binary_quantize(e)::bit(16)) bit_hamming_ops);
create index chunks_first on chunks using hnsw ((subvector(e, 1, 8)::vector(8)) vector_ip_ops);
create domain embedding as vector(16);
create table domains (id bigint primary key, e embedding);
create index domains_e on domains using hnsw ((e::vector(16)) vector_cosine_ops);
create table owned (id bigint primary key, tenant text not null, e vector(16));
create index owned_e on owned using hnsw (e vector_cosine_ops);
create policy own on owned using (tenant = nullif(current_setting('a.b', true), ''));
create table secured (like owned including all);
create policy own on secured using (tenant = nullif(current_setting('a.b', true), ''));
alter table secured enable row level security;
create table hidden (like owned including all);
create policy own on hidden using (tenant = (select nullif(current_setting('a.b', true), '')));
alter table hidden enable row level security;
create table bare (id bigint primary key, tenant integer, "E" vector(16), long vector(3072));
create index bare_tenant on bare (tenant);
create table parts (id bigint, e vector(16)) partition by list (id);
create table parts_1 partition of parts for values in (1);
create index parts_1_e on parts_1 using hnsw (e vector_l2_ops);
create view seen as select d.id, d.e from docs as d;
"""
OPERATOR, INDEX = "vector-operator", "vector-index"
FROM_DOCS = "select d.id from docs as d order by {} limit $2"
FROM_CHUNKS = "select c.id from chunks as c order by {} limit $2"

# An order, or a statement, and its finding: none if PostgreSQL can use an index of vectors.
CASES = [
    (FROM_DOCS.format("d.e <=> $1"), ""),
    (FROM_DOCS.format("$1 <=> d.e"), ""),
    (FROM_DOCS.format("d.e <=> $1, d.id"), ""),
    (FROM_DOCS.format("d.e <=> $1 nulls last"), ""),
    (FROM_DOCS.format("d.e <=> $1 nulls first"), OPERATOR),
    (FROM_DOCS.format("d.e <=> $1 desc"), OPERATOR),
    (FROM_DOCS.format("1 - (d.e <=> $1) desc"), OPERATOR),
    (FROM_DOCS.format("(d.e <=> $1) + 0"), OPERATOR),
    (FROM_DOCS.format("d.e <-> $1"), OPERATOR),
    (FROM_DOCS.format("d.cat, d.e <=> $1"), OPERATOR),
    ("select d.id from docs as d where d.cat = 'a' order by d.cat, d.e <=> $1 limit 5", ""),
    (FROM_DOCS.format("cosine_distance(d.e, $1)"), OPERATOR),
    (FROM_DOCS.format("l2_distance(d.e, $1)"), OPERATOR),
    (FROM_DOCS.format("inner_product(d.sparse, $1) desc"), OPERATOR),
    (FROM_DOCS.format("d.half <+> $1"), ""),
    (FROM_DOCS.format("l1_distance($1, d.half)"), OPERATOR),
    (FROM_DOCS.format("d.half <=> $1"), OPERATOR),
    (FROM_DOCS.format("d.sparse <#> $1"), ""),
    (FROM_DOCS.format("d.sparse <-> $1"), OPERATOR),
    (FROM_DOCS.format("d.bits <~> $1"), ""),
    (FROM_DOCS.format("d.bits <%> $1"), OPERATOR),
    (FROM_DOCS.format("hamming_distance(d.bits, $1)"), OPERATOR),
    ("select d.id from docs as d order by d.e <=> d.other limit 5", OPERATOR),
    ("select d.id from docs as d, docs as o where o.id = 5 order by d.e <=> o.other limit 5", OPERATOR),
    ("select d.id from docs as d order by d.e <=> (select o.e from docs as o where o.id = 5) limit 5", ""),
    ("select d.id from docs as d cross join (select $1::vector as q) as a order by d.e <=> a.q limit 5", ""),
    (
        (
            "select n.id from docs as o cross join lateral (select d.id from docs as d order by d.e <=> o.e"
            " limit 5) as n where o.id = 5"
        ),
        "",
    ),
    ("select d.cat from docs as d group by d.cat order by min(d.e <=> $1) limit 5", OPERATOR),
    ("select d.id from docs as d where d.cat = 'a' order by d.part <-> $1 limit 5", ""),
    ("select d.id from docs as d where d.cat in ('a', 'b') order by d.part <-> $1 limit 5", ""),
    ("select d.id from docs as d where d.cat = $1 order by d.part <-> $2 limit $3", INDEX),
    (FROM_DOCS.format("d.part <-> $1"), INDEX),
    (FROM_DOCS.format("d.part <=> $1"), OPERATOR),
    (FROM_DOCS.format("d.e::halfvec(16) <=> $1"), INDEX),
    (FROM_CHUNKS.format("c.e::halfvec(16) <-> $1"), ""),
    (FROM_CHUNKS.format("c.e::halfvec(16) <-> $1::halfvec(16)"), ""),
    (FROM_CHUNKS.format("c.e::halfvec(16) <=> $1"), OPERATOR),
    (FROM_CHUNKS.format("l2_distance(c.e::halfvec(16), $1)"), OPERATOR),
    (FROM_CHUNKS.format("c.e::halfvec <-> $1"), INDEX),
    (FROM_CHUNKS.format("c.e <-> $1"), INDEX),
    (FROM_CHUNKS.format("binary_quantize(c.e)::bit(16) <~> binary_quantize($1::vector)"), ""),
    (FROM_CHUNKS.format("binary_quantize(c.e)::bit(16) <%> binary_quantize($1::vector)"), OPERATOR),
    (FROM_CHUNKS.format("binary_quantize(c.e) <~> binary_quantize($1::vector)"), INDEX),
    (FROM_CHUNKS.format("subvector(c.e, 1, 8)::vector(8) <#> subvector($1::vector, 1, 8)"), ""),
    (FROM_CHUNKS.format("subvector(c.e, 1, 4)::vector(4) <#> subvector($1::vector, 1, 4)"), INDEX),
    ("select d.id from domains as d order by d.e::vector(16) <=> $1 limit 5", ""),
    ("select d.id from domains as d order by d.e::vector(16) <-> $1 limit 5", OPERATOR),
    ('select b.id from bare as b order by b."E" <=> $1 limit 5', INDEX),
    ("select b.id from bare as b where b.tenant > $2 order by b.long <=> $1 limit $3", INDEX),
]
# Searches that need no index of vectors of this table: other indexes find the few rows that are sorted,
# partitions have their own, or the rows are those of another query.
EXACT = [
    "select c.id from chunks as c where c.id = any ($2) order by c.e <-> $1 limit 5",
    "select d.id from docs as d where d.id = any ($2) order by d.e <-> $1 limit 5",
    "select c.id from chunks as c where c.id in (select d.id from docs as d) order by c.e <-> $1 limit 5",
    "select d.id from docs as d where d.words @@ $2 order by d.other <-> $1 limit $3",
    "select b.id from bare as b where b.tenant = $2 order by b.long <=> $1 limit $3",
    (
        "with near as (select c.id from chunks as c order by binary_quantize(c.e)::bit(16)"
        " <~> binary_quantize($1::vector) limit $2) select c.id from near as n inner join chunks as c"
        " on c.id = n.id order by c.e <=> $1, c.id limit $3"
    ),
    "select s.id from (select b.id, b.long from bare as b limit 9) as s order by s.long <=> $1 limit 5",
    "select p.id from parts as p order by p.e <-> $1 limit $2",
    "select s.id from seen as s order by s.e <-> $1 limit 5",
    "select b.id from bare as b order by b.long <=> $1",
]


# A comparison or a cast of the columns of one row, and whether PostgreSQL refuses its dimensions.
REFUSED = [
    "d.e <=> '[1,2]'",
    "d.half <-> '[1,2]'",
    "d.sparse <-> '{1:1}/5'",
    "d.bits <~> b'1010'",
    "d.bits <%> '1010'::bit(4)",
    "d.bits & b'1010'",
    "d.e::halfvec(8)",
    "d.e::vector(8)",
    "d.e::sparsevec(8)",
    "d.half::vector(8)",
    "d.e + '[1,2]'::vector",
    "l2_distance(d.e, '[1,2]')",
    "jaccard_distance(d.bits, b'1010')",
    "subvector(d.e, 1, 8)::vector(9)",
    "subvector(d.e, 9, 16) <-> '[1,2]'::vector",
    "binary_quantize(d.e)::bit(8) <~> binary_quantize(d.e)",
    "binary_quantize(d.half) <~> d.bits::bit(8)",
    "l2_normalize(d.e) <=> subvector(d.other, 1, 8)",
    "d.e::halfvec <=> d.half::halfvec(16)::sparsevec::halfvec(4)",
]
ACCEPTED = [
    "d.bits = b'1010'",
    "d.e || '[1,2]'::vector",
    "d.e::halfvec(16) <=> d.half",
    "d.bits::bit(8) <~> b'10101010'",
    "d.bits || b'1010'",
    "subvector(d.e, 1, 8)::vector(8) <=> subvector(d.other, 1, 8)",
    "subvector(d.e, 9, 16) <=> subvector(d.other, 1, 8)",
    "binary_quantize(d.e)::bit(16) <~> d.bits",
    "d.e - d.other <-> d.half::vector(16)",
]


@pytest.fixture(scope="module")
def vectors(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A database with vectors of each type, in which the planner avoids sorts of whole tables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("set enable_seqscan = off")
        yield connection


@pytest.fixture(scope="module")
def of_vectors(vectors: psycopg.Connection[Any]) -> Generator[Analyser]:
    """An analyser of the same database."""
    with Analyser(vectors) as analyser:
        yield analyser


def found(analyser: Analyser, sql: str) -> list[tuple[str, str, str]]:
    findings = analyser.analyse(sql).findings
    names = ("vector-", "generic-")
    return [(f.name, f.message, f.hint) for f in findings if f.name.startswith(names) and not f.setting]


@pytest.mark.parametrize(("sql", "expected"), CASES, ids=[sql for sql, _ in CASES])
def test_a_search_has_a_finding_if_no_index_can_serve_it(
    vectors: psycopg.Connection[Any], of_vectors: Analyser, sql: str, expected: str
) -> None:
    plan = vectors.execute(f"explain (generic_plan) {sql}".encode()).fetchall()
    assert any("Order By:" in line for (line,) in plan) is not bool(expected)
    assert [name for name, _, _ in found(of_vectors, sql)] == [expected][: bool(expected)]


def test_each_finding_says_what_to_write(of_vectors: Analyser) -> None:
    said = {sql: found(of_vectors, sql)[0] for sql, expected in CASES if expected}
    assert said[FROM_DOCS.format("cosine_distance(d.e, $1)")] == (
        OPERATOR,
        "the index docs_e serves the operator <=>, and not the function cosine_distance()",
        "order by e <=> the vector",
    )
    assert said[FROM_DOCS.format("inner_product(d.sparse, $1) desc")][2] == (
        "order by sparse <#> the vector, ascending: it is the negative inner product"
    )
    assert said[FROM_CHUNKS.format("c.e <-> $1")] == (
        INDEX,
        "the index chunks_cast is on (e::halfvec(16)), and the order is by another expression",
        (
            "order by that of the index, letter by letter: (e::halfvec(16)) <-> the vector,"
            " or make an index on this one"
        ),
    )
    assert said[FROM_DOCS.format("d.part <-> $1")][1] == (
        "the index docs_part has only the rows where cat = ANY (ARRAY['a'::text, 'b'::text]),"
        " and the query may need others"
    )
    alone = "in a migration of its own that starts with '-- transactional: false':"
    hints = [hint for sql, (_, _, hint) in said.items() if " bare " in sql]
    assert hints == [
        f'{alone} create index concurrently on public.bare using hnsw ("E" vector_cosine_ops)',
        (
            f"{alone} create index concurrently on public.bare"
            " using hnsw ((long::halfvec(3072)) halfvec_cosine_ops)"
        ),
    ]


def test_an_index_that_is_missing_matters_for_a_large_table_alone(of_vectors: Analyser) -> None:
    for sql, expected in CASES:
        findings = [f for f in of_vectors.analyse(sql).findings if f.name == expected]
        assert {f.large for f in findings} <= {"public.bare" if " bare " in sql else ""}


def test_a_constant_limit_next_to_a_filter_is_found(of_vectors: Analyser) -> None:
    filtered = "select d.id from docs as d where d.tenant < $2 order by d.e <=> $1 limit "
    by_tenant = "select t.id from {} as t order by t.e <=> $1 limit "
    advice = "make the limit a parameter: 'limit :limit', with '-- param limit: 1..200 = 10' in the header"
    known = {
        filtered: (
            "a filter by a parameter: after some calls the plan may be one that does not know its value"
        ),
        by_tenant.format("secured"): (
            "the policy own: after some calls the plan may be that of another tenant"
        ),
    }
    for (sql, reason), limit in zip(known.items(), ("$3", "$2"), strict=True):
        message = f"limit 10 is a constant next to {reason}"
        assert found(of_vectors, f"{sql}10") == [("generic-plan", message, advice)]
        assert found(of_vectors, f"{sql}{limit}") == []
    # A policy that is not enabled, and one whose tenant no plan knows.
    assert [found(of_vectors, f"{by_tenant.format(name)}10") for name in ("owned", "hidden")] == [[], []]


@pytest.mark.parametrize("sql", EXACT)
def test_a_sort_that_another_index_may_serve_has_no_finding(of_vectors: Analyser, sql: str) -> None:
    assert found(of_vectors, sql) == []


NEAREST = "with n as (select d.id, d.e <=> $1 as distance from docs as d order by d.e <=> $1 limit $2) "
RELAXED = [
    (FROM_DOCS.format("d.e <=> $1, d.id"), True),
    (NEAREST + "select n.id from n order by n.distance, n.id", True),
    (NEAREST.replace("as (", "as materialized (") + "select n.id from n order by n.distance, n.id", True),
    (NEAREST + "select n.id from n order by n.distance + 0, n.id", False),
    (NEAREST + "select n.id from n order by n.distance desc", False),
    (NEAREST + "select n.id from n order by n.id", False),
    (NEAREST + "select n.id from n", True),
    (NEAREST + "select b.id from n inner join bare as b on b.id = n.id", True),
    (
        NEAREST + "select n.id, row_number() over (order by n.distance, n.id) as r from n order by r desc",
        True,
    ),
    (NEAREST + "select n.id, row_number() over (order by n.distance + 0) as r from n order by r desc", False),
    (NEAREST + ", m as (select n.id, n.distance as far from n) select m.id from m order by m.far", True),
    (NEAREST + ", m as (select n.id, n.distance as far from n) select m.id from m order by m.far + 0", False),
    (NEAREST + "select max(n.distance) from n", False),
    (
        "select b.id from bare as b where b.id in (" + FROM_DOCS.format("d.e <=> $1") + ") order by b.id",
        False,
    ),
]


@pytest.mark.parametrize(("sql", "expected"), RELAXED)
def test_rows_of_a_relaxed_scan_need_another_sort(
    vectors: psycopg.Connection[Any], of_vectors: Analyser, sql: str, expected: bool
) -> None:
    """PostgreSQL sorts the rows of the search again, in full, in the statements without the finding."""
    orders = [f for f in of_vectors.analyse(sql).findings if f.name == "vector-order"]
    assert len(orders) == expected
    assert {f.setting for f in orders} <= {("hnsw.iterative_scan", "relaxed_order")}
    if "max(" not in sql and " in (" not in sql:
        plan = [line for (line,) in vectors.execute(f"explain (generic_plan) {sql}".encode()).fetchall()]
        full = (at for at, line in enumerate(plan) if "Sort  (" in line and "Incremental" not in line)
        keys = [next(line for line in plan[at:] if "Sort Key" in line) for at in full]
        assert (not any("row_number" not in key for key in keys)) is expected


@pytest.mark.parametrize("expression", [*REFUSED, *ACCEPTED])
def test_dimensions_are_found_where_postgresql_refuses_them(
    vectors: psycopg.Connection[Any], of_vectors: Analyser, expression: str
) -> None:
    sql = f"select {expression} as it from docs as d where d.id = 1"
    vectors.execute(
        "insert into docs select 1, 1, 'x', null, v, v, v::halfvec, v::sparsevec, binary_quantize(v), v"
        " from (select array_fill(1::real, array[16])::vector(16)) as x (v) on conflict do nothing"
    )
    refused = False
    try:
        vectors.execute(sql.encode())
    except psycopg.DataError:
        refused = True
    assert refused is (expression in REFUSED)
    assert {name for name, _, _ in found(of_vectors, sql)} == ({"vector-dimension"} if refused else set())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select d.e <=> $1::vector(16) as a, subvector($1, 1, 2) <-> '[1,2]'::vector as b", ""),
        ("select d.e <=> $1 as a, d.other <=> $1 as b", ""),
        (
            "select d.e <=> $1 as a, (select min(b.long <=> $1) from bare as b) as b",
            "16 dimensions and of 3072",
        ),
        ("select d.e <=> $1::vector(16) as a, '[1,2]'::vector <=> $1 as b", "16 dimensions and of 2"),
    ],
)
def test_one_parameter_cannot_have_two_dimensions(of_vectors: Analyser, sql: str, expected: str) -> None:
    messages = [message for _, message, _ in found(of_vectors, f"{sql} from docs as d where d.id = 1")]
    assert messages == ([f"one parameter is used as a vector of {expected}"] if expected else [])


def test_an_insert_of_another_dimension_is_found(of_vectors: Analyser) -> None:
    sql = "insert into chunks (id, e, doc) values ($1, $2::vector(4), 1)"
    assert found(of_vectors, sql) == [
        (
            "vector-dimension",
            "a vector of 4 dimensions is cast to 16",
            "cast to 4 dimensions",
        )
    ]
