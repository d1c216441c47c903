"""No module of plainsql imports itself through others: imports for type checkers and in functions count."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "plainsql"

# The order of the folders and modules of plainsql/analysis, the lowest first: each may import those before
# it, and modules of its own folder. A new one needs an entry here.
ANALYSIS_ORDER = (
    *("model", "nodes", "describer", "deep_stack", "assumptions", "missing_features"),
    *("catalog", "tree", "conditions", "cardinality", "nullability", "effects", "origins", "shapes"),
    *("findings", "distribution"),
    *("analyser", "__init__"),
    *(
        "conflict_targets",
        "preparation",
        "merge",
        "query_settings",
        "representative_variants",
        "batched_plans",
    ),
    *("checkout_identity", "scratch_records", "scratch_database", "sandbox"),
)


def modules_of(package: Path) -> dict[str, ast.Module]:
    """The modules of a package by their full names, parsed."""
    return {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)): ast.parse(
            path.read_bytes(), str(path)
        )
        for path in sorted(package.rglob("*.py"))
    }


def imports_in(name: str, tree: ast.Module, modules: Mapping[str, ast.Module]) -> Iterator[str]:
    """The modules of the package that one of them imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (found for alias in node.names if (found := _module(alias.name, modules)))
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                base = [*name.split(".")[: -node.level], *base]
            whole = ".".join(base)
            for alias in node.names:
                if found := _module(f"{whole}.{alias.name}", modules) or _module(whole, modules):
                    yield found


def _module(name: str, modules: Mapping[str, ast.Module]) -> str | None:
    return next((each for each in (name, f"{name}.__init__") if each in modules), None)


def graph_of(package: Path) -> dict[str, set[str]]:
    modules = modules_of(package)
    return {name: set(imports_in(name, tree, modules)) - {name} for name, tree in modules.items()}


def cycle_in(graph: Mapping[str, AbstractSet[str]]) -> list[str]:
    """The modules of one cycle, in the order of their imports; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def imports_up(graph: Mapping[str, AbstractSet[str]]) -> list[str]:
    """The imports within plainsql/analysis that do not follow its order."""
    prefix = "plainsql.analysis."
    found: list[str] = []
    for name, imported in sorted(graph.items()):
        if not name.startswith(prefix):
            continue
        own = name.removeprefix(prefix).split(".")[0]
        for other in sorted(each.removeprefix(prefix) for each in imported if each.startswith(prefix)):
            part = other.split(".")[0]
            if part != own and ANALYSIS_ORDER.index(part) > ANALYSIS_ORDER.index(own):
                found.append(f"{name} imports {prefix}{other}")
    return found


def test_no_module_imports_itself_through_others() -> None:
    assert not cycle_in(graph_of(PACKAGE))


def test_every_part_of_the_analysis_has_its_place_in_the_order() -> None:
    parts = {path.stem for path in (PACKAGE / "analysis").iterdir() if path.name != "__pycache__"}
    assert parts == set(ANALYSIS_ORDER)


def test_imports_in_the_analysis_point_down() -> None:
    assert not imports_up(graph_of(PACKAGE))


@pytest.mark.parametrize(
    "back",
    [
        "from plainsql.a import x",
        "from .a import x",
        "from . import a",
        "import plainsql.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from plainsql.a import x",
        "def f():\n    from plainsql import a",
    ],
)
def test_a_cycle_is_found_however_it_is_written(tmp_path: Path, back: str) -> None:
    package = tmp_path / "plainsql"
    package.mkdir()
    (package / "a.py").write_text("from plainsql.b import y", encoding="utf-8")
    (package / "b.py").write_text(back, encoding="utf-8")
    assert set(cycle_in(graph_of(package))) == {"plainsql.a", "plainsql.b"}


def test_an_import_upward_is_found() -> None:
    graph = {"plainsql.analysis.tree.scopes": {"plainsql.analysis.effects.effects"}}
    assert imports_up(graph) == ["plainsql.analysis.tree.scopes imports plainsql.analysis.effects.effects"]
