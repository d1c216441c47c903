"""Columns hold the values of the rows, whichever way they are read, and other libraries take them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql.columns import Columns
from plainsql.fakes import FakeExecutor
from tests.columns.executors import Executors, contents, query
from tests.types.test_every_type import SAMPLES

# Of every type that a result can have: the type of its column in Arrow, or None if it has none.
ARROW = {
    **dict.fromkeys(("bpchar", "name", "text", "varchar", "xml"), "utf8"),
    **dict.fromkeys(("macaddr", "macaddr8", "money", "tsquery", "tsvector"), "utf8"),
    **dict.fromkeys(
        (
            *("regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper"),
            *("regoperator", "regproc", "regprocedure", "regrole", "regtype"),
        ),
        "utf8",
    ),
    **dict.fromkeys(("bytea", "char"), "binary"),
    **dict.fromkeys(("oid", "cid", "xid"), "uint32"),
    **dict.fromkeys(("pg_lsn", "xid8"), "uint64"),
    **dict.fromkeys(("json", "jsonb"), "arrow.json"),
    "bool": "bool",
    "date": "date32",
    "float4": "float32",
    "float8": "float64",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "interval": "duration[us]",
    "numeric": "decimal128(38, 2)",
    "time": "time64[us]",
    "timestamp": "timestamp[us]",
    "timestamptz": "timestamp[us, UTC]",
    "uuid": "arrow.uuid",
}
OF_MODULE = {
    "mood": ("'ok'", "dictionary<utf8>"),
    "positive": ("3", "int32"),
    "tags": ("array['a', null]", "list<utf8>"),
    "payload": ("'[1]'", "arrow.json"),
    "address": ("row('x', 1)", "struct<street utf8, number int32>"),
    "citext": ("'A'", "utf8"),
    "ltree": ("'a.b'", "utf8"),
    "vector(2)": ("'[1,2.5]'", "fixed_size_list<float32, 2>"),
    "halfvec(2)": ("'[1,2.5]'", "fixed_size_list<float16, 2>"),
    "numeric(10,3)": ("1.5", "decimal128(10, 3)"),
    "numeric(5,-2)": ("12345", "decimal128(7, 0)"),
    "item": (
        "row(1, 2.50, 'x', 'ok')",
        "struct<number int32, price decimal128(10, 2), name utf8, mood dictionary<utf8>>",
    ),
}


def _known(name: str) -> bool:
    """Return whether the server of this run has a type: newer ones have more, and others libxml."""
    return name not in ("oid8", "regdatabase", "xml")


def plain(value: Any) -> Any:
    """A value of a row as that of its column: a struct as a dict, JSON aside."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if hasattr(value, "to_list"):
        return value.to_list()
    if isinstance(value, asyncpg.Record):
        return {name: plain(each) for name, each in value.items()}
    return value


def test_every_type_has_a_column_or_is_refused_by_name(executors: Executors) -> None:
    for name, sample in SAMPLES.items():
        if not _known(name):
            continue
        typed = '"char"' if name == "char" else name
        quoted = sample.replace("'", "''")
        sql = f"select '{quoted}'::{typed} as v union all select null"
        if name not in ARROW:
            assert f"the column 'v' has the type {name}" in str(executors.error(sql)), name
            continue
        found = executors.columns(sql)
        assert (found["v"].type, found["v"].nulls) == (ARROW[name], 1), name
        if "json" not in name:
            assert found["v"].to_list() == [row.v for row in executors.rows(sql)], name
        arrays = f"select array['{quoted}'::{typed}, null] as v union all select null"
        if typed.startswith("reg") or name in ("macaddr", "macaddr8", "money", "tsquery", "tsvector"):
            executors.error(arrays)
        else:
            expected = ARROW[name]
            assert executors.columns(arrays)["v"].type == f"list<{expected}>", name


