"""Optional lines and closed sets of lines: one text, and every text that it can become.

A comment at the end of a line makes it conditional; PostgreSQL, psql, editors and linters see a comment.

``--?``
    The line is left out unless its parameters are given. A parameter that is also on an unconditional line is
    always given; the others of the line must be given together, and there must be at least one.
``--? :nick``
    The line is left out unless the named parameter is given, whether the line holds it or not. Several are
    named as ``--? :lat, :lng`` and must be given together. A line that stays with them holds each of them.
``--? only_open``
    The line stays if the flag ``only_open`` is true. A flag is a ``bool`` of the call and is not sent, so a
    line of a flag has no parameters of its own.
``--? order=cheapest``
    The line stays if the choice ``order`` is ``cheapest``. A choice has at least two values; several lines
    may share one. A parameter that is only on lines of a choice must be given if one of those lines stays,
    and only then. The file holds the lines of all values; to run it by hand, keep the lines of one.

A conditional line is one line of the file: no string, comment or bracket may reach into it or out of it. A
line that is left out is left out whole, with its line end; every other character stays.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from keyword import iskeyword
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.placeholders import Placeholder
from plainsql.statements.scanner import Token
from plainsql.statements.source import Source

__all__ = ["FLAG_VALUES", "Block", "always_given", "divide"]

FLAG_VALUES: Final = (False, True)
"""The values of a flag, which is a choice of these two: its lines are those of ``True``."""

# A text, which compiles when the first choice is read.
_CHOICE: Final = r"[ \t]+([A-Za-z_][A-Za-z0-9_]*)(?:[ \t]*=[ \t]*([A-Za-z_][A-Za-z0-9_]*))?[ \t]*"
_DECIDING: Final = r"[ \t]+:[A-Za-z_][A-Za-z0-9_]*(?:[ \t]*,[ \t]*:[A-Za-z_][A-Za-z0-9_]*)*[ \t]*"
_COMMENTS: Final = ("line_comment", "block_comment")


class Block:
    """Lines that stay or go together; they always stay if neither ``needs`` nor ``choice`` is set."""

    __slots__ = ("choice", "deciding", "end", "mark", "needs", "placeholders", "start", "tail")

    def __init__(
        self,
        start: int,
        end: int,
        mark: int = -1,
        choice: tuple[str, str | bool] | None = None,
        deciding: tuple[str, ...] = (),
    ) -> None:
        self.start = start
        self.end = end
        self.mark = mark
        """The offset of the ``--?``; -1 for lines without one."""
        self.choice = choice
        """The choice's name and value; the flag's name and ``True``."""
        self.deciding = deciding
        """The parameters that the mark names: ``nick`` for ``--? :nick``."""
        self.needs: frozenset[str] = frozenset()
        """The parameters that must be given for the lines to stay."""
        self.placeholders: list[Placeholder] = []
        self.tail: str | None = None
        """The kind of the last token; ``None`` if there is none."""

    @property
    def names(self) -> set[str]:
        """The names of the parameters on these lines."""
        return {name for _, _, name in self.placeholders}

    @property
    def is_of_flag(self) -> bool:
        """True for the lines of a flag."""
        return self.choice is not None and self.choice[1] is True


def divide(source: Source, tokens: list[Token], placeholders: list[Placeholder], end: int) -> list[Block]:
    """Return the text up to ``end`` as blocks in order: each marked line, and the text between two.

    Raises:
        SqlFileError: a mark cannot be read, or its line cannot be left out.
    """
    text = source.text
    blocks: list[Block] = []
    position = 0
    for index, token in enumerate(tokens):
        if token.kind == "line_comment" and text.startswith("--?", token.start):
            start = text.rfind("\n", 0, token.start) + 1
            after = text.find("\n", token.end) + 1 or len(text)
            if position < start < end:
                blocks.append(Block(position, start))
            _check_line(source, tokens, index, start, end)
            blocks.append(Block(start, min(after, end), token.start, *_read_mark(source, token)))
            position = after
    if position < end:
        blocks.append(Block(position, end))
    _distribute(blocks, tokens, placeholders)
    _check_choices(source, blocks)
    _find_needs(source, blocks)
    if not any(block.tail and not block.needs and not block.is_of_flag for block in blocks):
        raise source.error(
            blocks[0].mark, "every line is optional: nothing would be left", hint="remove --? from the first"
        )
    return blocks


def _read_mark(source: Source, mark: Token) -> tuple[tuple[str, str | bool] | None, tuple[str, ...]]:
    """Return the name and value of a choice, and the parameters that the mark names."""
    rest = source.text[mark.start + 3 : mark.end].rstrip()
    if not rest:
        return None, ()
    if re.fullmatch(_DECIDING, rest):
        return None, tuple(dict.fromkeys(name.strip(" \t:") for name in rest.split(",")))
    if (choice := re.fullmatch(_CHOICE, rest)) is None:
        raise source.error(
            mark.start,
            f"the mark {'--?' + rest!r} cannot be read, expected --?, --? :name, --? name or --? name=value",
            hint="put a space before the question mark if this is an ordinary comment",
        )
    if iskeyword(choice[1]):
        what = "choice" if choice[2] else "flag"
        raise source.error(
            mark.start + 3 + choice.start(1),
            f"{choice[1]} is a keyword of Python and cannot be the name of a {what}",
            hint=f"call it {choice[1]}_, or choose another name",
        )
    return (choice[1], choice[2] or True), ()


def _check_line(source: Source, tokens: list[Token], mark: int, start: int, end: int) -> None:
    """Raise unless everything on the line of the mark begins and ends there."""
    where = tokens[mark].start
    first = bisect_left(tokens, start, key=lambda token: token.end - 1)
    line = [token for token in tokens[first:mark] if token.start < end]
    if all(token.kind in _COMMENTS for token in line):
        raise source.error(
            where, "--? is on a line without SQL", hint="put it at the end of the line that is optional"
        )
    # A token that reaches out of the line at its end would contain the mark.
    if line[0].start < start:
        what = "comment" if line[0].kind in _COMMENTS else "string" if line[0].kind == "string" else "name"
        raise source.error(
            where,
            f"this line cannot be left out: a {what} reaches into it",
            detail=f"the {what} begins at {source.place(line[0].start)}",
            hint="write the optional part on one line of its own",
        )
    opened: list[int] = []
    for token in line:
        if token.kind == "open":
            opened.append(token.start)
        elif token.kind == "close":
            if not opened:
                raise _part_of_brackets(source, token.start, "closes a bracket that it does not open")
            opened.pop()
    if opened:
        raise _part_of_brackets(source, opened[-1], "opens a bracket that it does not close")


def _part_of_brackets(source: Source, offset: int, what: str) -> SqlFileError:
    return source.error(
        offset,
        f"this line cannot be left out: it {what}",
        hint="write the optional part on one line, with both brackets",
    )


def _distribute(blocks: list[Block], tokens: list[Token], placeholders: list[Placeholder]) -> None:
    """Give every block its parameters and the kind of its last token."""
    starts = [block.start for block in blocks]
    for placeholder in placeholders:
        blocks[bisect_left(starts, placeholder[0] + 1) - 1].placeholders.append(placeholder)
    for token in tokens:
        block = blocks[bisect_left(starts, token.start + 1) - 1]
        if token.start < block.end:
            block.tail = token.kind


def always_given(blocks: list[Block]) -> set[str]:
    """Return the parameters of every text: on unmarked lines, or on lines of every value of a choice."""
    always: set[str] = set()
    for block in blocks:
        if block.mark < 0:
            always |= block.names
    for values in _choices(blocks).values():
        always |= set.intersection(*values.values())
    return always


def _choices(blocks: list[Block]) -> dict[str, dict[str | bool, set[str]]]:
    """Return each choice with its values, and the parameters on the lines of each value."""
    choices: dict[str, dict[str | bool, set[str]]] = {}
    for block in blocks:
        if block.choice:
            values = choices.setdefault(block.choice[0], {})
            if block.is_of_flag:
                values.setdefault(False, set())
            values.setdefault(block.choice[1], set()).update(block.names)
    return choices


def _check_choices(source: Source, blocks: list[Block]) -> None:
    names = {name for block in blocks for name in block.names}
    for choice, values in _choices(blocks).items():
        marks = [block for block in blocks if block.choice and block.choice[0] == choice]
        mark = marks[0].mark
        flags = [block.mark for block in marks if block.is_of_flag]
        if flags and len(flags) < len(marks):
            raise source.error(
                flags[0],
                f"{choice} is a flag here, and a choice with values elsewhere",
                hint=f"write --? {choice}=value here too, or rename one of them",
            )
        if len(values) == 1:
            raise source.error(
                mark,
                f"the choice {choice} has one value, {next(iter(values))}; expected two or more",
                hint=f"write --? {choice} for a line that is on or off, or add a line for another value",
            )
        if choice in names:
            if flags:
                raise source.error(
                    mark,
                    f"{choice} is a flag here and a parameter elsewhere",
                    hint=f"write --? :{choice} if the parameter decides, or rename the flag",
                )
            raise source.error(
                mark, f"{choice} is a choice here and a parameter elsewhere", hint="rename one of them"
            )


def _find_needs(source: Source, blocks: list[Block]) -> None:
    """Find the parameters that each optional line depends on."""
    always = always_given(blocks)
    for block in blocks:
        if block.is_of_flag:
            _check_flag(source, block, always)
        if block.mark < 0 or block.choice:
            continue
        names = set(block.deciding) or block.names
        block.needs = frozenset(names - always)
        if block.deciding:
            _check_deciding(source, block, blocks, always)
        if not names:
            raise source.error(
                block.mark,
                "an optional line has no parameter that decides whether it stays",
                hint="name the parameter, --? :name, or a flag, --? name",
            )
        if not block.needs:
            raise source.error(
                block.mark,
                f"this line would never be left out: {_listed(sorted(names))} always given",
                detail="a parameter on a line without --? must be given in every call",
                hint="remove --?, or mark the other lines with that parameter as well",
            )
    for block in blocks:
        if block.deciding:
            _check_held(source, block, blocks)


def _check_flag(source: Source, block: Block, always: set[str]) -> None:
    """Raise if a line of a flag has a parameter that is not always given."""
    for start, _, name in block.placeholders:
        if name not in always and block.choice:
            raise source.error(
                start,
                f":{name} is not always given, and this line stays if {block.choice[0]} is true",
                hint=f"write --? alone: the line stays if {name} is given",
            )


def _check_deciding(source: Source, block: Block, blocks: list[Block], always: set[str]) -> None:
    """Raise if a mark names an unknown parameter or one that does not decide alone."""
    known = {name for other in blocks for name in other.names}
    for name in block.deciding:
        if name not in known:
            raise source.error(
                _place_in_mark(source, block, name),
                f"the mark names :{name}, and the query has no parameter :{name}",
                hint=f"write --? {name} for a flag, or use :{name} on a line with this mark",
            )
        if name in always and block.needs:
            raise source.error(
                _place_in_mark(source, block, name),
                f":{name} decides nothing: it is always given",
                detail="a parameter on a line without --? must be given in every call",
                hint="remove it from the mark",
            )
    for start, _, name in block.placeholders:
        if name not in always and name not in block.needs:
            marks = ", ".join(f":{each}" for each in block.deciding)
            raise source.error(
                start,
                f":{name} may be missing from this line, which stays if {marks.replace(':', '')} is given",
                hint=f"name it in the mark too, --? {marks}, :{name}",
            )


def _check_held(source: Source, block: Block, blocks: list[Block]) -> None:
    """Raise unless lines that stay with this one hold every parameter of its mark."""
    held: set[str] = set()
    for other in blocks:
        if other.needs and other.needs <= block.needs:
            held |= other.names
    for name in block.deciding:
        if name not in held:
            raise source.error(
                _place_in_mark(source, block, name),
                f"no line that stays with :{name} has :{name} itself",
                hint=f"write the same mark on a line with :{name}",
            )


def _place_in_mark(source: Source, block: Block, name: str) -> int:
    found = re.compile(rf":{name}(?!\w)").search(source.text, block.mark)
    return found.start() if found else block.mark


def _listed(names: list[str]) -> str:
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"
