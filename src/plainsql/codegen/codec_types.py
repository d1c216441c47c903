"""The Python types of the project's codecs, read from the source of their modules; nothing is run.

``geometry = Codec(Geometry, …)`` in ``shop/codecs.py`` gives the type ``Geometry``, imported from the module
that defines it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainsql.analysis.model import PgType
from plainsql.codec import codec_of
from plainsql.codegen.python_types import Annotation
from plainsql.errors import Place, SettingsError

__all__ = ["CodecTypes"]


class CodecTypes:
    """The annotations of types that have a codec, with the types that asyncpg knows as text only."""

    def __init__(self, codecs: Mapping[str, Any], root: Path | None) -> None:
        """Read the sources of the codecs.

        ``codecs`` is the setting of that name; ``root`` is the folder of ``pyproject.toml``.

        Raises ``SettingsError`` if a codec is not found, or if its type cannot be read from its source.
        """
        self._root = root or Path()
        found = {name: self._read(name, path) for name, path in codecs.items()}
        self._annotations: dict[str, Annotation] = {
            name: annotation for name, (annotation, _) in found.items()
        }
        self._binary = {name: is_binary for name, (_, is_binary) in found.items()}

    def annotation(self, type: PgType) -> Annotation | None:
        """Return the annotation of a type with a codec; ``None`` for any other type."""
        return codec_of(self._annotations, type.schema, type.name) if type.kind == "base" else None

    def is_text_only(self, type: PgType) -> bool:
        """Return whether a type has a codec without a binary format."""
        if type.kind != "base" or self.annotation(type) is None:
            return False
        return not (self._binary.get(f"{type.schema}.{type.name}") or self._binary.get(type.name))

    def _read(self, name: str, path: object) -> tuple[Annotation, bool]:
        module, _, attribute = path.rpartition(".") if isinstance(path, str) else ("", "", "")
        if not module:
            raise self._error(name, f"expected the path of a Codec, got {path!r}")
        file = self._file(module)
        if file is None:
            raise self._error(name, f"there is no module {module}")
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error(name, f"{module} cannot be read") from None
        call = _call(tree, attribute)
        given = None if call is None else _argument(call, "type")
        if call is None or given is None:
            raise self._error(name, f"{module} does not define {attribute} = plainsql.Codec(…)")
        resolved = _resolved(given, module, tree)
        if isinstance(resolved, str):
            raise self._error(
                name, f"the type of {path} has the name {resolved}, which {module} does not define"
            )
        return resolved, _argument(call, "decode_binary") is not None

    def _file(self, module: str) -> Path | None:
        parts = module.split(".")
        for folder in (self._root, self._root / "src"):
            stem = folder.joinpath(*parts)
            for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                if file.is_file():
                    return file
        return None

    def _error(self, name: str, message: str) -> SettingsError:
        return SettingsError(
            f"codecs.{name} in [tool.plainsql]: {message}",
            place=Place(str(self._root / "pyproject.toml")),
            hint='write, for example, geometry = "shop.codecs.geometry", and define that plainsql.Codec',
        )


def _call(tree: ast.Module, name: str) -> ast.Call | None:
    """Return the call that makes a codec at the top of a module."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
            continue
        value = getattr(node, "value", None)
        if (
            isinstance(value, ast.Call)
            and ast.unparse(value.func).rpartition(".")[2].partition("[")[0] == "Codec"
        ):
            return value
    return None


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    if name == "type" and call.args:
        return call.args[0]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _resolved(given: ast.expr, module: str, tree: ast.Module) -> Annotation | str:
    """Return a type expression as an annotation with its imports; the name that is unknown, if one is."""
    homes = _homes(module, tree)
    imports: set[tuple[str, str]] = set()
    unknown: list[str] = []

    class Renamed(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
            path = ast.unparse(node)
            top, _, rest = path.partition(".")
            home = homes.get(top)
            if home is None or not all(part.isidentifier() for part in path.split(".")):
                unknown.append(top)
                return node
            source, _, name = f"{_joined(home)}.{rest}".rpartition(".")
            imports.add((source, name))
            return ast.Name(name)

        def visit_Name(self, node: ast.Name) -> ast.expr:
            if (home := homes.get(node.id)) is not None and home[1]:
                imports.add(home)
                return ast.Name(home[1])
            if home is not None or not hasattr(builtins, node.id):
                unknown.append(node.id)
            return node

    text = ast.unparse(ast.fix_missing_locations(Renamed().visit(given)))
    return unknown[0] if unknown else Annotation(text, frozenset(imports))


def _joined(home: tuple[str, str]) -> str:
    return ".".join(part for part in home if part)


def _homes(module: str, tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Return the module and the name there of each name at the top of a module; no name for a module."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            found |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    "",
                )
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        elif type(node).__name__ == "TypeAlias":  # of Python 3.12
            aliased: Any = node
            names = [aliased.name.id]
        found |= {name: (module, name) for name in names}
    return found


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Return the module that is imported from, without dots at its beginning."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")[: -node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])
