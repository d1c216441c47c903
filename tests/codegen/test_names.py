"""Names of tables, types, fields, labels and settings are data: code made of them imports, and runs none
of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import msgspec
import psycopg
import pytest

import plainsql.sync
from plainsql.rows import Composite, Row
from plainsql.settings import Project
from tests.codegen.conftest import SCHEMA, Made, query

Load = Callable[..., ModuleType]


def schema(text: str) -> dict[str, str]:
    return {"migrations/0001_all.sql": SCHEMA + text}


@pytest.fixture
def ask(fresh_database_url: str) -> Callable[..., Any]:
    """Call a query on a database with this schema, over psycopg."""

    def run(text: str, called: Any, **parameters: object) -> Any:
        with psycopg.connect(fresh_database_url, autocommit=True) as connection:
            connection.execute((SCHEMA + text).encode())
        with plainsql.sync.connect(fresh_database_url) as db:
            return called(db, **parameters)

    return run


def test_a_table_whose_name_is_code_stays_a_name(load: Load, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r},'w')"
    tables = [
        f'x":(),{code}:1,"'.replace('"', '""'),
        f'"""\n{code}\n"""'.replace('"', '""'),
        "back\\slash\\N",
        'three""""""quotes',
        'quote at the end""',
        "new\nline",
        "\u202eright to left\u2066",
        "\x1b[31mred",
    ]
    text = "".join(
        f'create table "{table}" (id integer primary key, owner text not null);\n'
        f'alter table "{table}" enable row level security;\n'
        f"create policy p on \"{table}\" using (owner = current_setting('app.t\"\\en''ant', true));\n"
        for table in tables
        if len(table.replace('""', '"').encode()) < 64
    )
    files = schema(text)
    for number, table in enumerate(tables):
        if f'table "{table}"' in text:
            files[f"sql/a/q{number}.sql"] = query(
                "t.id", header="-- cache: 5m\n", tail=f'from "{table}" as t\norder by t.id\nlimit 1\n'
            )
            files[f"sql/a/w{number}.sql"] = (
                f'-- It.\n-- returns: count\ndelete from "{table}" as t where t.id = :id\n'
            )
    module = load("a", files)
    assert not mark.exists()
    assert len(module.__all__) > 10
    source = Path(str(module.__file__)).read_text()
    assert not {"\u202e", "\u2066", "\x1b"} & set(source)
    assert "\\u202e" in source


def test_descriptions_labels_and_sql_hide_nothing_in_the_source(load: Load) -> None:
    hidden = "\u202e\u2066\u200b\x1b\ufeff"
    text = (
        f'-- It says {hidden[:2]} and """ \\N{{BULLET}} "\n-- returns: one Thing\n'
        f"select '{hidden[:2]}' as a, 'x{hidden[0]}'::label as b\n"
    )
    module = load("a", schema(f"create type label as enum ('x{hidden[0]}');\n") | {"sql/a/q.sql": text})
    source = Path(str(module.__file__)).read_text()
    assert not set(hidden) & set(source)
    assert hidden[:2] in module.q.sql
    assert f'It says {hidden[:2]} and """ \\N{{BULLET}} "' in (module.q.__doc__ or "")
    assert f"x{hidden[0]}" in get_type_hints(module.Thing)["b"].__args__


FIELDS = {
    "class": "class_",
    "from": "from_",
    "two words": "two_words",
    "two_words": "two_words_2",
    "ﬁ": "fi",
    "fi": "fi_2",
    "__init__": "_init__",
    "_x": "_x",
    "self": "self",
    "1st": "_1st",
    "None": "None_",
    'q"uote': "q_uote",
    "": "_",
}


def test_fields_of_composite_types_may_be_called_anything(load: Load, ask: Callable[..., Any]) -> None:
    names = {name: field for name, field in FIELDS.items() if name}
    columns = ", ".join('"{}" int'.format(name.replace('"', '""')) for name in names)
    text = f"create type odd as ({columns});\ncreate table odder ({columns});\n"
    row = f"row({', '.join(map(str, range(len(names))))})"
    files = schema(text) | {
        "sql/a/q.sql": query(f"{row}::odd as c, array[{row}::odder] as d, :p::odd as e", "one Thing")
    }
    module = load("a", files)
    assert [f.name for f in msgspec.structs.fields(module.Odd)] == [
        {"two_words_2": "two_words", "two_words": "two_words_2"}.get(f, f) for f in names.values()
    ]
    values = module.Odd(*range(len(names)))
    answer = ask(text, module.q, p=values)
    assert answer == module.Thing(values, [module.Odder(*range(len(names)))], values)


