"""The names of the tests and of their fixtures: a claim has 70 characters, a shared fixture one meaning."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
MAX_NAME_LENGTH: Final = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef

OVERRIDDEN: Final = {
    "database_url": "in tests/database and tests/sync, the module's database is the shop",
    "connection": "a module of tests/analysis may create its types through the connection",
    "folder": "a module of tests/codegen may have settings of its own, which `make` and `load` then use",
    "outside": "a module of tests/database may create its table through the connection, which stays the same",
    "sides": "a module of tests/codegen may have a schema of its own on both drivers",
    "plainsql_migrate": "the plugin's fixture, which each layer overrides with its migrations",
}
"""Shared fixtures that may be overridden, each with the reason."""


@functools.cache
def functions(path: Path) -> list[Function]:
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def is_fixture(function: Function) -> bool:
    return any("pytest.fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


def fixtures(path: Path) -> list[str]:
    return [function.name for function in functions(path) if is_fixture(function)]


def test_the_name_of_a_test_has_at_most_70_characters() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{function.lineno}: {function.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for function in functions(path)
        if function.name.startswith("test_") and len(function.name) > MAX_NAME_LENGTH
    ]
    assert found == []


def overrides() -> Iterator[tuple[str, str]]:
    """Yield the fixtures of a conftest.py that a module or another conftest.py below it defines again."""
    for shared in sorted(TESTS.rglob("conftest.py")):
        names = set(fixtures(shared))
        for path in sorted(shared.parent.rglob("*.py")):
            if path != shared:
                for name in names.intersection(fixtures(path)):
                    yield name, str(path.relative_to(TESTS))


def test_a_shared_fixture_is_not_overridden_without_a_reason() -> None:
    assert [f"{path}: {name}" for name, path in overrides() if name not in OVERRIDDEN] == []


def test_every_reason_to_override_a_fixture_is_needed() -> None:
    assert {name for name, _ in overrides()} == OVERRIDDEN.keys()
