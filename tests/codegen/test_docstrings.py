"""The docstrings of generated modules: comments of the database, texts of the header, deprecated queries."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import plainsql
from plainsql.cli.app import main
from plainsql.errors import SqlFileError
from plainsql.settings import Project
from plainsql.statements import parse
from tests.codegen.conftest import SCHEMA, Load

COMMENTS = """
create view board as select d.id, d.stars from dishes as d;
comment on column dishes.stars is 'Those of the guests,
  not of the critics';
comment on column dishes.mood is E'\"\"\"It says \"\"\" \\N{BULLET} \x1b and \\\\ "';
comment on column board.stars is 'Of the board';
comment on column cooks.name is 'As on the door.';
"""

ROWS = """-- Dishes with their cooks.
-- returns: many Dish
-- param least: 0..5 = 0 -- the fewest stars
-- param named: -- part of the cook's name
-- param order: = 'stars' -- the first is the default
-- column named: -- the name of the cook, or
--   a hyphen
-- column stars_twice: not null -- two - one -- and so on
select
  d.id,
  d.stars,
  d.mood,
  b.stars as on_board,
  coalesce(c.name, '-') as named,
  d.stars * 2 as stars_twice,
  c.name as "cook.name",
  c.mail as "cook.mail"
from dishes as d
inner join board as b on b.id = d.id
left join cooks as c on c.id = d.cook_id
where d.stars >= :least
  and c.name like :named  --?
order by
  d.stars,  --? order=stars
  c.name,   --? order=name
  d.id
"""

OLD = """-- Makes a cook.
-- returns: count
-- deprecated: use cooks.make "instead", it is \\N and
--   faster
insert into cooks (id, name) values (:id, :name)
"""


@pytest.fixture
def module(load: Load) -> ModuleType:
    return load(
        "a",
        {"migrations/0001_all.sql": SCHEMA + COMMENTS, "sql/a/rows.sql": ROWS, "sql/a/old.sql": OLD},
    )


def _fields(module: ModuleType, name: str) -> dict[str, str]:
    """Return the docstrings of a class's fields."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    texts: dict[str, str] = {}
    for field, after in zip(found.body, found.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
            texts[ast.unparse(field.target)] = ast.literal_eval(after.value)
    return texts


def test_comments_and_texts_reach_docstrings(
    module: ModuleType,
    folder: Project,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = _fields(module, "Dish")
    # The words of a comment stay on their lines; the rest of the line is only indented.
    assert [line.strip() for line in fields.pop("stars").splitlines()] == [
        "Those of the guests,",
        "not of the critics",
    ]
    assert fields == {
        "mood": '"""It says """ N{BULLET} \x1b and \\ "',
        "on_board": "Of the board",
        "named": "the name of the cook, or a hyphen",
        "stars_twice": "two - one -- and so on",
    }
    assert _fields(module, "Cook") == {"name": "As on the door."}
    lines = str(module.rows.__doc__).splitlines()
    assert "    least: the fewest stars. 0..5, 0 by default." in lines
    assert "    named: part of the cook's name." in lines
    assert "    order: the first is the default." in lines
    # Without a text, the comment on the column that the parameter is written into.
    assert "    name: As on the door." in str(module.old.__doc__).splitlines()
    assert (
        '    Deprecated: use cooks.make "instead", it is \\N and faster.'
        in str(module.old.__doc__).splitlines()
    )

    monkeypatch.chdir(folder.root)
    assert main(["describe", "a.rows", "--json", "--scratch", database_url]) == 0
    facts = json.loads(capsys.readouterr().out)
    texts: dict[str, str] = {column["name"]: column["description"] for column in facts["columns"]}
    assert texts["on_board"] == "Of the board"
    assert texts["id"] == ""
    assert {each["name"]: each["description"] for each in facts["parameters"]}[
        "named"
    ] == "part of the cook's name"
    assert main(["describe", "a.old", "--scratch", database_url]) == 0
    shown = capsys.readouterr().out
    assert "deprecated: use cooks.make" in shown
    assert "As on the door." in shown


def test_a_deprecated_query_warns_at_its_callers_line(module: ModuleType, folder: Project) -> None:
    class Executor:
        def run(self, query: Any, values: Any) -> Any:
            return values

        def batch(self, query: Any, sets: Any) -> Any:
            return sets

    loaded = plainsql.load(folder.sql_folder).a
    for old in (module.old, loaded.old):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            old(Executor(), id=1, name="x")
            old.batch(Executor(), [{"id": 1, "name": "x"}])
        assert [(each.filename, each.category) for each in caught] == [(__file__, DeprecationWarning)] * 2
        assert len({each.lineno for each in caught}) == 2
        assert str(caught[0].message) == 'a.old is deprecated: use cooks.make "instead", it is \\N and faster'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.rows(Executor())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("param id: --", "expected a text after the two dashes, got nothing"),
        ("param ix: -- the number", "ix"),
        ("param id: 1.. --the number", "'1.. --the number' is not a range"),
        ("column x: not nul -- a text", "is not a type"),
        ("deprecated:", "deprecated has no value"),
        ("deprecated use another", "expected a key and a colon"),
    ],
)
def test_a_text_that_cannot_be_read_is_one_error(line: str, message: str) -> None:
    with pytest.raises(SqlFileError) as caught:
        parse(f"-- It.\n-- returns: value\n-- {line}\nselect :id::int as x\n", name="a.q", path="q.sql")
    assert message in str(caught.value)
    assert str(caught.value).startswith("q.sql:3:")
    assert caught.value.hint


def test_dashes_in_a_quoted_text_belong_to_it() -> None:
    statement = parse(
        "-- It.\n-- returns: value\n-- param id: = 'a -- b' -- c\nselect :id as x\n", name="a.q", path="q.sql"
    )
    [parameter] = statement.parameters
    assert parameter.bounds is not None
    assert (parameter.bounds.default, parameter.description) == ("a -- b", "c")