def test_types_of_a_schema_have_columns(executors: Executors) -> None:
    for name, (sample, arrow) in OF_MODULE.items():
        sql = f"select {sample}::{name} as v union all select null::{name}"
        found = executors.columns(sql)
        assert (found["v"].type, found["v"].nulls) == (arrow, 1), name
        if arrow != "arrow.json":
            assert found["v"].to_list() == [plain(row.v) for row in executors.rows(sql)], name
        if name != "tags":
            arrays = executors.columns(f"select array[{sample}::{name}, null::{name}] as v")
            assert arrays["v"].type == f"list<{arrow}>", name


values = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float4": st.floats(width=32, allow_nan=False),
    "float8": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "bytea": st.binary(max_size=20),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.just(dt.UTC)),
    "time": st.times(),
    "interval": st.timedeltas(dt.timedelta(-1_000_000), dt.timedelta(1_000_000)),
    "numeric": st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False, places=7),
    "uuid": st.uuids(),
    "mood": st.sampled_from(["sad", "ok", 'so "happy", really']),
}


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(*(st.none() | of for of in values.values())), max_size=12))
def test_columns_hold_any_values(executors: Executors, rows: list[tuple[Any, ...]]) -> None:
    lists = {f"p{index}": [row[index] for row in rows] for index in range(len(values))}
    sent = ", ".join(f":p{index}::{name}[]" for index, name in enumerate(values))
    names = ", ".join(f"c{index}" for index in range(len(values)))
    sql = (
        f"select {names}, array[c1, c1 + 0::int8, null] as list, "
        "case when c5 then row(c1, c0 * 1.5, c6, c15)::item end as item, "
        "case when c5 then array[c6, c6] when not c5 then '{}' end as texts "
        f"from unnest({sent}) as r ({names})"
    )
    found = executors.columns(sql, **lists)
    for index, name in enumerate(lists):
        assert found[f"c{index}"].to_list() == lists[name]
    table = pytest.importorskip("pyarrow").table(found)
    table.validate(full=True)
    assert {name: table[name].to_pylist() for name in ("c1", "c3", "c8", "c13")} == {
        name: found[name].to_list() for name in ("c1", "c3", "c8", "c13")
    }


def test_decimals_without_a_scale_get_the_greatest(executors: Executors) -> None:
    found = executors.columns("select v::numeric from unnest(array['1', '-0.00005', '12.5', null]) as v")
    assert found["v"].type == "decimal128(38, 5)"
    assert found["v"].to_list() == [Decimal(1), Decimal("-0.00005"), Decimal("12.5"), None]
    edge = "99999999999999999999999999999999999999"
    assert executors.columns(f"select {edge}::numeric as v")["v"].to_list() == [Decimal(edge)]
    assert executors.columns(f"select 0.{edge} as v")["v"].to_list() == [Decimal(f"0.{edge}")]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select 'NaN'::numeric as v", "v: NaN and infinities are no decimals"),
        ("select 1e38::numeric as v", "v: a value has more than 38 digits"),
        ("select 0.1 as v union all select 99999999999999999999999999999999999999", "more than 38 digits"),
        (
            "select array[1] as v union all select array[[1], [2]]",
            "an array has 2 dimensions, the ones before 1",
        ),
        (
            "select '[1]'::vector as v union all select '[1,2]'",
            "a vector has 2 dimensions, the ones before 1",
        ),
        ("select '294000-01-01'::date as v", "a value"),
        ("select '24:00'::time as v", "a value"),
        ("select interval '300000 years' as v", "an interval is longer than 292,000 years"),
        ("select row(1, 2) as v", "the column 'v' has the type record"),
        ("select int4range(1, 2) as v", "the column 'v' has the type int4range"),
        ('select g as id, 1 as "parts[].a" from generate_series(1, 2) as g', "lists of child rows"),
    ],
)
def test_a_value_that_no_column_holds_is_named(executors: Executors, sql: str, said: str) -> None:
    assert said in str(executors.error(sql))


