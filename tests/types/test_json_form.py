"""Values of every type as JSON: both executors' are written alike, and ``json.dumps`` writes the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

import plainsql
from tests.types.both import Both, query
from tests.types.test_every_type import SAMPLES

# The form of a value that is not its text in PostgreSQL, of the samples.
FORMS: dict[str, Any] = {
    "bool": True,
    "box": [[3.0, 4.0], [1.0, 2.0]],
    "bytea": "AP9c",
    "circle": [[1.0, 2.0], 3.0],
    "char": "eA==",
    "float4": 0.10000000149011612,
    "pg_lsn": 0x16B374D848,
    "float8": 0.1,
    "int2": -7,
    "int4": -7,
    "int8": -7,
    "interval": "P3DT14706.000007S",
    "json": {"a": [1, None]},
    "jsonb": {"a": [1, None]},
    "line": [1.0, 2.0, 3.0],
    "lseg": [[1.0, 2.0], [3.0, 4.0]],
    "oid": 7,
    "oid8": 7,
    "path": {"points": [[1.0, 2.0], [3.0, 4.0]], "closed": False},
    "point": [1.0, 2.0],
    "polygon": [[1.0, 2.0], [3.0, 4.0]],
    "tid": [1, 2],
    "timestamp": "2026-11-21T01:02:03.000004",
    "timestamptz": "2026-11-21T01:02:03.000004Z",
    "xid": 7,
    "cid": 7,
    "xid8": 7,
    "txid_snapshot": [10, 20, [10, 14]],
    "pg_snapshot": [10, 20, [10, 14]],
}


def written(both: Both, sql: str, *, item: Any = None) -> Any:
    """The JSON of a value that both executors return."""
    asked = query(sql, item=item)
    forms = []
    for value in (both.runner.run(asked(both.over_asyncpg)), asked(both.over_psycopg)):
        form = json.loads(plainsql.to_json([value]))
        assert json.loads(json.dumps([value], default=plainsql.json_default)) == form
        forms.append(form[0])
    assert forms[0] == forms[1]
    return forms[0]


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"xml"}))
def test_a_value_of_a_type_has_one_form_in_json(both: Both, name: str) -> None:
    type_name = '"char"' if name == "char" else name
    if not both.value("select to_regtype(:a) is not null", a=type_name):
        pytest.skip(f"this server has no {name}")
    text = SAMPLES[name].replace("'", "''")
    shown = both.value(f"select '{text}'::{type_name}::text") if name != "json" else None
    assert written(both, f"select '{text}'::{type_name}") == FORMS.get(name, shown)


@pytest.mark.parametrize(
    ("literal", "form"),
    [
        ("'[1,5)'::int4range", {"lower": 1, "upper": 5, "bounds": "[)"}),
        ("'(0.5,1]'::span", {"lower": 0.5, "upper": 1.0, "bounds": "(]"}),
        ("'[2026-01-02,)'::daterange", {"lower": "2026-01-02", "upper": None, "bounds": "[)"}),
        ("'empty'::int4range", {"empty": True}),
        ("'{[1,3),[5,7)}'::int4multirange", [{"lower": a, "upper": a + 2, "bounds": "[)"} for a in (1, 5)]),
        ("'[0.5,1]'::vector", [0.5, 1.0]),
        ("'[0.5,1]'::halfvec", [0.5, 1.0]),
        ("'{1:0.5,3:1}/3'::sparsevec", "{1:0.5,3:1.0}/3"),
        ("'0101001110'::varbit", "0101001110"),
        ("'10.1.2.3'::inet", "10.1.2.3"),
        ("'2001:db8::/32'::cidr", "2001:db8::/32"),
        ("array['10.1.2.3'::inet, null]", ["10.1.2.3", None]),
        ("row('Elm', 7)::address", ["Elm", 7]),
    ],
)
def test_containers_and_vectors_have_a_form(both: Both, literal: str, form: Any) -> None:
    assert written(both, f"select {literal}") == form


def test_a_number_that_json_does_not_have_is_null(both: Both) -> None:
    assert plainsql.to_json(both.read("array['NaN', 'Infinity', 1]", "float8[]")) == b"[null,null,1.0]"
