"""Pieces of SQL that several files use: each use is a copy between two comments, which ``generate`` writes.

::

    where p.id = :id
      -- begin fragment visible_product(p)
      and p.published_at is not null
      -- end fragment visible_product

The piece is ``_fragments/visible_product.sql``, in the folder of the file or in one above it. A file is whole
and valid without it: nothing is put together when a query is loaded or runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.errors import Place, SqlFileError
from plainsql.statements.discovery import FRAGMENTS_FOLDER
from plainsql.statements.fragment_files import Fragment, FragmentFolders, header_end
from plainsql.statements.fragment_texts import BEGIN, indented, own_qualifiers, with_aliases
from plainsql.statements.scanner import Token, scan
from plainsql.statements.source import Source

__all__ = ["Drift", "Expansion", "expand"]

_NEAR: Final = re.compile(r"--[ \t]*(begin|end)[ \t]+fragments?\b[ \t]*:?[ \t]*(.*)", re.IGNORECASE)
"""A comment that is a mark, or is meant as one."""
_NAMED: Final = re.compile(r"\w*[ \t]*(?:\(.*\))?")
_END: Final = re.compile(r"-- end fragment ([a-z][a-z0-9_]*)")
_BEGIN_FORM: Final = "-- begin fragment NAME"
_END_FORM: Final = "-- end fragment NAME"


class Drift(NamedTuple):
    """A copy that is not what its fragment makes."""

    fragment: str
    place: Place
    """The first line that differs; the mark if there is no copy yet."""
    expected: str
    """The line that the fragment makes; empty if there is none."""
    got: str


@dataclass(slots=True)
class Expansion:
    """The text of a file with the copies that its fragments make."""

    text: str
    uses: set[str] = field(default_factory=set)
    """The paths of the fragments whose text it has."""
    drifts: list[Drift] = field(default_factory=list)
    errors: list[SqlFileError] = field(default_factory=list)
    """Errors of marks and fragments; such a copy is left as it is."""


class _Mark(NamedTuple):
    """A comment at which a copy begins or ends."""

    token: Token
    is_begin: bool
    name: str
    arguments: tuple[str, ...] = ()


def expand(text: str, path: Path, folders: FragmentFolders) -> Expansion:
    """Return the text of a file with each copy as its fragment makes it.

    Raises ``SqlFileError`` if the text has no tokens, as with a string that has no end.
    """
    return _Expander(folders, ()).expand(Source(text, str(path)), path, header_end(text))


class _Expander:
    """The expansion of a file, or of a fragment that other fragments use."""

    def __init__(self, folders: FragmentFolders, using: tuple[str, ...]) -> None:
        self._folders = folders
        self._using = using
        """The paths of the fragments that lead here."""

    def expand(self, source: Source, path: Path, header: int) -> Expansion:
        """Expand a text whose header ends at an offset."""
        text, found = source.text, Expansion(source.text)
        if _NEAR.search(text) is None:
            return found
        marks = list(_marks(source, header, found.errors))
        parts, at = list[str](), 0
        for begin, end in _pairs(source, marks, found.errors):
            try:
                fragment = self._fragment(source, begin, path)
                copy = self._copy(source, begin, fragment, found)
            except SqlFileError as error:
                found.errors.append(error)
                if error.place is not None and error.place.path != source.path:
                    # The query has an error too: without its copy it would run with fewer conditions.
                    message = f"the fragment {begin.name} has an error: {error.place}"
                    at_use = source.error(begin.token.start, message, hint="correct the fragment")
                    found.errors.append(at_use)
                continue
            starts = text.index("\n", begin.token.end) + 1
            ends = text.rfind("\n", 0, end.token.start) + 1
            if text[starts:ends] != copy:
                found.drifts.append(_drift(source, begin, copy, starts, ends))
            parts += [text[at:starts], copy]
            at = ends
        found.text = "".join([*parts, text[at:]])
        return found

    def _fragment(self, source: Source, begin: _Mark, path: Path) -> Fragment:
        found = self._folders.find(begin.name, path)
        start = begin.token.start
        if found is None:
            names = self._folders.names(path)
            close = get_close_matches(begin.name, names, 3)
            if close:
                hint = f"did you mean {' or '.join(close)}?"
            elif names:
                hint = f"the fragments are {', '.join(names)}"
            else:
                hint = f"write it: {FRAGMENTS_FOLDER}/{begin.name}.sql in the SQL folder"
            raise source.error(start, f"there is no fragment {begin.name!r}", hint=hint)
        given, taken = len(begin.arguments), len(found.aliases)
        if given not in (0, taken):
            names_ = f" ({', '.join(found.aliases)})" if taken else ""
            message = f"{begin.name}: expected {taken or 'no'} {'alias' if taken < 2 else 'aliases'}{names_}"
            form = f"{begin.name}({', '.join(found.aliases)})" if taken else begin.name
            raise source.error(start, f"{message}, got {given}", hint=f"write -- begin fragment {form}")
        return found

    def _copy(self, source: Source, begin: _Mark, fragment: Fragment, found: Expansion) -> str:
        """Return the lines between the marks."""
        found.uses.add(fragment.path)
        start = begin.token.start
        if fragment.path in self._using:
            cycle = [*self._using[self._using.index(fragment.path) :], fragment.path]
            message = f"the fragment {fragment.name} uses itself: {' > '.join(Path(p).stem for p in cycle)}"
            raise source.error(start, message, hint="remove one of the uses")
        inner = _Expander(self._folders, (*self._using, fragment.path)).expand(
            Source(fragment.text, fragment.path, fragment.line), Path(fragment.path), 0
        )
        found.uses |= inner.uses
        if inner.errors:
            raise inner.errors[0]
        text = inner.text
        names = dict(zip(fragment.aliases, begin.arguments, strict=False))
        if taken := sorted(set(names.values()) & (own_qualifiers(text) - set(names))):
            message = f"the fragment {fragment.name} has a relation {taken[0]} of its own"
            raise source.error(start, message, hint="give the relation of this file another alias")
        if names:
            text = with_aliases(text, names)
        line = source.text.rfind("\n", 0, start) + 1
        return indented(text, source.text[line:start])


def _marks(source: Source, header: int, errors: list[SqlFileError]) -> Iterator[_Mark]:
    """Yield the marks of a text; a comment that is nearly one is an error."""
    text = source.text
    for token in scan(text, path=source.path, line=source.line):
        if token.kind != "line_comment":
            continue
        comment = text[token.start : token.end].rstrip()
        near = _NEAR.fullmatch(comment)
        if near is None or (token.start < header and not _NAMED.fullmatch(near[2])):
            continue
        begin, end = BEGIN.fullmatch(comment), _END.fullmatch(comment)
        line = text.rfind("\n", 0, token.start) + 1
        if text[line : token.start].strip():
            message = "the mark of a fragment is behind other text"
            errors.append(source.error(token.start, message, hint="write it on a line of its own"))
        elif token.start < header:
            message = "the mark of a fragment is part of the header"
            errors.append(source.error(token.start, message, hint="leave an empty line above it"))
        elif begin is not None:
            yield _Mark(token, True, begin[1], tuple(begin[2].split(", ")) if begin[2] else ())
        elif end is not None:
            yield _Mark(token, False, end[1])
        elif _NAMED.fullmatch(near[2]):  # else prose that begins with these words
            is_begin = near[1].lower() == "begin"
            form = _BEGIN_FORM if is_begin else _END_FORM
            hint = f"write {form}, or {_BEGIN_FORM}(alias, alias)" if is_begin else f"write {form}"
            errors.append(source.error(token.start, f"expected {form!r}, got {comment!r}", hint=hint))


def _pairs(
    source: Source, marks: Sequence[_Mark], errors: list[SqlFileError]
) -> Iterator[tuple[_Mark, _Mark]]:
    """Yield the outermost pairs of marks; those between them are of the fragment's own text."""
    opened: list[_Mark] = []
    for mark in marks:
        if mark.is_begin:
            opened.append(mark)
        elif not opened:
            message = f"no fragment {mark.name} begins above its end"
            hint = f"write -- begin fragment {mark.name}, or remove the end"
            errors.append(source.error(mark.token.start, message, hint=hint))
        elif opened[-1].name != mark.name:
            message = f"expected the end of the fragment {opened[-1].name}, got that of {mark.name}"
            hint = f"write -- end fragment {opened[-1].name}"
            errors.append(source.error(mark.token.start, message, hint=hint))
            return
        else:
            begin = opened.pop()
            if not opened:
                yield begin, mark
    if opened:
        message = f"the fragment {opened[-1].name} has no end"
        hint = f"write -- end fragment {opened[-1].name} on the line below it"
        errors.append(source.error(opened[-1].token.start, message, hint=hint))


def _drift(source: Source, begin: _Mark, copy: str, starts: int, ends: int) -> Drift:
    """Return the first line of a copy that differs."""
    wanted, got, at = copy.splitlines(), source.text[starts:ends].splitlines(), starts
    for number, line in enumerate(got):
        expected = wanted[number] if number < len(wanted) else ""
        if line != expected:
            place = source.place(at + len(line) - len(line.lstrip()))
            return Drift(begin.name, place, expected.strip(), line.strip())
        at += len(line) + 1
    place = source.place(at if got else begin.token.start)
    return Drift(begin.name, place, wanted[len(got)].strip() if len(got) < len(wanted) else "", "")
