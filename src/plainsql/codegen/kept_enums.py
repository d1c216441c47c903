"""The enums that kept modules import, and that no sound query uses any more: they stay defined."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from plainsql.codegen.output_files import ENUMS_FILE, Kept

__all__ = ["keep_enums"]


def keep_enums(files: Mapping[Path, str], kept: Mapping[Path, Kept], output: Path) -> dict[Path, str]:
    """Return the files with a module of enums that defines every enum that a kept module imports.

    If the new module lacks one, it gets all definitions of the old module that it lacks. ``output`` is the
    folder of the old files.
    """
    old = output / ENUMS_FILE
    if not kept or not old.exists():
        return dict(files)
    needed = {name for each in kept.values() for name in _imported(each.source)}
    before = old.read_text(encoding="utf-8", errors="replace")
    lost = _defined(before) - _defined(files.get(ENUMS_FILE, ""))
    if not lost & needed:
        return dict(files)
    return {**files, ENUMS_FILE: _merged(files.get(ENUMS_FILE), before, lost)}


def _merged(new: str | None, before: str, lost: set[str]) -> str:
    """Return the new module with the lost definitions of the one before; that one if there is no new."""
    if new is None:
        return before
    lines = before.splitlines(keepends=True)
    definitions = "".join(
        "".join(lines[node.lineno - 1 : node.end_lineno])
        for node in _parsed(before)
        if isinstance(node, ast.AnnAssign | ast.ClassDef) and _name(node) in lost
    )
    return f"{new}\n{definitions}"


def _imported(source: str) -> set[str]:
    """Return the names that a module imports from the module of enums."""
    return {
        alias.name
        for node in _parsed(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == ENUMS_FILE.stem
        for alias in node.names
    }


def _defined(source: str) -> set[str]:
    return {_name(node) for node in _parsed(source) if isinstance(node, ast.AnnAssign | ast.ClassDef)}


def _name(node: ast.AnnAssign | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    return node.target.id if isinstance(node.target, ast.Name) else ""


def _parsed(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
