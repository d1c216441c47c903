"""The text of a fragment as a use has it: with its aliases, and with its indentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from plainsql.statements.scanner import Token, scan

__all__ = ["BEGIN", "indented", "own_qualifiers", "with_aliases"]

_WORD: Final = r"[a-z_][a-z0-9_]*"
BEGIN: Final = re.compile(rf"-- begin fragment ([a-z][a-z0-9_]*)(?:\(({_WORD}(?:, {_WORD})*)\))?")
"""The mark at which a copy begins: the name of the fragment, and the aliases of the use."""


def own_qualifiers(text: str) -> set[str]:
    """Return the names before the dots of a text, in lower case: those of its relations, mostly."""
    tokens = scan(text)
    return {
        text[token.start : token.end].lower()
        for token, after in pairwise(tokens)
        if token.kind == "word" and after.kind == "dot" and after.start == token.end
    }


def with_aliases(text: str, names: Mapping[str, str]) -> str:
    """Return a text with other names in the place of some; a name behind a dot is a column and stays.

    The aliases of a copy within the text are replaced in its mark as well.
    """
    parts, at = list[str](), 0
    before: Token | None = None
    for token in scan(text):
        word, new = text[token.start : token.end], ""
        behind_dot = before is not None and before.kind == "dot"
        if token.kind == "word" and not behind_dot:
            new = names.get(word.lower(), "")
        elif token.kind == "line_comment" and (mark := BEGIN.fullmatch(word.rstrip())) and mark[2]:
            given = ", ".join(names.get(each, each) for each in mark[2].split(", "))
            new = f"-- begin fragment {mark[1]}({given})"
        if new:
            parts += [text[at : token.start], new]
            at = token.end
        before = token
    return "".join([*parts, text[at:]])


def indented(text: str, indent: str) -> str:
    """Return the lines of a text with an indentation, each with its line end.

    A line that begins within a string, a quoted name or a block comment stays as it is.
    """
    kept = {
        offset + 1
        for token in scan(text)
        if token.kind in ("string", "quoted_name", "block_comment")
        for offset in range(token.start, token.end)
        if text[offset] == "\n"
    }
    lines, at = list[str](), 0
    for line in text.splitlines(keepends=True):
        lines.append(line if at in kept or not line.strip() else f"{indent}{line}")
        at += len(line)
    return "".join(lines).rstrip("\n") + "\n"
