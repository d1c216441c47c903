"""The table of types says what the generator writes."""

from __future__ import annotations

from typing import Any

import psycopg

from plainsql.analysis.model import PgType
from plainsql.codegen import python_types
from tests.docs.markdown import codes_in, table_with

PAGE = "docs/types.md"
# Types that no column can have.
NO_COLUMNS = {"unknown", "cstring"}


def documented() -> dict[str, str]:
    """The Python side of each type, by PostgreSQL's name."""
    rows = table_with(PAGE, "PostgreSQL", "Python")
    return {name: python for names, python in rows for name in codes_in(names)}


def catalogue_name(connection: psycopg.Connection[Any], name: str) -> str:
    found = connection.execute(
        "select t.typname from pg_type as t where t.oid = to_regtype(%s)", [name]
    ).fetchone()
    return str(found[0]) if found else name


def test_every_type_is_what_the_page_says(connection: psycopg.Connection[Any]) -> None:
    for name, python in documented().items():
        in_extension = name in ("citext", "hstore", "ltree", "vector", "halfvec", "sparsevec")
        base = name if in_extension else catalogue_name(connection, name)
        written = python_types.annotate(PgType(0, "pg_catalog", base, "base")).text
        said = [code.rpartition(".")[2] if "[" not in code else code for code in codes_in(python)]
        assert " | ".join(said) == written or said[0] == written, (
            f"{name}: the page says {python}, not {written}"
        )


def test_every_type_that_has_a_name_in_python_is_on_the_page(connection: psycopg.Connection[Any]) -> None:
    known = (
        python_types._BASE_TYPES.keys()
        | python_types._TEXT_TYPES
        | python_types._SNAPSHOT_TYPES
        | {"inet", "cidr", "tid"}
    )
    said = {name.strip('"') for name in documented()}
    said |= {catalogue_name(connection, name) for name in documented()}
    assert known - NO_COLUMNS - said == set()


def test_containers_are_what_the_page_says() -> None:
    integer = PgType(23, "pg_catalog", "int4", "base")
    spans = PgType(0, "pg_catalog", "int4range", "range", element=integer)
    rows = {name: codes_in(python) for name, python in table_with(PAGE, "PostgreSQL", "Python")}
    of_python = {
        "an array": PgType(0, "pg_catalog", "_int4", "array", element=integer),
        "a range": spans,
        "a multirange": PgType(0, "pg_catalog", "int4multirange", "multirange", element=spans),
        "an enum": PgType(0, "public", "mood", "enum", labels=("sad", "ok")),
        "a domain": PgType(0, "public", "positive", "domain", element=integer),
    }
    written = {name: python_types.annotate(type).text for name, type in of_python.items()}
    assert written == {
        "an array": "list[int]",
        "a range": "Range[int]",
        "a multirange": "list[Range[int]]",
        "an enum": 'Literal["sad", "ok"]',
        "a domain": "int",
    }
    assert rows["an array"] == ["list"]
    assert rows["a range"] == ["plainsql.types.Range[T]"]
    assert rows["a multirange"] == ["list[Range[T]]"]
    assert rows["an enum"] == ["typing.Literal", "StrEnum"]
