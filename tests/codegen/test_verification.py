"""The verification of generated sources: what could not be imported is reported, and nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.codegen import verify
from tests.codegen.conftest import Made, query

HEAD = "from __future__ import annotations\n\nfrom plainsql.query import Args, one\n\n__all__ = []\n\n\n"
QUERY = '@one[int]("a.q", "sql/a/q.sql", 3, """\\\nselect 1\n""")\ndef q() -> Args:\n    return ()\n'


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class None(Row):\n    pass\n", "cannot be used|invalid syntax|expected"),
        ("x = 1\nclass A:\n    class: int\n", "invalid syntax"),
        ("class A:\n    x: Missing\n", "the name Missing is not defined"),
        ("class A:\n    x: int\n    ﬁ: int\n    fi: int\n", "the class A would have the name fi twice"),
        ("class A: ...\nclass A: ...\n", "the module would have the name A twice"),
        ("from b import one\n", "the module would have the name one twice"),
        ("class Point: ...\nclass A:\n    Point: Point\n", "the name Point is not defined"),
        ("@one[Nothing]('a', 'b', 1, '')\ndef q(): ...\n", "the name Nothing is not defined"),
        ("def q(*, a: int = UNSET): ...\n", "the name UNSET is not defined"),
        ("def q(*, a: int):\n    return (a, b)\n", "the name b is not defined"),
    ],
)
def test_a_source_that_cannot_be_imported_is_an_error(source: str, problem: str) -> None:
    (error,) = verify({Path("a.py"): HEAD + source})
    assert error.message.startswith("no module can be made of these queries: ")
    assert any(text in error.message for text in problem.split("|")), error.message
    assert error.place
    assert error.place.path == "a.py"


def test_the_error_names_its_query() -> None:
    (error,) = verify({Path("a.py"): HEAD + QUERY + "    return (b,)\n"})
    assert error.place
    assert error.place.path == "sql/a/q.sql"


def test_a_source_that_can_be_imported_is_not_run() -> None:
    assert verify({Path("a.py"): HEAD + QUERY + "\n\nraise SystemExit\n"}) == []


def test_a_check_verifies_its_own_sources(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if a name had escaped the escaping.
    monkeypatch.setattr("plainsql.codegen.render.docstring_text", lambda text: text)
    found = make({"sql/a/q.sql": query('\'"""\' as x', "one Thing")})
    (problem,) = found.errors
    assert problem.name == "contract"
    assert problem.message.startswith("no module can be made of these queries: ")