def test_nested_rows_are_structs(executors: Executors) -> None:
    sql = (
        'select g as id, case when g > 1 then g end as "part.id", '
        "case when g > 2 then 'x' end as \"part.name\" "
        "from generate_series(1, 3) as g"
    )
    found = executors.columns(sql)
    assert found.to_dict() == {
        "id": [1, 2, 3],
        "part": [None, {"id": 2, "name": None}, {"id": 3, "name": "x"}],
    }
    assert executors.columns(sql + " where g > 9").names == ("id", "part")


def test_other_libraries_take_columns(executors: Executors) -> None:
    pa, pl, duckdb = (pytest.importorskip(name) for name in ("pyarrow", "polars", "duckdb"))
    found = executors.columns(
        "select g as id, 'čš' || g as name, nullif(g, 2) * 1.5::float8 as size, "
        "timestamptz '2024-01-01 00:00+00' + g * interval '1 day' as at, array[g, null] as list, "
        "(array['sad', 'ok'])[1 + g % 2]::mood as mood, (g * 1.25)::numeric(10, 2) as price, "
        "interval '1 day' * g as took, row(g, 1.5, 'x', 'ok')::item as item from generate_series(1, 3) as g"
    )
    expected = found.to_dict()
    assert pa.table(found).to_pydict() == expected
    assert pa.record_batch(found).to_pydict() == expected
    assert pl.DataFrame(found).to_dict(as_series=False) == expected
    taken = duckdb.sql("select id, name, size, mood, price, took, item from found order by id").fetchall()
    assert taken == [
        tuple(row)
        for row in zip(
            *(expected[name] for name in ("id", "name", "size", "mood", "price", "took", "item")), strict=True
        )
    ]
    assert pa.array(found["mood"]).dictionary.to_pylist() == ["sad", "ok", 'so "happy", really']
    assert pa.schema(found) == pa.table(found).schema
    # They live on when plainsql's object is gone.
    table = pa.table(found)
    del found
    assert table.to_pydict() == expected


def test_vectors_are_a_matrix_without_a_copy(executors: Executors) -> None:
    np = pytest.importorskip("numpy")
    found = executors.columns(
        "select g as id, array[g, g / 2.0, -g]::vector(3) as v, g % 2 = 0 as even, "
        "timestamptz '2024-01-01' as at, 'x' as name, "
        "date '2024-01-01' + g as day, nullif(g, 2) as gap from generate_series(1, 4) as g"
    )
    matrix = found.matrix("v")
    assert matrix.tolist() == [[g, g / 2, -g] for g in range(1, 5)]
    assert (matrix.dtype, matrix.flags.writeable, matrix.flags.owndata) == (np.float32, False, False)
    assert np.shares_memory(matrix, np.frombuffer(found["v"]._data.children[0].buffers[1], "f4"))
    assert found["id"].to_numpy().tolist() == [1, 2, 3, 4]
    assert found["even"].to_numpy().tolist() == [False, True, False, True]
    assert found["day"].to_numpy()[0] == np.datetime64("2024-01-02")
    assert found["at"].to_numpy().dtype == "M8[us]"
    assert found["name"].to_numpy().tolist() == ["x"] * 4
    with pytest.raises(plainsql.BindError, match="has 1 null, and a NumPy array"):
        found["gap"].to_numpy()
    with pytest.raises(plainsql.ContractError, match="'id' has no vectors, it has the type int32"):
        found.matrix("id")
    with pytest.raises(KeyError):
        found["other"]


def test_a_repr_holds_names_and_no_values(executors: Executors) -> None:
    found = executors.columns("select 'secret' as word, 4711 as number")
    assert repr(found) == "<Columns word utf8, number int32; 1 rows>"
    assert repr(found["word"]) == "<Column word utf8, 1 rows>"


