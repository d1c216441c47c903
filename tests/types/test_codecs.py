"""Codecs of the project: types of extensions as Python values, on both drivers, and in generated code."""

from __future__ import annotations

import asyncio
import importlib
import struct
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import BindError, Codec, DecodeError, OptionError, SettingsError, codegen
from plainsql.check.project_check import check_project
from plainsql.project_codecs import codecs_of_project
from plainsql.settings import Project
from tests.types.both import Both, query

SCHEMA = """
create extension hstore;
create extension cube;
create extension seg;
create schema "odd.one";
create type "odd.one".label as enum ('a');
create domain settings as hstore;
create type parcel as (corner cube, tags hstore);
create type spread as (spans seg);
"""

MODULE = """
from __future__ import annotations
import struct
from typing import NamedTuple
import decimal as d
from fractions import Fraction as F
import plainsql
raise_if_run = True
class Corner(NamedTuple):
    x: float
    y: float
cube = plainsql.Codec(
    list[Corner | None], encode=str, decode=str, encode_binary=lambda corner: b"", decode_binary=list
)
seg: plainsql.Codec[F] = plainsql.Codec(type=dict[F, d.Decimal], encode=str, decode=F)
lost = plainsql.Codec(Nowhere, encode=str, decode=str)
none = 3
"""


class Corner(NamedTuple):
    x: float
    y: float


def _decode(text: str) -> Corner:
    x, y = text.strip("()").split(",")
    return Corner(float(x), float(y))


CUBE = Codec(
    Corner,
    encode=lambda corner: f"({corner.x!r},{corner.y!r})",
    decode=_decode,
    encode_binary=lambda corner: struct.pack("!Idd", 0x80000002, corner.x, corner.y),
    decode_binary=lambda data: Corner(*struct.unpack("!dd", data[4:])),
)
SEG: Codec[tuple[float, float]] = Codec(
    tuple[float, float],
    encode=lambda span: f"{span[0]!r} .. {span[1]!r}",
    decode=lambda text: (float(text.split(" .. ")[0]), float(text.split(" .. ")[1])),
)
CODECS: dict[str, Codec[Any]] = {"cube": CUBE, "public.seg": SEG, "label": CUBE, "int4": CUBE}

HSTORES: list[dict[str, str | None]] = [
    {},
    {"a": "1", "b": None, "NULL": "NULL"},
    {'q"uo\\te': 'a=>b,"c"\\', "": "", "ünïcode\n": "{}"},
]


@pytest.fixture(scope="module")
def url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    return database_url


def test_values_of_extensions_travel_on_both_drivers(url: str) -> None:
    with asyncio.Runner() as runner, plainsql.sync.connect(url, codecs=CODECS) as second:
        first = runner.run(plainsql.connect(url, codecs=CODECS, max_size=2)._open())
        both = Both(runner, first, second)
        try:
            for value in HSTORES:
                assert both.sent_back("hstore", value) == value
                assert both.sent_back("settings", value) == value
            assert both.sent_back("hstore[]", [HSTORES[1], None]) == [HSTORES[1], None]
            assert both.sent_back("cube", Corner(1.5, -2)) == Corner(1.5, -2)
            assert both.sent_back("cube[]", [Corner(1, 2), None]) == [Corner(1, 2), None]
            assert both.sent_back("seg", (1.0, 2.0)) == (1.0, 2.0)
            assert both.sent_back("seg[]", [(1.0, 2.0)]) == [(1.0, 2.0)]
            # A built-in type and an enum keep their own.
            assert both.value("""select 'a'::"odd.one".label""") == "a"
            assert both.sent_back("int4", 3) == 3
            both.value("select row(:a::cube, :b::hstore)::parcel is null", a=Corner(1, 2), b={})
            for wrong in ({"a": 1}, {1: "a"}, 3):
                for error in both.errors("select :a::hstore", a=wrong):
                    assert isinstance(error, BindError)
                    assert "secret" not in str(error)
            for error in both.errors("select :a::cube", a="secret"):
                assert isinstance(error, BindError)
                assert "secret" not in str(error)
                assert "secret" not in repr(error.__cause__)
            for error in both.errors("select '5'::seg"):
                assert isinstance(error, DecodeError)
        finally:
            runner.run(first.close())


