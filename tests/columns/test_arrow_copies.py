"""COPY takes the tables of other libraries: their values arrive exactly, or are refused."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import plainsql
from plainsql.columns import c_structs
from plainsql.columns.arrow_values import buffer_width
from plainsql.columns.from_values import columns_of_rows
from plainsql.speed.loaded import ARROW
from tests.columns.executors import Executors

pa: Any = pytest.importorskip("pyarrow")
pl: Any = pytest.importorskip("polars")
duckdb: Any = pytest.importorskip("duckdb")

ROWS = """
select md5(g::text)::uuid as id, g::smallint as number, (g * 1.25)::numeric(10, 2) as price,
  timestamptz '2024-01-01 00:00+00' + g * interval '1.000001 s' as at, date '1969-12-30' + g as day,
  nullif('čš and more than twelve bytes ' || g, 'čš and more than twelve bytes 2') as name,
  (array['sad', 'ok'])[1 + g % 2]::mood as mood, '{"a": null}'::jsonb as data,
  row(g, 1.5, 'x', null)::item as place, array['a', null, g::text] as tags,
  case when g < 3 then array[g, 2, 3]::vector(3) end as embedding, (g / 3.0)::real as size,
  g % 2 = 0 as is_open, decode('00ff', 'hex') as raw, interval '1 day' * g as took, time '23:59:59.5' as hour
from generate_series(1, 4) as g
"""


def copied(executors: Executors, source: Any, *, through: str = "db", **options: Any) -> dict[str, list[Any]]:
    async def copy() -> None:
        async with executors.db.transaction() as transaction:
            await transaction.connection.execute("delete from copied")
        if through == "db":
            await executors.db.copy_in("copied", source, **options)

    executors.runner.run(copy())
    if through == "sync":
        executors.sync.copy_in("copied", source, **options)
    return executors.columns("select * from copied order by number").to_dict()


@pytest.mark.parametrize("through", ["db", "sync"])
def test_tables_of_all_libraries_arrive_as_they_were(executors: Executors, through: str) -> None:
    columns = executors.columns(ROWS)
    expected = columns.to_dict()
    assert copied(executors, columns, through=through) == expected
    table = pa.table(columns)
    assert copied(executors, table, through=through) == expected
    assert copied(executors, table.to_reader(max_chunksize=3), through=through) == expected
    without_id = expected | {"id": [None] * 4}
    assert copied(executors, pl.DataFrame(columns).drop("id"), through=through) == without_id
    relation = duckdb.from_arrow(table.drop_columns(["data"]))  # it has no extension type of JSON's
    assert copied(executors, relation, through=through) == expected | {"data": [None] * 4}
    part = copied(executors, table.slice(1, 2), through=through, columns=["name", "number"])
    assert (part["number"], part["name"], part["size"]) == ([2, 3], expected["name"][1:3], [None, None])


def test_large_and_unusual_types_are_read(executors: Executors) -> None:
    table = pa.table(
        {
            "number": pa.array([1, None, 3], pa.uint8()),
            "name": pa.array(["x", "more than twelve bytes", None], pa.string_view()),
            "day": pa.array([0, 86_400_000, None], pa.date64()),
            "at": pa.array([0, 1, None], pa.timestamp("s", "Europe/Ljubljana")),
            "price": pa.array([1, None, 3], pa.decimal256(40, 0)),
            "tags": pa.array([["a"], [], None], pa.large_list(pa.large_string())),
            "mood": pa.array(["ok", None, "sad"]).dictionary_encode(),
            "embedding": pa.array([[1, 2, 3], None, [4, 5, 6]], pa.list_(pa.float64(), 3)),
            "data": pa.nulls(3),
        }
    )
    found = copied(executors, table)
    assert {name: sorted(found[name], key=str) for name in ("name", "mood", "tags")} == {
        name: sorted(table[name].to_pylist(), key=str) for name in ("name", "mood", "tags")
    }
    assert sorted(map(str, found["embedding"])) == ["None", "[1.0, 2.0, 3.0]", "[4.0, 5.0, 6.0]"]
    assert sorted(map(str, found["day"])) == ["1970-01-01", "1970-01-02", "None"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"at": pa.array([1], pa.timestamp("ns", "UTC"))}, "at: a time with nanoseconds"),
        (
            {"tags": pa.array([{"a": 1}], pa.map_(pa.string(), pa.int64()))},
            "tags: Arrow's type +m has no values",
        ),
        ({"number": pa.array(["x"])}, "row 1: number: expected int2, got str"),
        ({"took": pa.array([(1, 0, 0)], pa.month_day_nano_interval())}, "took: an interval with months"),
    ],
)
def test_what_has_no_place_is_refused(executors: Executors, table: dict[str, Any], said: str) -> None:
    with pytest.raises(plainsql.BindError, match="copy into copied") as raised:
        copied(executors, pa.table(table))
    assert said in str(raised.value)


def test_a_column_that_is_missing_is_named(executors: Executors) -> None:
    with pytest.raises(plainsql.BindError, match="it has no column 'mood'"):
        copied(executors, pa.table({"number": [1]}), columns=["number", "mood"])


def test_both_ways_across_the_interface_agree() -> None:
    columns = columns_of_rows([1, None, 3], ["n"])
    batch = columns._batch()
    modules = [c_structs] if ARROW is None else [c_structs, ARROW]
    for module in modules:
        table = pa.RecordBatchReader._import_from_c_capsule(
            module.export_stream(batch, [batch, batch])
        ).read_all()
        assert table.to_pydict() == {"n": [1, None, 3] * 2}
        schema, array = module.export_array(batch.children[0])
        assert pa.Array._import_from_c_capsule(schema, array).to_pylist() == [1, None, 3]
        for other in modules:
            stream = other.ImportedStream(module.export_stream(batch, [batch]), buffer_width)
            (received,) = list(stream)
            assert bytes(received.children[0].buffers[1]) == bytes(batch.children[0].buffers[1])
            with pytest.raises(TypeError, match="arrow_array_stream"):
                other.ImportedStream(object(), buffer_width)
            del stream, received
        del table, schema, array
    gc.collect()
    assert c_structs._kept == {}


def test_the_error_of_another_librarys_stream_is_raised(executors: Executors) -> None:
    def batches() -> Any:
        yield pa.record_batch({"number": [1]})
        raise RuntimeError("the file ends here")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("number", pa.int64())]), batches())
    with pytest.raises(OSError, match="the file ends here"):
        copied(executors, reader)
