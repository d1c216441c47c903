"""The edits that remove a problem, made from its place and its hint.

A hint names one thing to do. If that is a change of the text at the place of the problem, it is an edit here
as well: an editor offers it, and ``plainsql check --fix`` makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Final

from msgspec.structs import replace

from plainsql.check.problems import Edit, Fix, Problem
from plainsql.errors import SqlFileError
from plainsql.statements import Token, scan
from plainsql.statements.suggestions import row_name

__all__ = ["apply_edits", "fix_of", "with_fixes"]

_STAR: Final = re.compile(r'(?:(?:[^\W\d][\w$]*|"(?:[^"]|"")+")[ \t]*\.[ \t]*)?\*')
_NAME: Final = re.compile(r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")(?:\.(?:[^\W\d][\w$]*|"(?:[^"]|"")+"))*')
_WORD: Final = re.compile(r"[\w-]+")
_MEANT: Final = re.compile(r"did you mean ([\w-]+)\?")
_COLUMN_MEANT: Final = re.compile(r'Perhaps you meant to reference the column "([^"]+)"\.')
_CAST: Final = re.compile(
    r"cast it(?: here,| everywhere:| to one type in every place, for example|:) "
    r"(:(\w+)(::\w[\w. ]*?(?:\([\d,]+\))?(?:\[\])?))(?:,|$)"
)
_ALIAS: Final = re.compile(r"give it an alias: (as (?:\w+|\"[^\"]+\"))")
_OF_SCHEMA: Final = re.compile(r'write ((?:\w+|"[^"]+")\.(?:\w+|"[^"]+")), or set search_path')
_RETURNS: Final = re.compile(r"(?:declare 'returns: ([^'…]+)'|write returns: ([^,…]+)$)")
_RETURNS_LINE: Final = re.compile(r"--[ \t]*returns?[ \t]*:?[ \t]*(?P<value>.*?)[ \t]*$")
_ENDS_EXPRESSION: Final = frozenset(
    {"from", "where", "group", "order", "having", "limit", "union", "intersect", "except", "window", "for"}
    | {"into", "offset", "fetch", "on", "returning"}
)
_WRITES: Final = frozenset({"insert", "update", "delete", "merge"})


def with_fixes(problems: Iterable[Problem], text_of: Callable[[str], str | None]) -> list[Problem]:
    """Return the problems, those that an edit removes with it; ``text_of`` returns the text of a path."""
    found = []
    texts: dict[str, str | None] = {}
    for problem in problems:
        if problem.path not in texts:
            texts[problem.path] = text_of(problem.path)
        text = texts[problem.path]
        fix = fix_of(problem, text) if text is not None else None
        found.append(replace(problem, fix=fix) if fix is not None else problem)
    return found


def fix_of(problem: Problem, text: str) -> Fix | None:
    """Return the edit of a file's text that removes a problem of it; ``None`` if there is none."""
    if not problem.line or not problem.hint:
        return None
    place = _Text(problem, text)
    return next((fix for make in _FIXES if (fix := make(place)) is not None), None)


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; one that overlaps an earlier one is left out."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def offset(line: int, column: int) -> int:
        return min(starts[line - 1] + column - 1, len(text)) if line <= len(starts) else len(text)

    placed = [(offset(e.line, e.column), offset(e.end_line, e.end_column), e.text) for e in edits]
    made, end_of_last = [], 0
    for start, end, new in sorted(set(placed)):
        if start >= end_of_last:
            made.append((start, end, new))
            end_of_last = max(end, end_of_last)
    for start, end, new in reversed(made):
        text = text[:start] + new + text[end:]
    return text


class _Text:
    """A problem with the text around its place."""

    def __init__(self, problem: Problem, text: str) -> None:
        self.problem = problem
        self.hint = problem.hint or ""
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        line = min(problem.line, len(self._starts))
        self.begin = self._starts[line - 1]
        end = text.find("\n", self.begin)
        self.end = len(text) if end < 0 else end
        self.offset = min(self.begin + max(problem.column - 1, 0), self.end)

    @property
    def line(self) -> str:
        return self.text[self.begin : self.end]

    def fix(self, title: str, *changes: tuple[int, int, str]) -> Fix:
        return Fix(title, tuple(Edit(*self._place(a), *self._place(b), new) for a, b, new in changes))

    def tokens(self) -> list[Token]:
        """Return the tokens of the whole text, none if it cannot be read."""
        try:
            found = scan(self.text)
        except SqlFileError:
            return []
        return [token for token in found if not token.kind.endswith("_comment")]

    def word(self, token: Token) -> str:
        return self.text[token.start : token.end]

    def _place(self, offset: int) -> tuple[int, int]:
        line = self.text.count("\n", 0, offset) + 1
        return line, offset - self._starts[line - 1] + 1


