"""Names, labels, headers and variants that could break generated code: it imports, and claims nothing
unproved.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import ContractError, codegen
from plainsql.query import Query
from plainsql.rows import builder
from plainsql.settings import Project
from tests.codegen.conftest import SCHEMA, Made, query


def types_of(row: type) -> dict[str, Any]:
    # A type checker resolves an annotation in the class: its own fields come first.
    builder(row)
    return {field.name: field.type for field in msgspec.structs.fields(row)}


def test_labels_of_enums_may_contain_anything(load: Callable[..., ModuleType]) -> None:
    module = load("a", {"sql/a/get.sql": query("d.mood, d.nothing", tail="from dishes as d\nlimit 1\n")})
    types = types_of(module.Dish)
    assert types["mood"].__args__[0].__args__ == (
        'a"b',
        "tab\there",
        "cr\rlf\n",
        "\x0b\u2028",
        "{x}",
        "back\\",
        "",
    )
    assert types["nothing"] == str | None


def test_columns_may_be_called_like_every_name_that_a_type_could_have(
    load: Callable[..., ModuleType],
) -> None:
    columns = (
        "1 as int, 2 as int_, 3 as int__, current_date as date, current_date as date_, now() as datetime, "
        "array[1] as list, array[1] as list_, 1.5 as \"Decimal\", 'x' as str, 'y' as self"
    )
    types = types_of(load("a", {"sql/a/get.sql": query(columns)}).Dish)
    assert {name: type.__name__ for name, type in types.items() if name[:4] != "list"} == {
        **dict.fromkeys(["int", "int_", "int__"], "int"),
        **dict.fromkeys(["date", "date_"], "date"),
        **dict.fromkeys(["str", "self"], "str"),
        "datetime": "datetime",
        "Decimal": "Decimal",
    }
    assert str(types["list"]) == str(types["list_"]) == "list[int]"


def test_queries_and_parameters_may_have_the_names_of_imports(
    load: Callable[..., ModuleType], fresh_database_url: str
) -> None:
    names = ("one", "many", "optional", "bounded", "composite", "self", "uuid", "list")
    module = load(
        "a",
        {
            f"sql/a/{name}.sql": query(
                "array[:list::int] as x, :self::int as y, :db::int as z, "
                ":bounded::int as a, :bounded_::int as b",
                f"one {'UUID' if name == 'uuid' else 'Many'}",
                "-- param bounded: 1..9\n",
            )
            for name in names
        },
    )
    with plainsql.sync.connect(fresh_database_url) as db:
        for name in names:
            row = getattr(module, name)(db, list=1, self=2, db=3, bounded=4, bounded_=5)
            assert msgspec.structs.astuple(row) == ([1], 2, 3, 4, 5)


def test_folders_may_be_called_like_modules_of_python(load: Callable[..., ModuleType]) -> None:
    files = {
        f"sql/{name}/get.sql": query("now() as x", "value") for name in ("typing", "datetime", "plainsql")
    }
    assert load("datetime", files).get.name == "datetime.get"
    assert load("typing", files).get.name == "typing.get"


NESTED = 'd.id, c.id as "cook.id", c.name as "cook.name", c.mail as "cook.mail"'
FROM = "from dishes as d\nleft join cooks as c on d.cook_id = c.id\norder by d.id\nlimit 9\n"


@pytest.mark.parametrize("column", ["cook.name", "cook.id"])
def test_an_override_in_a_nested_row_leaves_it_none_without_a_match(
    load: Callable[..., ModuleType], fresh_database_url: str, column: str
) -> None:
    header = f"-- column {column}: not null\n"
    module = load("a", {"sql/a/get.sql": query(NESTED, header=header, tail=FROM)})
    assert types_of(module.Dish)["cook"] == module.Cook | None
    assert types_of(module.Cook) == {"id": int, "name": str, "mail": str | None}
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA + "insert into dishes (id, stars) values (1, 1)")
    with plainsql.sync.connect(fresh_database_url) as db:
        assert [row.cook for row in module.get(db)] == [None]


def test_an_override_makes_a_nested_column_nullable(load: Callable[..., ModuleType]) -> None:
    module = load("a", {"sql/a/get.sql": query(NESTED, header="-- column cook.id: nullable\n", tail=FROM)})
    assert types_of(module.Cook)["id"] == int | None


def test_columns_null_together_in_one_variant_are_nullable_alone(load: Callable[..., ModuleType]) -> None:
    # In a left join only "pair.cook" can be null, in a full join both can, each without the other.
    tail = (
        "from dishes as d\n"
        "left join cooks as c on d.cook_id = c.id --? how=left\n"
        "full join cooks as c on d.cook_id = c.id --? how=full\n"
        "order by d.id, c.id\nlimit 9\n"
    )
    module = load("a", {"sql/a/get.sql": query('d.id as "pair.dish", c.id as "pair.cook"', tail=tail)})
    assert types_of(module.Pair) == {"dish": int | None, "cook": int | None}


def test_of_many_variants_each_choice_is_analysed_for_itself(load: Callable[..., ModuleType]) -> None:
    # Of 48 variants, the middle one has neither the fewest parameters nor the most, and it alone makes null.
    lines = "".join(f"  and d.stars > :p{n}  --?\n" for n in range(4))
    tail = (
        "from dishes as d\n"
        "inner join cooks as c on d.cook_id = c.id --? how=least\n"
        "left join cooks as c on d.cook_id = c.id and c.id = :a and c.name = :b --? how=middle\n"
        "inner join cooks as c on d.cook_id = c.id and c.id > :e and c.id < :f and c.id <> :g"
        " and c.name > :h and c.name < :i and c.name <> :j and c.mail > :k --? how=most\n"
        f"where true\n{lines}order by d.id\nlimit 9\n"
    )
    module = load("a", {"sql/a/get.sql": query("c.name", tail=tail)})
    assert types_of(module.Dish) == {"name": str | None}
    assert {"a", "b", "k", "p3", "how"} <= set(module.get.parameters)


TYPES = "import msgspec\n\n\nclass Payload(msgspec.Struct):\n    text: str\n"


def test_json_types_may_be_in_the_folder_of_the_queries(
    load: Callable[..., ModuleType], folder: Project
) -> None:
    files = {
        "sql/a/get.sql": query("d.payload", header="-- column payload: Payload\n", tail="from dishes as d\n"),
        f"{folder.output}/a/types.py": TYPES,
    }
    module = load("a", files)
    own = importlib.import_module(f"{folder.import_name}.a.types")
    build = builder(module.Dish)
    assert build([(b'{"text": "x"}',)]) == [module.Dish(own.Payload("x"))]


def test_each_element_of_a_json_array_has_the_headers_type(
    load: Callable[..., ModuleType], fresh_database_url: str
) -> None:
    text = query("array['[1]'::jsonb, null] as x", "value", "-- column x: list[list[int]]\n")
    with plainsql.sync.connect(fresh_database_url) as db:
        assert load("a", {"sql/a/get.sql": text}).get(db) == [[1], None]


@pytest.mark.parametrize(
    ("columns", "hint", "message"),
    [
        ("d.stars", "list[int]", "the header gives stars the type list[int], but it is integer"),
        ("d.documents", "Payload", "the header gives documents the type Payload, but it is jsonb[]"),
    ],
)
def test_only_json_columns_have_a_type_in_the_header(
    make: Made, columns: str, hint: str, message: str
) -> None:
    name = columns.partition(".")[2]
    text = query(columns, header=f"-- column {name}: {hint}\n", tail="from dishes as d\nlimit 1\n")
    (problem,) = make({"sql/a/get.sql": text}).errors
    assert (problem.name, problem.message, problem.line) == ("contract", f"a.get: {message}", 3)


def test_two_types_of_one_name_do_not_hide_each_other(make: Made, folder: Project) -> None:
    header = "-- column payload: Payload\n-- column other: shop.Payload\n"
    text = query("d.payload, d.payload as other", header=header, tail="from dishes as d\nlimit 1\n")
    types = {f"{folder.output}/{layer}/types.py": "Payload = dict\n" for layer in ("a", "shop")}
    (problem,) = make({"sql/a/get.sql": text} | types).errors
    assert problem.message.startswith("a.get: Payload is a type of ")
    assert problem.hint == "rename the Payload that the header names"


def test_a_hand_written_package_does_not_swallow_the_queries_of_its_folder(
    make: Made, folder: Project
) -> None:
    found = make(
        {
            "sql/a/get.sql": query("1 as x"),
            "sql/a/b/get.sql": query("1 as x"),
            f"{folder.output}/a/__init__.py": "",
        }
    )
    assert [problem.path for problem in found.outdated(folder)][-1].endswith("/a/__init__.py")
    with pytest.raises(ContractError, match="would be overwritten, and plainsql did not write it"):
        codegen.write(found.files, folder.output_folder)


BODIES = {
    "a backslash at the end": "select 'x' as x -- \\",
    "triple quotes": "select '\"\"\"' as x, '\"' as y",
    "escapes": "select E'\\\\n\\t\\'' as x, '\\N{BULLET} \\x41 \\u0041' as y",
    "tabs and a form feed": "select\t'\f' as x\t",
    "dollar quotes": "select $a$ :no \\$b$ $a$ as x",
    "beyond ASCII": "select 'ñ\u2028\u0085💡' as x",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_generated_query_holds_the_very_text_of_its_file(
    load: Callable[..., ModuleType], folder: Project, case: str
) -> None:
    text = '-- It says """ and \\ and \'\n-- returns: one Text\n' + BODIES[case]
    loaded = load("a", {"sql/a/get.sql": text})
    at_run_time = plainsql.load(folder.sql_folder)["a.get"]
    assert loaded.get.compiled.text(())[0].sql == at_run_time.compiled.text(())[0].sql
    assert (loaded.get.__doc__ or "").startswith('It says """ and \\ and \'\n')


