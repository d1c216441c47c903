"""The types that headers give to JSON columns. They are looked up in the project's sources without running
them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Final

from plainsql.analysis.model import ColumnFact
from plainsql.codegen.declared_json import Difference, TypeSource, differences
from plainsql.codegen.python_types import Annotation, below_domains
from plainsql.errors import ContractError, Place
from plainsql.statements import ColumnHint, Statement

__all__ = ["JsonTypes"]

_BUILTINS: Final = frozenset(
    {"list", "dict", "str", "int", "float", "bool", "None", "tuple", "set", "frozenset"}
)
_WORD: Final = re.compile(r"[A-Za-z_][\w.]*")
_COMPOUND: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)


class JsonTypes:
    """The types of JSON columns of one project."""

    def __init__(self, package: str, folder: Path | None) -> None:
        self._package = package
        """The import name of the generated package."""
        self._folder = folder
        """Its folder; ``None`` if it is not known, and then no type is looked up."""
        self._known: dict[str, frozenset[str] | None] = {}
        self.not_json: set[ColumnHint] = set()
        """The lines about columns of other types."""

    def define(self, module: str, names: frozenset[str]) -> None:
        """Take the names of a module that is generated: its file need not exist yet."""
        if names:
            self._known[module] = names

    def annotate(self, written: str, place: Place, column: ColumnFact, statement: Statement) -> Annotation:
        """Return the annotation of a column: ``whatsapp.Payload`` → ``Annotated[Payload, JSON]``.

        Raises ``ContractError`` if the column is not JSON.
        """
        target, outer = _target(written, place, column, statement)
        imports = {("typing", "Annotated"), ("plainsql.types", "JSON")}

        def resolve(match: re.Match[str]) -> str:
            path, _, name = match[0].rpartition(".")
            if not path and name in _BUILTINS:
                return name
            if self._is_any_json(match[0], statement):
                imports.add(("plainsql.types", name))
                return name
            imports.add((self._module(path, statement), name))
            return name

        text = _WORD.sub(resolve, target)
        return Annotation(f"Annotated[{text}, JSON]", frozenset(imports)).wrapped(outer)

    def missing(self, statement: Statement) -> Iterator[ContractError]:
        """Yield an error for each type of a statement's header that no module defines."""
        for hint, word, module, name in self.named(statement):
            error = self._missing(module, name)
            if error is not None:
                message, remedy = error
                yield ContractError(
                    f"{statement.name}: the header gives {hint.name} the type {word}, {message}",
                    place=hint.place,
                    hint=remedy,
                )

    def has(self, module: str, name: str) -> bool:
        """Return whether a module defines a type, as far as that is known."""
        return self._missing(module, name) is None

    def named(self, statement: Statement) -> Iterator[tuple[ColumnHint, str, str, str]]:
        """Yield the types that a header names: its line, the written type, its module, its name there."""
        for hint in statement.columns:
            # The class of a list's rows is one of the module itself.
            if hint in self.not_json or hint.name.endswith("[]"):
                continue
            for word in _WORD.findall(hint.type or ""):
                path, _, name = word.rpartition(".")
                if (path or name not in _BUILTINS) and not self._is_any_json(word, statement):
                    yield hint, word, self._module(path, statement), name

    def differences(self, hint: ColumnHint, column: ColumnFact, statement: Statement) -> list[Difference]:
        """Return the parts of a declared type that the query does not build, as far as both are known."""
        named = [each for each in self.named(statement) if each[0] is hint]
        modules = {module for _, _, module, _ in named}
        file = self._file(*modules) if len(modules) == 1 else None
        shape = column.shape
        if hint.type is None or shape is None or (modules and file is None):
            return []
        source = TypeSource(file)
        return list(differences(hint.type, shape, source, column.name))

    def _is_any_json(self, word: str, statement: Statement) -> bool:
        """Return whether a word is ``plainsql.Json``: it is unless the layer defines a type of that name."""
        return word == "Json" and not self.has(self._module("", statement), word)

    def path_of(self, written: str, statement: Statement) -> str:
        """Return the import path of a type as a header writes it."""
        path, _, name = written.rpartition(".")
        return f"{self._module(path, statement)}.{name}"

    def _module(self, path: str, statement: Statement) -> str:
        """Return the module that a type is imported from: the layer's ``types``, or the module in its
        name.
        """
        if "." in path:
            return path
        layer = path or (statement.name.split(".")[0] if "." in statement.name else "")
        return ".".join(part for part in (self._package, layer, "types") if part)

    def _missing(self, module: str, name: str) -> tuple[str, str] | None:
        """Return the problem with a type and its remedy; ``None`` if there is none, or if that is not
        known.
        """
        if self._folder is None:
            return None
        if module not in self._known:
            self._known[module] = self._defined(module)
        names = self._known[module]
        if names is None or name in names:
            return None
        if names:
            return f"which {module} does not define", f"define {name} there, or correct the name"
        if name == "Json":
            return f"and there is no module {module}", "remove the type: any JSON value is the default"
        return (
            f"and there is no module {module}",
            f"define {name} in {module.replace('.', '/')}.py, or correct the name",
        )

    def _file(self, module: str) -> Path | None:
        """Return the file of a module of the package; ``None`` if there is none."""
        package = self._package.split(".")
        if self._folder is None or module.split(".")[: len(package)] != package:
            return None
        stem = self._folder.joinpath(*module.split(".")[len(package) :])
        files = (stem.with_suffix(".py"), stem / "__init__.py")
        return next((file for file in files if file.is_file()), None)

    def _defined(self, module: str) -> frozenset[str] | None:
        """Return the names that a module defines; empty if it does not exist, ``None`` if they are not
        known.
        """
        assert self._folder is not None
        if (file := self._file(module)) is not None:
            return _names(file)
        package = self._package.split(".")
        # The folder that the package is imported from may differ from the one in which the command looks for
        # modules. It may not exist yet, so ".." is resolved by text.
        return _names_of(module, Path(normpath(self._folder.joinpath(*[".."] * len(package)))))