def test_types_may_have_the_names_of_a_modules_imports(load: Load, ask: Callable[..., Any]) -> None:
    names = [
        *("UUID", "Row", "Composite", "Any", "Literal", "list", "None", "none", "true", "int", "args"),
        *("json", "annotated", "null_error", "thing", "one", "point", "a-b", "a_b", "ﬁ", "fi", "_"),
    ]
    text = "".join(f'create schema "s s";create type "s s"."{name}" as (a uuid);\n' for name in names[:1])
    text += "".join(f'create type "s s"."{name}" as (a uuid);\n' for name in names[1:])
    id = "'0190c6a3-0f7e-7cc3-98c4-dc0c0c07398f'"
    columns = ", ".join(f'row({id})::"s s"."{name}" as c{number}' for number, name in enumerate(names))
    more = ", '{}'::jsonb as j, 'sad'::mood as m, array[1] as l, '(1,2)'::point as p, true as t"
    files = schema(text.replace("mood", "mood")) | {
        "sql/a/q.sql": query(columns + more.replace("'sad'::mood", "''::mood"), "one Thing")
    }
    module = load("a", files)
    answer = ask(text, module.q)
    composites: list[Any] = [
        value for value in msgspec.structs.astuple(answer) if isinstance(value, Composite)
    ]
    assert len(composites) == len({type(value) for value in composites}) == len(names)
    assert {str(value.a) for value in composites} == {id.strip("'")}
    assert issubclass(module.UUID, Composite)
    assert issubclass(module.Thing, Row)


def test_two_types_of_one_name_are_called_by_their_schemas(load: Load, ask: Callable[..., Any]) -> None:
    text = (
        "create schema s1; create schema s2;\n"
        "create type s1.point2 as (x int, y int); create type s2.point2 as (a text);\n"
    )
    files = schema(text) | {
        "sql/a/q.sql": query("row(1, 2)::s1.point2 as one, row('x')::s2.point2 as two", "one Thing"),
        "sql/b/q.sql": query("row('x')::s2.point2 as two", "one Thing"),
    }
    module = load("a", files)
    answer = ask(text, module.q)
    assert answer == module.Thing(module.S1Point2(1, 2), module.S2Point2("x"))
    other = importlib.import_module(module.__name__.removesuffix(".a") + ".b")
    assert other.__all__ == ["Point2", "Thing", "q"]


def test_a_composite_type_may_be_called_like_a_row_or_a_nested_row(load: Load) -> None:
    text = "create type thing as (x int); create type item as (x int); create type cook as (id bigint);\n"
    module = load(
        "a",
        schema(text)
        | {
            "sql/a/q.sql": query(
                'row(1)::thing as t, 1 as "item.x", row(1)::item as i, row(1)::cook as "Cook", 2 as "T.x"',
                "one Thing",
            )
        },
    )
    hints = get_type_hints(module.Thing, {**vars(module)}, {})
    named = {name: str(hint).split(".")[-1].removesuffix("'>") for name, hint in hints.items()}
    assert named["t"].startswith("PublicThing")
    assert (named["item"], named["i"].partition(" ")[0]) == ("Item", "PublicItem")
    assert named["Cook"].startswith("PublicCook")
    assert named["T"] == "ThingT"


NESTED = 'd.id, c.id as "cook.id", c.name as "cook.name"'
FROM = "from dishes as d\ninner join cooks as c on c.id = d.cook_id\norder by d.id\nlimit 9\n"


def test_queries_that_nest_one_prefix_differently_have_a_class_each(load: Load) -> None:
    files = {
        "sql/a/one.sql": query(NESTED, tail=FROM),
        "sql/a/two.sql": query('d.id, c.id as "cook.id"', "many Short", tail=FROM),
        "sql/b/one.sql": query(NESTED, tail=FROM),
        "sql/b/two.sql": query(NESTED, "many Same", tail=FROM),
        "sql/b/three.sql": query("c.id, c.name", "many Cook", tail=FROM),
        "sql/c/one.sql": query(NESTED, tail=FROM),
        "sql/c/three.sql": query("c.id", "many Cook", tail=FROM),
    }
    module = load("a", files)
    assert [name for name in module.__all__ if name[0].isupper()] == [
        "Dish",
        "DishCook",
        "Short",
        "ShortCook",
    ]
    assert "cook: ShortCook" in Path(str(module.__file__)).read_text()
    package = module.__name__.removesuffix(".a")
    assert importlib.import_module(f"{package}.b").__all__[:3] == ["Cook", "Dish", "Same"]
    assert importlib.import_module(f"{package}.c").__all__[:3] == ["Cook", "Dish", "DishCook"]


