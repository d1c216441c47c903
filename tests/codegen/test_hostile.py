"""Property: whatever names a database has, a module compiles, imports, and runs none of them."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from enum import StrEnum
from types import ModuleType
from typing import Any, Literal, get_origin, get_type_hints, is_typeddict
from zlib import crc32

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql import codegen, statements
from plainsql.analysis.model import Analysis, Attribute, ColumnFact, ParameterFact, PgType, TableUse
from plainsql.codegen import ENUM_STYLES, Checked
from plainsql.codegen.modules import plan_modules
from plainsql.dependencies import Change, Dependency
from plainsql.query import Query
from plainsql.rows import Composite, Row, builder

BITS = (
    *("boom()", '"', "'", '"""', "'''", "\\", "\n", "\r", "\t", " ", "#", ";", "(", ")", "{", "}", "«", "»"),
    *("\\N{x}", "\\u12", "\u202e", "\u2066", "\u2028", "\x0c", "\x1b", "\ufeff", "\u00ad", "%s", "{boom()}"),
    *(
        "a",
        "b",
        "_",
        "__",
        "1",
        "-",
        ".",
        ",",
        ":",
        "=",
        "class",
        "None",
        "true",
        "self",
        "list",
        "UUID",
        "Row",
    ),
    *(
        "\ufb01",
        "fi",
        "\u0149",
        "ß",
        "日",
        "ª",
        "²",
        "\uff43lass",
        "Args",
        "type 1",
        "row Thing",
        "😀",
        "e\u0301",
    ),
)
names = st.lists(st.sampled_from(BITS), min_size=1, max_size=6).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
fields = st.sampled_from(["a", "b", "uuid", "UUID", "date", "list", "Thing", "Item", "item", "ﬁ", "self"])
KINDS = ("base", "enum", "composite", "array", "domain")
INT4 = PgType(23, "pg_catalog", "int4", "base")
UUID = PgType(2950, "pg_catalog", "uuid", "base")


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> PgType:
    """Draw a type that both drivers support."""
    kind = draw(st.sampled_from(KINDS if depth else KINDS[:2]))
    oid = draw(st.integers(16384, 99999))
    schema, name = draw(names), draw(names)
    if kind == "enum":
        return PgType(oid, schema, name, "enum", labels=tuple(draw(st.lists(names, unique=True, max_size=3))))
    if kind == "composite":
        parts = draw(st.lists(st.tuples(names, types(depth=depth - 1)), min_size=1, max_size=4))
        attributes = tuple(Attribute(attribute, type) for attribute, type in parts)
        # An oid is one type: the same parts have the same oid.
        oid = crc32(repr((schema, name, attributes)).encode())
        return PgType(oid, schema, name, "composite", attributes=attributes)
    if kind in ("array", "domain"):
        return PgType(
            oid, schema, name, "array" if kind == "array" else "domain", draw(types(depth=depth - 1))
        )
    return draw(st.sampled_from([INT4, UUID, PgType(3802, "pg_catalog", "jsonb", "base")]))


@st.composite
def checks(draw: st.DrawFn, number: int) -> Checked:
    """Draw a statement, and an analysis that fits it."""
    description = "".join(c for c in draw(names) if c not in "\n\r")
    returns = draw(st.sampled_from(["many Thing", "one Item", "optional value", "count"]))
    label = draw(names).replace("'", "''").replace("\r", "").replace(":", "")
    header = f"-- {description or 'It'}\n-- returns: {returns}\n-- param b: = '{label}'\n"
    try:
        statement = statements.parse(
            f"{header}select :a, :b, '{label}'\n", name=f"mod.q{number}", path=f"sql/mod/q{number}.sql"
        )
    except plainsql.SqlFileError:
        text = f"-- It.\n-- returns: {returns}\n-- param b: = null\nselect :a, :b\n"
        statement = statements.parse(text, name=f"mod.q{number}", path=f"sql/mod/q{number}.sql")
    if returns == "count":
        columns: list[ColumnFact] = []
    elif returns.endswith("value"):
        columns = [ColumnFact(draw(names), draw(types()), draw(st.booleans()), "")]
    else:
        found = draw(st.lists(st.tuples(fields, fields | st.none()), min_size=1, max_size=5, unique=True))
        columns = [
            ColumnFact(f"{outer}.{inner}" if inner else outer, draw(types()), draw(st.booleans()), "")
            for outer, inner in sorted(found, key=str)
        ]
    use = TableUse(draw(names), draw(names), ("c",))
    analysis = Analysis(
        parameters=(
            ParameterFact("a", draw(types()), draw(st.booleans()), ""),
            ParameterFact("b", PgType(25, "pg_catalog", "text", "base"), draw(st.booleans()), ""),
        ),
        columns=tuple(columns),
        rows="many",
        rows_because="",
        reads=(use,),
        writes=(TableUse(draw(names), draw(names), ("c",), "insert"),),
        settings=((draw(names), (draw(names),)),),
        dependencies=(Dependency(draw(names), draw(names), "a"),),
        changes=(Change(draw(names), ((draw(names), "parameter", "a"),)),),
        session_safe=True,
    )
    return Checked(statement, (analysis,))


@pytest.fixture(autouse=True)
def boom() -> Iterator[None]:
    def explode() -> None:
        raise AssertionError("a name was run")

    builtins.boom = explode  # type: ignore[attr-defined]
    yield
    del builtins.boom  # type: ignore[attr-defined]


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).flatmap(
        lambda numbers: st.tuples(*(checks(number) for number in sorted(numbers)))
    ),
    names,
    st.sampled_from(ENUM_STYLES),
)
def test_a_module_of_hostile_names_is_one(checked: tuple[Checked, ...], folder: str, style: str) -> None:
    modules, errors = plan_modules(checked, "hostile", enums=style)
    files = codegen.sources(modules, folder)
    for error in errors:
        assert error.hint
        assert error.place
    if errors:
        return
    assert codegen.verify(files) == []
    # The module of the enums comes first: the others import it.
    for path, source in sorted(files.items(), key=lambda item: item[0].stem != "enums"):
        tree = ast.parse(source)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "boom"]
        assert not set(source) & {"\u202e", "\u2066", "\x1b", "\x0c", "\ufeff", "\u2028", "\r"}
        module = _imported(path.stem, source)
        if path.stem != "enums":
            _resolve(module)


def _imported(name: str, source: str) -> ModuleType:
    module = ModuleType(f"hostile.{name}")
    sys.modules[module.__name__] = module
    exec(compile(source, name, "exec", dont_inherit=True), vars(module))
    return module


def _resolve(module: ModuleType) -> None:
    for name in module.__all__:
        value: Any = getattr(module, name)
        if get_origin(value) is Literal or (isinstance(value, type) and issubclass(value, StrEnum)):
            continue
        if isinstance(value, Query):
            assert value.parameters == ("a", "b")
            value.compiled.build([])
        elif is_typeddict(value):
            assert list(get_type_hints(value, include_extras=True)) == ["a", "b"]
        elif issubclass(value, Row):
            builder(value)
        else:
            assert issubclass(value, Composite)
            assert len(get_type_hints(value, include_extras=True)) == len(msgspec.structs.fields(value))
