"""The generated package of the kitchen, character by character, and as Python runs it.

``PLAINSQL_UPDATE_GOLDEN=1`` writes it again; then read the difference.
"""

from __future__ import annotations

import ast
import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from plainsql import BindError, codegen
from plainsql.query import Query
from plainsql.types import UNSET
from tests.codegen.conftest import KITCHEN, Generate
from tests.codegen.kitchen.queries import kitchen

QUERIES = KITCHEN / "queries"


def test_the_generated_package_equals_the_golden_one(generate: Generate) -> None:
    files = generate(KITCHEN).files
    if os.environ.get("PLAINSQL_UPDATE_GOLDEN"):
        codegen.write(files, QUERIES)
    assert sorted(map(str, files)) == [
        *("enums.py", "kitchen/__init__.py", "kitchen/bookings.py", "kitchen/deep.py", "queries.py")
    ]
    for path, source in files.items():
        assert source == (QUERIES / path).read_text(encoding="utf-8"), path


def test_the_working_folder_is_not_seen_in_it(
    generate: Generate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = generate(KITCHEN).files
    monkeypatch.chdir(tmp_path)
    assert generate(KITCHEN).files == here
    monkeypatch.chdir(KITCHEN / "sql" / "kitchen")
    assert generate(KITCHEN).files == here


def test_the_order_of_the_files_does_not_matter(generate: Generate, copy: Path) -> None:
    before = generate(copy).files
    # The same files, written in another order.
    texts = {path: path.read_text() for path in (copy / "sql").rglob("*.sql")}
    for path in texts:
        path.unlink()
    for path in sorted(texts, reverse=True):
        path.write_text(texts[path])
    assert generate(copy).files == before


def test_the_text_that_runs_is_the_text_of_the_file() -> None:
    # Quotes, backslashes and conditional lines included.
    for name in kitchen.__all__:
        query = getattr(kitchen, name)
        if not isinstance(query, Query):
            continue
        text = (KITCHEN / query.file).read_text(encoding="utf-8")
        assert text.endswith(f"\n{query.sql}"), name


def test_docstrings_keep_quotes_and_backslashes() -> None:
    assert (kitchen.list.__doc__ or "").startswith(
        'List the dishes; in a docstring, """quotes""" and a back\\slash stay as they are.\n\n'
    )


def test_a_query_without_a_description_has_its_name_as_docstring() -> None:
    assert (kitchen.count.__doc__ or "").startswith("Count.\n\n")


def test_names_that_hide_builtins_do_no_harm() -> None:
    assert kitchen.int.compiled.bind((), {"str": 1, "list": [1]}) == (1, 2, [1])
    assert kitchen.list.compiled.bind((), {"date": date(2026, 1, 2), "id": 7}) == (
        UNSET,
        UNSET,
        date(2026, 1, 2),
        7,
        50,
        "newest",
    )


def test_bounds_and_defaults_have_the_type_of_their_parameter() -> None:
    values = kitchen.defaults.compiled.bind((), {"ratio": Decimal("0.5")})
    assert values == (
        Decimal("0.5"),
        Decimal(3),
        2.0,
        'it\'s "so" \\ here',
        "back\\slash",
        True,
        None,
    )
    assert [type(value) for value in values[1:4]] == [Decimal, float, str]
    with pytest.raises(BindError, match=r"ratio: the value is out of bounds, expected 0\.5\.\.5\.5"):
        kitchen.defaults.compiled.bind((), {"ratio": Decimal("0.4")})


def test_every_public_name_is_listed_and_nothing_else() -> None:
    for path in QUERIES.rglob("*.py"):
        tree = ast.parse(source := path.read_text(encoding="utf-8"))
        if not source.startswith(codegen.MARK):
            continue
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        defined |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
        # Enums are exported by each module that uses them.
        defined |= {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".enums")
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, ast.If):  # the types of the parameters, for type checkers
                assigned = [each for each in node.body if isinstance(each, ast.Assign)]
                defined |= {name for each in assigned if (name := ast.unparse(each.targets[0]))[0] != "_"}
                defined |= {each.name for each in node.body if isinstance(each, ast.ClassDef)}
        (listed,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        assert listed == sorted(defined)