def _names_of(module: str, root: Path) -> frozenset[str] | None:
    """Return the names that an importable module, or one below ``root``, defines; nothing of it is
    imported.
    """
    top, *between, last = module.split(".")
    spec = next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
    if spec is not None and spec.submodule_search_locations is None:
        return None
    folders = [root / top, *map(Path, (spec and spec.submodule_search_locations) or ())]
    for part in between:
        folders = [folder / part for folder in folders]
    for folder in folders:
        for file in (folder / f"{last}.py", folder / last / "__init__.py"):
            if file.is_file():
                return _names(file)
    is_compiled = any(True for folder in folders for _ in folder.glob(f"{last}.*"))
    return None if is_compiled else frozenset()


def _target(written: str, place: Place, column: ColumnFact, statement: Statement) -> tuple[str, str]:
    """Return the type of one JSON value of a column, and the text around it: for an array, that of one
    element.
    """
    type = below_domains(column.type)
    if type.name in ("json", "jsonb"):
        return written, "{}"
    is_array = (
        type.kind == "array"
        and type.element is not None
        and below_domains(type.element).name in ("json", "jsonb")
    )
    if is_array and written.startswith("list[") and written.endswith("]"):
        return written.removeprefix("list[").removesuffix("]"), "list[{}]"
    raise ContractError(
        f"{statement.name}: the header gives {column.name} the type {written}, but it is {column.type}",
        place=place,
        hint="write list[…] around the type of its elements"
        if is_array
        else f"write the type of one value, or cast {column.name}::jsonb",
    )


def _names(file: Path) -> frozenset[str] | None:
    """Return the names at the top of a module; ``None`` if they cannot be known without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if any(alias.name == "*" for alias in node.names):
                return None
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            names |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and _is_stored(each)}
            if isinstance(node, _COMPOUND):
                pending += ast.iter_child_nodes(node)
            elif isinstance(node, ast.ExceptHandler | ast.match_case):
                pending += node.body
            if "__getattr__" in names:
                return None
    return None if "__getattr__" in names else frozenset(names)


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