def test_streams_of_columns_come_in_blocks_of_one_type(executors: Executors) -> None:
    asked = query(
        "select g as id, nullif(g % 3, 0)::numeric(5, 2) as price, array[g] as list, 'ok'::mood as mood "
        "from generate_series(1, :last::int) as g",
        "last",
    )

    async def blocks(executor: Any, rows: int, last: int) -> list[Columns]:
        return [block async for block in asked.stream_columns(executor, rows, last=last)]

    async def in_transaction() -> list[Columns]:
        async with executors.db.transaction() as transaction:
            return await blocks(transaction, 4, 10)

    of_db = executors.runner.run(blocks(executors.db, 4, 10))
    assert [len(block) for block in of_db] == [4, 4, 2]
    assert [number for block in of_db for number in block["id"].to_list()] == [*range(1, 11)]
    assert len({tuple(column.type for column in block) for block in of_db}) == 1
    for other in (
        executors.runner.run(in_transaction()),
        list(asked.stream_columns(executors.sync, 4, last=10)),
    ):
        assert [*map(contents, other)] == [*map(contents, of_db)]
    assert executors.runner.run(blocks(executors.db, 5, 10))[1]["id"].to_list() == [6, 7, 8, 9, 10]
    assert executors.runner.run(blocks(executors.db, 4, 0)) == []


def test_a_stream_refuses_types_that_could_change(executors: Executors) -> None:
    async def read(sql: str, rows: Any = 1) -> None:
        async for _ in query(sql).stream_columns(executors.db, rows):
            pass

    for sql in ("select 1.5 as v", "select '[1]'::vector as v", "select array[1.5] as v"):
        with pytest.raises(plainsql.ContractError, match="the column 'v' has no declared precision"):
            executors.runner.run(read(sql))
        with pytest.raises(plainsql.ContractError, match="the column 'v' has no declared precision"):
            list(query(sql).stream_columns(executors.sync))
    with pytest.raises(plainsql.DecodeError, match="v: its type differs from block to block"):
        executors.runner.run(read("select array[1] as v union all select array[[1]]"))
    with pytest.raises(plainsql.BindError, match="expected a number of rows above 0"):
        query("select 1 as v").stream_columns(executors.db, 0)


def test_types_that_change_are_learnt_again(executors: Executors, database_url: str) -> None:
    async def change() -> None:
        db = executors.db
        outside = await asyncpg.connect(database_url)
        try:
            await outside.execute(
                "create type pair as (a integer); create type level as enum ('low');"
                "create table pairs (v pair); insert into pairs values (row(1))"
            )
            asked = query("select v, array[v] as l, 'low'::level as e from pairs")
            assert (await asked.columns(db)).to_dict()["v"] == [{"a": 1}]
            await outside.execute("alter type level add value 'high' before 'low'")
            await outside.execute("alter type pair add attribute b text")
            found = await asked.columns(db)
            assert found["v"].to_list() == [{"a": 1, "b": None}]
            assert found["e"].to_list() == ["low"]
        finally:
            await outside.execute(
                "drop table if exists pairs; drop type if exists pair; drop type if exists level"
            )
            await outside.close()

    executors.runner.run(change())


def test_calls_of_columns_are_reported_like_any_other(database_url: str, executors: Executors) -> None:
    calls: list[plainsql.Call] = []

    async def run() -> None:
        async with plainsql.connect(database_url, on_call=calls.append) as db:
            asked = query("select g as id from generate_series(1, 5) as g")
            await asked.columns(db)
            async for _ in asked.stream_columns(db, 2):
                pass

    executors.runner.run(run())
    assert [(call.operation, call.rows) for call in calls] == [("call", 5), ("stream", 5)]


async def test_a_fake_answers_with_columns() -> None:
    fake = FakeExecutor()
    rows: Any = query("select 1 as id", item=int)
    fake.returns(rows, [1, 2, 3])
    assert (await rows.columns(fake)).to_dict() == {"value": [1, 2, 3]}
    assert [len(block) async for block in rows.stream_columns(fake, 2)] == [2, 1]
    assert [call.operation for call in fake.history] == ["call", "stream"]


def test_a_count_has_no_columns() -> None:
    from plainsql.query import CountQuery

    counted: Any = CountQuery("test.n", "sql/test/n.sql", 1, "delete from t", Binder_, int)
    with pytest.raises(plainsql.BindError, match="returns a count, and no columns"):
        counted.columns(FakeExecutor())


def Binder_() -> tuple[()]:  # noqa: N802 (a function of a generated module)
    return ()
