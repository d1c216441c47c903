"""The types that headers give to JSON columns: looked up, and not executed."""

from __future__ import annotations

import pytest

from plainsql.settings import Project
from tests.codegen.conftest import Made, query


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        (
            "Missing",
            "the type Missing, which {p}.a.types does not define",
            "define Missing there, or correct the name",
        ),
        (
            "list[Missing]",
            "the type Missing, which {p}.a.types does not define",
            "define Missing there, or correct the name",
        ),
        (
            "nope.Foo",
            "the type nope.Foo, and there is no module {p}.nope.types",
            "define Foo in {p}/nope/types.py, or correct the name",
        ),
        (
            "no.such.Foo",
            "the type no.such.Foo, and there is no module no.such",
            "define Foo in no/such.py, or correct the name",
        ),
        ("Any", "the type Any, which {p}.a.types does not define", "define Any there, or correct the name"),
        (
            "b.Json",
            "the type b.Json, and there is no module {p}.b.types",
            "remove the type: any JSON value is the default",
        ),
        (
            "json.decoder.Nothing",
            "the type json.decoder.Nothing, which json.decoder does not define",
            "define Nothing there, or correct the name",
        ),
    ],
)
def test_a_type_that_is_nowhere_is_refused_at_its_line(
    make: Made, folder: Project, written: str, message: str, hint: str
) -> None:
    text = query("'{}'::jsonb as j", "one Thing", f"-- column j: {written}\n")
    if written.startswith("list"):
        text = text.replace("'{}'::jsonb", "array['{}'::jsonb]")
    found = make({"sql/a/q.sql": text, f"{folder.output}/a/types.py": "import msgspec\nraise RuntimeError\n"})
    (problem,) = found.errors
    assert problem.message == "a.q: the header gives j " + message.format(p=folder.output)
    assert problem.hint == hint.format(p=folder.output)
    assert (problem.name, problem.line) == ("contract", 3)
    assert problem.path.endswith("sql/a/q.sql")


def test_packages_without_an_init_are_looked_through(
    make: Made, folder: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "loose/inner/deep/types_of_ours.py": "raise RuntimeError\nclass Payload: ...\n",
        "sql/a/q.sql": query(
            "'{}'::jsonb as j", "one Thing", "-- column j: loose.inner.deep.types_of_ours.Payload\n"
        ),
    }
    assert make(files).errors == ()
    monkeypatch.syspath_prepend(folder.root)
    assert make(files).errors == ()
    missing = query("'{}'::jsonb as j", "one Thing", "-- column j: loose.inner.deep.types_of_ours.Other\n")
    (problem,) = make(files | {"sql/a/q.sql": missing}).errors
    assert problem.message.endswith("which loose.inner.deep.types_of_ours does not define")


DEFINED = """
from __future__ import annotations
import sys
import msgspec
from json.decoder import Mapping as Imported
if sys.version_info > (3, 0):
    class Conditional(msgspec.Struct): ...
else:
    Conditional = None
try:
    from fast import Tried
except ImportError:
    class Tried: ...
Assigned = dict[str, int]
Annotated_: type = int
class Plain: ...
with open(__file__) as file:
    Within = int
"""


def test_a_type_may_be_defined_in_any_way(make: Made, folder: Project) -> None:
    names = (
        "Imported",
        "Conditional",
        "Tried",
        "Assigned",
        "Annotated_",
        "Plain",
        "Within",
        "dict[str, Plain]",
    )
    files = {
        f"sql/a/q{number}.sql": query("'{}'::jsonb as j", f"one Thing{number}", f"-- column j: {name}\n")
        for number, name in enumerate(names)
    }
    assert make(files | {f"{folder.output}/a/types.py": DEFINED}).errors == ()
    # A name that only running the module can show is assumed to exist.
    for unknown in ("from somewhere import *\n", "def __getattr__(name): ...\n", "this is no Python\n"):
        assert make(files | {f"{folder.output}/a/types.py": unknown}).errors == ()


# Each imports a name of a generated module itself: Decimal, Json, datetime.
OTHERS = {
    "sql/a/a_number.sql": query(":x::numeric", "value"),
    "sql/a/a_value.sql": query("'{}'::jsonb", "value"),
    "sql/a/z_time.sql": query("now()", "value"),
}


@pytest.mark.parametrize("written", ["Decimal", "b.Json", "datetime"])
def test_a_type_that_is_nowhere_is_no_fault_of_other_queries(make: Made, written: str) -> None:
    text = query("'{}'::jsonb as j", "one Thing", f"-- column j: {written}\n")
    (problem,) = make(OTHERS | {"sql/a/q.sql": text}).errors
    assert problem.message.startswith(f"a.q: the header gives j the type {written}, and there is no module ")


def test_a_missing_type_is_reported_in_addition_to_name_clashes(make: Made, folder: Project) -> None:
    clash = query("'{}'::jsonb as j, 1.5 as n", "one Thing", "-- column j: Decimal\n")
    missing = query("'{}'::jsonb as j", "one Other", "-- column j: Missing\n")
    types = {f"{folder.output}/a/types.py": "class Decimal: ...\n"}
    found = make(OTHERS | types | {"sql/a/clash.sql": clash, "sql/a/q.sql": missing}).errors
    assert [problem.message.partition(",")[0] for problem in found] == [
        f"a.clash: Decimal is a type of {folder.output}.a.types and of decimal",
        "a.q: the header gives j the type Missing",
    ]
