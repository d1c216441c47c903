"""Everything that users can name is in the documentation, with its default."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import pytest

import plainsql
import plainsql.errors
import plainsql.sync
from plainsql import Database, Transaction, embedded, migrate, reach, redis_link
from plainsql.cli import old_names
from plainsql.database import factory
from plainsql.query import Query, declare
from plainsql.settings import Project
from plainsql.statements import header
from tests.docs.markdown import ROOT, codes_in, pages, table_with, text_of

ALL = "\n".join(text_of(page) for page in pages())


def options(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def documented_options(page: str) -> dict[str, Any]:
    rows = table_with(page, "option", "default")
    return {codes_in(name)[0]: ast.literal_eval(codes_in(default)[0]) for name, default, _ in rows}


def test_every_key_of_a_header_is_documented() -> None:
    rows = table_with("docs/queries.md", "key", "meaning")
    assert {re.split(r"[ :]", codes_in(key)[0])[0] for key, _ in rows} == set(header.KEYS)


def test_every_option_of_connect_is_documented_with_its_default() -> None:
    assert documented_options("docs/connections.md") == options(plainsql.connect)


def test_every_option_of_the_synchronous_connect_is_named() -> None:
    section = text_of("docs/sync.md").partition("## Options")[2].partition("\n## ")[0]
    assert [name for name in options(plainsql.sync.connect) if f"`{name}`" not in section] == []


def test_embedded_server_options_are_documented_with_their_defaults() -> None:
    parameters = inspect.signature(embedded.start).parameters
    assert documented_options("docs/embedded.md") == {name: p.default for name, p in parameters.items()}


@pytest.mark.parametrize(
    "kind", [Database, Transaction, plainsql.sync.Database, embedded.EmbeddedServer, Query]
)
def test_every_method_is_documented(kind: type) -> None:
    # What executors and queries are to each other is not for users.
    inner = {"compiled", "kind"}
    inner |= {"run", "fresh", "stream", "batch", "copy_rows", "execute_many"} if kind is not Query else set()
    names = {name for name in dir(kind) if not name.startswith("_")} - inner
    undocumented = [name for name in sorted(names) if not re.search(rf"[.`]{name}\b", ALL)]
    assert undocumented == []


def test_every_error_is_documented() -> None:
    rows = table_with("docs/errors.md", "error", "who")
    errors = {
        name
        for name in plainsql.errors.__all__
        if inspect.isclass(found := getattr(plainsql.errors, name)) and issubclass(found, Exception)
    }
    assert {codes_in(name)[0] for name, *_ in rows} == errors - {"PlainsqlError"}


def test_every_public_name_is_documented() -> None:
    assert [name for name in plainsql.__all__ if not re.search(rf"\b{name}\b", ALL)] == []


def test_every_public_name_of_migrate_and_of_its_states_is_documented() -> None:
    text = text_of("docs/migrations.md")
    raised = [name for name in migrate.__all__ if name.endswith("Error")]
    assert [name for name in raised if f"`{name}`" not in text] == []
    assert [name for name in ("apply", "rollback", "status", "new") if f"`{name}`" not in text] == []
    states = {codes_in(state)[0] for state, _ in table_with("docs/migrations.md", "state", "meaning")}
    assert states == {"applied", "pending", "edited", "missing", "interrupted"}


def test_every_fixture_is_documented() -> None:
    source = ast.parse((ROOT / "src/plainsql/testing.py").read_text("utf-8"))
    scopes = {}
    for node in source.body:
        if isinstance(node, ast.FunctionDef) and any(
            "fixture" in ast.unparse(d) for d in node.decorator_list
        ):
            found = re.search(r"scope='(\w+)'", ast.unparse(node.decorator_list[0]))
            scopes[node.name] = found[1] if found else "function"
    rows = table_with("docs/testing.md", "fixture", "scope")
    assert {codes_in(name)[0]: scope for name, scope, _ in rows} == scopes


def test_every_setting_is_documented() -> None:
    rows = table_with("docs/settings.md", "key", "default")
    inner = {"root", "name", "is_database"}
    # A table and an empty list have no default to show.
    known = {
        field.name: "" if field.default is MISSING else str(field.default or "")
        for field in fields(Project)
        if field.name not in inner
    }
    assert {codes_in(key)[0]: codes_in(default)[0] if default else "" for key, default, _ in rows} == known


def test_every_environment_variable_is_documented() -> None:
    sources = [(ROOT / "src/plainsql" / name).read_text("utf-8") for name in ("settings.py", "testing.py")]
    named = {
        name
        for source in sources
        for name in re.findall(r"\b(?:DATABASE_URL|REDIS_URL|PLAINSQL_[A-Z_]+URL)\b", source)
    }
    named |= {f"{kind}_{part}" for kind in ("DB", "REDIS") for part in ("HOST", "PORT", "PASSWORD")}
    named |= {"DB_NAME", "DB_USER", "REDIS_DB"}
    assert [name for name in sorted(named) if f"`{name}`" not in ALL] == []


def test_every_old_name_is_documented() -> None:
    rows = table_with("docs/upgrading.md", "old name", "new name")
    old = " ".join(name for name, _ in rows)
    options = [" ".join((*command, name)) for command, names in old_names._OPTIONS.items() for name in names]
    names = [
        *factory._NEW_NAMES,
        *header._FORMER_KEYS,
        *declare._FormerFacts.__annotations__,
        *redis_link._NEW_NAMES,
        *reach._FORMER_NAMES,
        *map(" ".join, old_names._COMMANDS),
        *options,
    ]
    assert len(names) >= 10
    assert [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}\b", old)] == []


def test_every_extra_is_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    rows = table_with("docs/installation.md", "extra", "brings")
    assert {name for extra, *_ in rows for name in codes_in(extra)} == set(project["optional-dependencies"])


def test_every_make_target_that_a_page_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+) ", ALL, re.MULTILINE))
    for name in {one or other for one, other in named} | {"demo", "test"}:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name