def test_a_name_with_more_in_it_is_no_name_that_another_class_has(load: Load) -> None:
    columns = 'd.id as "id", c.id as "cook.id", c.id as "dish_cook.number", c.id as "dishCook2.x"'
    files = {
        "sql/a/one.sql": query(columns, tail=FROM),
        "sql/a/two.sql": query('c.name as "cook.name"', "many Other", tail=FROM),
    }
    module = load("a", files)
    hints = get_type_hints(module.Dish, vars(module), {})
    classes = [hints["cook"], hints["dish_cook"], hints["dishCook2"]]
    assert [cls.__name__ for cls in classes] == ["DishCook3", "DishCook", "DishCook2"]
    assert [list(get_type_hints(cls)) for cls in classes] == [["id"], ["number"], ["x"]]


def test_one_row_that_nests_differently_is_refused_with_a_hint(make: Made) -> None:
    found = make(
        {
            "sql/a/one.sql": query(NESTED, tail=FROM),
            "sql/a/two.sql": query('d.id, c.id as "cook.id"', tail=FROM),
        }
    )
    (problem,) = found.errors
    assert problem.message.startswith('a.two: its "cook." differs from the "cook." of the Dish of ')
    assert (
        problem.hint
        == 'select the same columns "cook.…" in the same order, or name another row in the header'
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ('1 as "ﬁ", 2 as fi', "two columns are called 'fi'"),
        ('1 as "x.ﬁ", 2 as "x.fi"', "two columns are called 'x.fi'"),
        ('1 as "x.a", 2 as "x.a"', "two columns are called 'x.a'"),
        ('1 as "\uff43lass"', "column 1 is called '\uff43lass', which cannot be the name of a field"),
        ('1 as "\uff3f_x"', "column 1 is called '\uff3f_x', which cannot be the name of a field"),
    ],
)
def test_names_are_compared_as_python_reads_them(make: Made, columns: str, message: str) -> None:
    (problem,) = make({"sql/a/get.sql": query(columns)}).errors
    assert problem.message == f"a.get: {message}"


def test_queries_may_be_called_like_anything_that_a_module_has(load: Load) -> None:
    names = ("annotations", "print", "type", "row", "args", "builtins", "optional", "count", "match", "dict")
    module = load("a", {f"sql/a/{name}.sql": query("1 as annotations", "one Thing") for name in names})
    assert module.__all__ == sorted(["Thing", *names])
    assert all(getattr(module, name).compiled.build([(1,)]) == [module.Thing(1)] for name in names)


def test_parameters_may_have_the_names_of_called_functions(load: Load) -> None:
    module = load(
        "a",
        {
            "sql/a/get.sql": query(
                ":NullError::int + 1 as a, :Decimal::numeric + 1 as b, :bounded::int + 1 as c",
                "one Thing",
                "-- param Decimal: 1.5..2.5\n-- param bounded: 1..2\n",
            )
        },
    )
    from decimal import Decimal

    good = {"NullError": 1, "Decimal": Decimal(2), "bounded": 1}
    assert module.get.compiled.bind((), good) == (1, Decimal(2), 1)
    with pytest.raises(plainsql.BindError, match="Decimal: the value is out of bounds"):
        module.get.compiled.bind((), {**good, "Decimal": Decimal(3)})
    with pytest.raises(plainsql.BindError, match="NullError: expected int, got None"):
        module.get.compiled.bind((), {**good, "NullError": None})


def test_the_folder_of_the_queries_may_be_called_anything(
    make: Made, folder: Project, tmp_path: Path
) -> None:
    from plainsql import codegen
    from plainsql.codegen.modules import plan_modules

    found = make({"sql/a/q.sql": query("1 as x", "one Thing"), "sql/q.sql": query("1 as x", "one Thing")})
    modules, errors = plan_modules(found.inspection.checked, "p", folder.output_folder)
    assert not errors
    for sql in ('x"""y\nimport os', "\\N", "\u202ex\r", "'\"\\"):
        files = codegen.sources(modules, sql)
        assert codegen.verify(files) == []