def test_generated_queries_are_pickled_by_reference(load: Callable[..., ModuleType]) -> None:
    module = load("a", {"sql/a/get.sql": query("1 as x", "one Dish")})
    assert pickle.loads(pickle.dumps(module.get)) is module.get
    assert copy.deepcopy(module.get) is module.get
    assert pickle.loads(pickle.dumps(module.Dish(1))) == module.Dish(1)


@pytest.fixture
def queries(folder: Project) -> Any:
    files = {
        "leads/get.sql": query(":self::int as keys", "one Lead"),
        "items/keys.sql": query("1 as x, 2 as y", "value"),
        "items/values.sql": query("1 as x\norder by x --? by=up\norder by x desc --? by=down", "many value"),
        "items/within.sql": query(":n::numeric as x", "value", "-- param n: 1..5\n"),
    }
    for name, text in files.items():
        (folder.sql_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.sql_folder / name).write_text(text)
    return plainsql.load(folder.sql_folder)


def test_loaded_queries_may_be_called_like_the_methods_of_a_mapping(queries: Any) -> None:
    assert isinstance(queries.leads.get, Query)
    assert isinstance(queries.items.keys, Query)
    assert [*queries.items] == ["keys", "values", "within"]
    assert [queries.items[name].name for name in queries.items] == [
        "items.keys",
        "items.values",
        "items.within",
    ]
    assert ("keys" in queries.items, "items.keys" in queries, "keys" in queries) == (True, True, False)


