"""Texts that people wrote: the docstrings and comments of installed Python packages.

Nothing is downloaded. The same packages give the same texts, in the same order.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["TooFewTextsError", "read_texts"]

_LONGEST = 500
"""Characters of a text that are stored."""
_FEWEST_WORDS = 6
"""Different words that a text has at least."""

_COMMENT = re.compile(r"(?:^[ \t]*#.*\n)+", re.MULTILINE)
_MARKS = re.compile(r"^\s*#+ ?", re.MULTILINE)
_WORD = re.compile(r"[a-z]{2,}")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class TooFewTextsError(Exception):
    """The packages hold fewer texts than are wanted."""


def read_texts(folders: Sequence[Path], wanted: int) -> list[str]:
    """Return ``wanted`` different texts of the Python files in these folders.

    Files come in an order that depends on their paths alone, so that each package has its share.

    Raises ``TooFewTextsError`` if there are fewer.
    """
    found: dict[str, str] = {}
    for _, path in sorted(_files(folders)):
        for text in _texts(path):
            words = _WORD.findall(text.lower())
            if len(set(words)) >= _FEWEST_WORDS:
                found.setdefault(" ".join(words), text[:_LONGEST])
        if len(found) >= wanted:
            return list(found.values())[:wanted]
    raise TooFewTextsError(f"expected {wanted:,} texts in the installed packages, got {len(found):,}")


def _files(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder)
            # The standard library's folder may hold that of the installed packages, which is not its own.
            if not {"site-packages", "dist-packages"} & {*inside.parts}:
                yield hashlib.sha256(inside.as_posix().encode()).hexdigest(), path


def _texts(path: Path) -> Iterator[str]:
    try:
        source = path.read_text("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings
            tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError, RecursionError):  # tests of Python itself have such files
        return
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            yield _storable(text)
    for comment in _COMMENT.findall(source):
        yield _storable(_MARKS.sub("", comment).strip())


def _storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot store."""
    return text.replace("\0", " ").encode("utf-8", "ignore").decode()
