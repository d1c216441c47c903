"""The folders of ``plainsql.database`` are layers: each imports itself and what is below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import plainsql.database

_PACKAGE = Path(plainsql.database.__file__).parent

_MAY_IMPORT = {
    "pool": {"pool"},
    "execution": {"pool", "execution"},
    "caching": {"pool", "execution", "caching"},
    "replicas": {"pool", "execution", "caching", "replicas"},
    "guest": {"pool", "execution", "guest"},
    # The modules right under the package.
    "": {"pool", "execution", "caching", "replicas", "guest", ""},
}


def _imports(package: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the folder that imports, the folder that is imported, and the place."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).parts
        importer = parts[0] if len(parts) > 1 else ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plainsql.database"):
                names = [*(node.module or "").split(".")[2:], *(alias.name for alias in node.names)]
                imported = names[0] if (package / names[0]).is_dir() else ""
                yield importer, imported, f"{path.relative_to(package)}:{node.lineno}"


def test_every_folder_has_its_place() -> None:
    folders = {path.name for path in _PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == set(_MAY_IMPORT) - {""}


def test_imports_point_down() -> None:
    found = [
        f"{place}: {importer} must not import from {imported or 'the top'}"
        for importer, imported, place in _imports(_PACKAGE)
        if imported not in _MAY_IMPORT[importer]
    ]
    assert found == []


def test_an_import_that_points_up_is_found(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "execution").mkdir()
    source = "from plainsql.database.execution import driver\nfrom plainsql.database.state import x\n"
    (tmp_path / "pool" / "a.py").write_text(source, encoding="utf-8")
    assert [(importer, imported) for importer, imported, _ in _imports(tmp_path)] == [
        ("pool", "execution"),
        ("pool", ""),
    ]