def test_loaded_queries_travel_to_other_processes(queries: Any, fresh_database_url: str) -> None:
    with plainsql.sync.connect(fresh_database_url) as db:
        before = queries.leads.get(db, self=1)
        again = pickle.loads(pickle.dumps(copy.deepcopy(queries))).leads.get
        assert msgspec.structs.asdict(again(db, self=1)) == msgspec.structs.asdict(before) == {"keys": 1}


def test_a_loaded_value_has_one_column(queries: Any, fresh_database_url: str) -> None:
    with plainsql.sync.connect(fresh_database_url) as db, pytest.raises(ContractError) as raised:
        queries.items.keys(db)
    assert raised.value.message == "items.keys returns 2 columns, its header says it returns a value"


def test_a_choice_that_is_no_text_is_refused(queries: Any) -> None:
    wrongs: list[object] = [["up"], {}, 1, None]
    for wrong in wrongs:
        with pytest.raises(plainsql.BindError, match=r"by: expected one of up, down"):
            queries.items.values.compiled.text((wrong,))


def test_a_bound_refuses_a_value_that_is_no_number(queries: Any) -> None:
    from decimal import Decimal

    for wrong in ("three", object(), [3]):
        with pytest.raises(plainsql.BindError, match="n: expected a number, got "):
            queries.items.within.compiled.bind((), {"n": wrong})
    for outside in (Decimal("nan"), Decimal("snan"), float("nan"), "nan", "7"):
        with pytest.raises(plainsql.BindError, match=r"n: the value is out of bounds, expected 1\.\.5"):
            queries.items.within.compiled.bind((), {"n": outside})
    assert queries.items.within.compiled.bind((), {"n": "3.5"}) == ("3.5",)
