"""The definitions of names in a project's modules, read without running them."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Final, Literal

__all__ = ["Definition", "SourceDefinitions"]

_MOST_IMPORTS: Final = 8
"""The number of modules through which a name is followed."""
_COMPOUND: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of a name in a module."""

    kind: Literal["newtype", "class", "other", "unknown", "missing", "no module"]
    """``other`` for an alias or a function; ``unknown`` if it cannot be known without running the module."""
    base: str = ""
    """The base of a ``NewType``, or the first base of a class, as it is written."""


class SourceDefinitions:
    """The modules of one project, by their import names."""

    def __init__(self, package: str, folder: Path | None) -> None:
        self._package = package
        self._folder = folder
        self._modules: dict[str, list[ast.stmt] | Literal["missing"] | None] = {}
        self._found: dict[str, Definition] = {}

    def of(self, path: str) -> Definition:
        """Return the definition of ``package.module.Name``."""
        if path not in self._found:
            self._found[path] = self._definition(path, 0)
        return self._found[path]

    def _definition(self, path: str, depth: int) -> Definition:
        module, _, name = path.rpartition(".")
        if self._folder is None or depth > _MOST_IMPORTS:
            return Definition("unknown")
        if module not in self._modules:
            self._modules[module] = self._read(module)
        body = self._modules[module]
        if body == "missing":
            return Definition("no module")
        if body is None:
            return Definition("unknown")
        found = Definition("missing")
        for node in _statements(body):
            if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
                return Definition("unknown")
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                found = Definition("unknown")
            for each in self._defined(node, name, module, depth):
                found = each
        return found

    def _defined(self, node: ast.stmt, name: str, module: str, depth: int) -> list[Definition]:
        """Return the definition that a statement makes of a name, if it makes one."""
        if isinstance(node, ast.ClassDef) and node.name == name:
            return [Definition("class", ast.unparse(node.bases[0]) if node.bases else "")]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return [Definition("other")]
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return [self._imported(node, alias.name, module, depth)]
        if isinstance(node, ast.Import):
            names = (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            return [Definition("other")] if name in names else []
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        elif type(node).__name__ == "TypeAlias":  # from Python 3.12 on
            return [Definition("other")] if getattr(node.name, "id", "") == name else []  # type: ignore[attr-defined]
        if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return []
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and _last_name(value.func) == "NewType" and len(value.args) == 2:
            return [Definition("newtype", self._base(value.args[1], module, depth))]
        return [Definition("other")]

    def _imported(self, node: ast.ImportFrom, name: str, module: str, depth: int) -> Definition:
        source = node.module or ""
        if node.level:
            parts = module.split(".")
            is_package = self._is_package(module)
            parts = parts[: len(parts) - node.level + is_package]
            source = ".".join([*parts, *([source] if source else [])])
        found = self._definition(f"{source}.{name}", depth + 1)
        return Definition("unknown") if found.kind in ("missing", "no module") else found

    def _base(self, node: ast.expr, module: str, depth: int) -> str:
        """Return the base of a ``NewType``, through other ones."""
        if isinstance(node, ast.Name) and depth < _MOST_IMPORTS:
            below = self._definition(f"{module}.{node.id}", depth + 1)
            if below.kind == "newtype":
                return below.base
            if below.kind == "other":
                return ""
        return ast.unparse(node)

    def _is_package(self, module: str) -> bool:
        return any(file.name == "__init__.py" and file.is_file() for file in self._files(module))

    def _read(self, module: str) -> list[ast.stmt] | Literal["missing"] | None:
        """Return the statements of a module; ``None`` if they cannot be known."""
        if not module:
            return None
        for file in self._files(module):
            if file.is_file():
                try:
                    return ast.parse(file.read_bytes()).body
                except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                    return None
        top = module.split(".", maxsplit=1)[0]
        spec = next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
        return "missing" if spec is None or spec.submodule_search_locations is not None else None

    def _files(self, module: str) -> list[Path]:
        assert self._folder is not None
        parts, package = module.split("."), self._package.split(".")
        # The folder may not exist yet, so ".." is resolved by text.
        root = Path(normpath(self._folder.joinpath(*[".."] * len(package))))
        stems = [root.joinpath(*parts), root / "src" / Path(*parts)]
        if parts[: len(package)] == package:
            stems.insert(0, self._folder.joinpath(*parts[len(package) :]))
        spec = next((spec for finder in sys.meta_path if (spec := finder.find_spec(parts[0], None))), None)
        stems += [
            Path(folder, *parts[1:]) for folder in (spec and spec.submodule_search_locations) or () if folder
        ]
        if spec is not None and spec.submodule_search_locations is None and len(parts) == 1 and spec.origin:
            stems.append(Path(spec.origin).with_suffix(""))
        return [file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")]


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements at the top of a module, those below conditions among them."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, _COMPOUND):
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            inner += [
                statement
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.ExceptHandler)
                for statement in child.body
            ]
            found += _statements(inner)
    return found


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
