"""The verification of generated sources: each compiles, and defines every name that it uses.

It is a safety net below the generator. A module that cannot be imported takes every query of its folder with
it, so none is written.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from plainsql.errors import ContractError, Place

__all__ = ["verify"]

_DECORATOR: Final = re.compile(r'^@.*\("[^"]*", "([^"]*\.sql)", \d+, """', re.MULTILINE)


def verify(files: Mapping[Path, str]) -> list[ContractError]:
    """Return an error for each generated source that could not be imported; nothing is executed."""
    return [error for path, source in sorted(files.items()) if (error := _verify(path, source)) is not None]


def _verify(path: Path, source: str) -> ContractError | None:
    try:
        tree = ast.parse(source, str(path))
        compile(tree, str(path), "exec", dont_inherit=True)
        problem, line = next(_unknown_names(tree), ("", 0))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem, line = str(error), getattr(error, "lineno", None) or 0
    if not problem:
        return None
    return ContractError(
        f"no module can be made of these queries: {problem}",
        place=Place(_query(source, line) or str(path)),
        hint="rename the column, the type or the table whose name plainsql does not translate, and report it",
    )


def _unknown_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield names that are used and not defined, or defined twice, with their lines."""
    defined = [(name, node.lineno) for node in tree.body for name in _defined(node)]
    yield from _twice(defined, "the module")
    known = {name for name, _ in defined} | set(dir(builtins)) | {"__name__"}
    for node in tree.body:
        local: set[str] = set()
        if isinstance(node, ast.FunctionDef):
            local = {argument.arg for argument in node.args.kwonlyargs}
        elif isinstance(node, ast.ClassDef):
            fields = [(_field(each), each.lineno) for each in node.body if isinstance(each, ast.AnnAssign)]
            yield from _twice(fields, f"the class {node.name}")
            # Inside of the class, a field hides an outer name.
            known_here = known - {name for name, _ in fields}
            yield from _unknown(node, known_here)
            continue
        yield from _unknown(node, known | local)


def _unknown(node: ast.AST, known: set[str]) -> Iterator[tuple[str, int]]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id not in known:
            yield f"the name {each.id} is not defined", each.lineno


def _twice(names: list[tuple[str, int]], where: str) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for name, line in names:
        if name in seen:
            yield f"{where} would have the name {name} twice", line
        seen.add(name)


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.If):  # the types of the parameters, for type checkers alone
        classes = [each.name for each in node.body if isinstance(each, ast.ClassDef)]
        return [*classes, *(target.id for each in node.body for target in _targets(each))]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.AnnAssign):
        return [_field(node)]
    return [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []


def _targets(node: ast.stmt) -> list[ast.Name]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target for target in targets if isinstance(target, ast.Name)]


def _field(node: ast.AnnAssign) -> str:
    return node.target.id if isinstance(node.target, ast.Name) else ""


def _query(source: str, line: int) -> str | None:
    """Return the SQL file of the query at a line of a source, as its decorator names it."""
    found = _DECORATOR.findall("\n".join(source.splitlines()[:line]))
    return str(found[-1]) if found else None