async def test_over_a_connection_of_the_program_codecs_work_too(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        over = plainsql.over(connection, codecs=CODECS)
        assert await query("select :a::cube")(over, a=Corner(1, 2)) == Corner(1, 2)
    finally:
        await connection.close()
    with psycopg.connect(url) as own:
        db = plainsql.sync.over(own, codecs=CODECS)
        assert query("select :a::cube")(db, a=Corner(1, 2)) == Corner(1, 2)
        assert list(query("select :a::cube").stream(db, a=Corner(1, 2))) == [Corner(1, 2)]
    with plainsql.sync.Pool(url, codecs=CODECS) as pool:
        assert query("select :a::cube").batch(pool, [{"a": Corner(1, 2)}] * 2) == [Corner(1, 2)] * 2
    with pytest.raises(OptionError, match=r"codecs: expected a dict of type names to plainsql\.Codec"):
        plainsql.connect(url, codecs={"cube": "text"})  # type: ignore[dict-item]


def _project(root: Path, codecs: dict[str, str], **queries: str) -> Project:
    files = {
        "migrations/0001_all.sql": SCHEMA,
        "own_codecs/values.py": MODULE,
        "pyproject.toml": "[tool.plainsql]\n[tool.plainsql.codecs]\n"
        + "".join(f'"{name}" = "{path}"\n' for name, path in codecs.items()),
        **{f"sql/a/{name}.sql": text for name, text in queries.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Project.load(root)


CODEC_QUERY = (
    "-- It.\n-- returns: one Thing\nselect :c::cube as corner, :s::seg[] as spans, :t::settings as tags\n"
)
PARCEL = "-- It.\n-- returns: value\nselect null::parcel\n"
SPREAD = "-- It.\n-- returns: value\nselect null::spread\n"


def test_generated_code_has_the_type_that_the_codec_names(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"cube": "own_codecs.values.cube", "seg": "own_codecs.values.seg"}
    project = _project(tmp_path, names, get=CODEC_QUERY, parcel=PARCEL, spread=SPREAD)
    found = check_project(project, database_url)
    (error,) = found.errors  # seg has no binary format, so no composite may hold it
    assert error.message.endswith(
        "is spread: it holds seg in the composite type spread, which asyncpg cannot carry there"
    )
    (tmp_path / "sql/a/spread.sql").unlink()
    found = check_project(project, database_url)
    assert found.errors == ()
    source = found.files[Path("a.py")]
    assert "from own_codecs.values import Corner\n" in source
    assert "from fractions import Fraction\n" in source
    assert "    corner: list[Corner | None]" in source
    assert "    spans: list[dict[Fraction, Decimal]]" in source
    assert "    tags: Hstore" in source
    signature = source.partition("def get(")[2].partition(")")[0]
    assert "c: list[Corner | None]" in signature
    assert "s: list[dict[Fraction, Decimal]]" in signature
    assert "t: Hstore" in signature
    assert codegen.verify(found.files) == []
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="name 'Nowhere' is not defined") as raised:
        codecs_of_project()
    assert raised.value.hint is not None
    (tmp_path / "own_codecs/values.py").write_text(MODULE.replace("Nowhere", "Corner"))
    importlib.invalidate_caches()
    assert set(codecs_of_project()) == {"cube", "seg"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("cube", "expected the path of a Codec, got 'cube'"),
        ("nowhere.at.all", "there is no module nowhere.at"),
        ("own_codecs.values.none", "own_codecs.values does not define none = plainsql.Codec(…)"),
        ("own_codecs.values.lost", "the type of own_codecs.values.lost has the name Nowhere, which"),
    ],
)
def test_a_codec_that_is_not_there_is_refused(
    tmp_path: Path, database_url: str, path: str, message: str
) -> None:
    project = _project(tmp_path, {"cube": path}, get="-- It.\n-- returns: value\nselect 1\n")
    with pytest.raises(SettingsError) as raised:
        check_project(project, database_url)
    assert f"codecs.cube in [tool.plainsql]: {message}" in str(raised.value)