def _star(place: _Text) -> Fix | None:
    if place.problem.name != "star":
        return None
    found = _STAR.match(place.text, place.offset)
    if found is None:
        return None
    if place.hint.startswith("write "):
        new = place.hint.removeprefix("write ")
        return place.fix(f"Write {new}", (found.start(), found.end(), new))
    columns = place.hint.removeprefix("name them: ").split(", ")
    before = place.text[place.begin : found.start()]
    indent = before[: len(before) - len(before.lstrip())]
    start = found.start()
    if before.strip():  # `select *`: the columns go below
        indent += "  "
        start = place.begin + len(before.rstrip())
        new = "\n" + ",\n".join(f"{indent}{column}" for column in columns)
    else:
        new = f",\n{indent}".join(columns)
    return place.fix("Write out the columns", (start, found.end(), new))


def _misspelt(place: _Text) -> Fix | None:
    if (meant := _MEANT.fullmatch(place.hint)) is not None:
        found = _WORD.match(place.text, place.offset)
        if found is None or found.end() > place.end:
            return None
        return place.fix(f"Change to {meant[1]}", (found.start(), found.end(), meant[1]))
    if (column := _COLUMN_MEANT.fullmatch(place.hint)) is not None:
        found = _NAME.match(place.text, place.offset)
        if found is None:
            return None
        name = column[1] if "." in found[0] else column[1].rpartition(".")[2]
        return place.fix(f"Change to {name}", (found.start(), found.end(), name))
    return None


def _schema(place: _Text) -> Fix | None:
    wanted = _OF_SCHEMA.match(place.hint)
    found = _NAME.match(place.text, place.offset)
    if wanted is None or found is None:
        return None
    return place.fix(f"Write {wanted[1]}", (found.start(), found.end(), wanted[1]))


def _cast(place: _Text) -> Fix | None:
    wanted = _CAST.match(place.hint)
    if wanted is None:
        return None
    written, name, cast = wanted.groups()
    tokens = place.tokens()
    uses = [
        token
        for token, after in zip(tokens, [*tokens[1:], None], strict=True)
        if token.kind == "parameter"
        and place.word(token) == f":{name}"
        and (after is None or after.kind != "cast")
    ]
    if "everywhere" not in place.hint and "every place" not in place.hint:
        # The place is the parameter's, or that of the operator next to it.
        uses = sorted(uses, key=lambda token: abs(token.start - place.offset))[:1]
    changes = [(token.end, token.end, cast) for token in uses]
    return place.fix(f"Write {written}", *changes) if changes else None


def _alias(place: _Text) -> Fix | None:
    wanted = _ALIAS.match(place.hint)
    if wanted is None:
        return None
    tokens = place.tokens()
    at = next((i for i, token in enumerate(tokens) if token.start == place.offset), None)
    if at is None:
        return None
    if at and place.word(tokens[at - 1]).lower() == "as":  # the alias that is refused
        return place.fix(f"Write {wanted[1]}", (tokens[at - 1].start, tokens[at].end, wanted[1]))
    depth, end = 0, tokens[at].end
    for token in tokens[at:]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        is_last = token.kind in ("comma", "semicolon") or place.word(token).lower() in _ENDS_EXPRESSION
        if depth < 0 or (depth == 0 and is_last):
            break
        end = token.end
    return place.fix(f"Add {wanted[1]}", (end, end, f" {wanted[1]}"))


def _returns(place: _Text) -> Fix | None:
    if place.hint.startswith("add a line at the top: -- returns:"):
        return _new_returns(place)
    wanted = _RETURNS.search(place.hint)
    found = _RETURNS_LINE.search(place.line)
    if wanted is None or found is None:
        return None
    value = (wanted[1] or wanted[2]).strip()
    start = place.begin + found.start()
    return place.fix(f"Declare returns: {value}", (start, place.end, f"-- returns: {value}"))


def _new_returns(place: _Text) -> Fix | None:
    tokens = place.tokens()
    words = [place.word(token).lower() for token in tokens]
    if not words:
        return None
    value = "count"
    if "returning" in words or not _WRITES.intersection(words):
        value = f"many {row_name(PurePath(place.problem.path).parent.name) or 'Thing'}"
    end = 0  # below the comment lines at the top
    for line in place.text.splitlines(keepends=True):
        if not line.startswith("--") or line.startswith("--?"):
            break
        end += len(line)
    return place.fix(f"Add returns: {value}", (end, end, f"-- returns: {value}\n"))


def _superfluous(place: _Text) -> Fix | None:
    if not place.hint.startswith("remove the line") or not place.line.startswith("--"):
        return None
    return place.fix("Remove the line", (place.begin, min(place.end + 1, len(place.text)), ""))


_FIXES: Final = (_star, _misspelt, _schema, _cast, _alias, _returns, _superfluous)
