"""The text of one migration: its header, its statements and their positions.

PostgreSQL reads the files, not this module. A transactional file is sent in one piece. It is split into
statements only to name the one that failed, and to send those of a non-transactional file one by one, as the
server requires.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from plainsql.errors import Place

__all__ = ["Header", "Script", "Statement", "checksum", "place_at", "tokens"]

_TOKEN = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<line_comment> --[^\r\n]* )
    | (?P<block_comment> /\* )
    | (?P<escape_string> [eE]'(?: [^'\\] | \\. | '' )*(?:'|\Z) )
    | (?P<string> (?: [nNbBxX] | [uU]& )?'(?: [^'] | '' )*(?:'|\Z) )
    | (?P<identifier> (?: [uU]& )?"(?: [^"] | "" )*(?:"|\Z) )
    | (?P<dollar> \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? (?: \$(?P=tag)\$ | \Z ) )
    | (?P<parameter> \$\d+ )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<number> \d[\w.]* )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BEFORE_KIND = {"unique", "unlogged", "materialized", "recursive"}
# `if not exists`, an index that PostgreSQL names, the schema of a role.
_NO_NAME = {"if", "on", "authorization"}
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_DIRECTIVE = re.compile(r"--\s*(?P<key>transactional|depends|keeps)\s*:\s*(?P<value>.*?)\s*$")
_LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script."""

    text: str
    """The text from its first token to its last, without the semicolon."""
    start: int
    """0-based offset of its first character in the source."""
    words: tuple[str, ...]
    """Its bare words in lower case, outside strings, quoted names and bodies; at most the first 40."""

    @property
    def made(self) -> tuple[str, str] | None:
        """The kind and the name, as written, of the object that ``create`` creates.

        ``None`` if the statement creates none, creates it only if it does not exist, if the object is
        temporary, or if it has no name of its own.
        """
        parts = [
            (kind, text)
            for kind, _, text in tokens(self.text)
            if kind not in ("space", "line_comment", "block_comment")
        ]
        words = [text.lower() if kind == "word" else text for kind, text in parts]
        if words[:1] != ["create"]:
            return None
        at = 1
        while words[at : at + 1] and words[at] in _BEFORE_KIND:
            at += 1
        kind = words[at] if at < len(words) else ""
        at += 1
        if kind == "index" and words[at : at + 1] == ["concurrently"]:
            at += 1
        name: list[str] = []
        while at < len(parts) and parts[at][0] in ("word", "identifier"):
            name.append(parts[at][1])
            if words[at + 1 : at + 2] != ["."]:
                break
            at += 2
        if not name or (len(name) == 1 and name[0].lower() in _NO_NAME):
            return None
        return kind, ".".join(name)

    @property
    def first_line(self) -> str:
        return _LINE_END.split(self.text, maxsplit=1)[0].rstrip()


@dataclass(frozen=True, slots=True)
class Header:
    """The directives in the comments before the first statement."""

    transactional: bool | None = None
    """``None`` without a directive."""
    depends: tuple[str, ...] = ()
    keeps: str = ""
    """The reason why a rollback leaves something on purpose; ``migrate verify`` accepts that."""


@dataclass(frozen=True, slots=True)
class Script:
    """A migration's source, split into statements."""

    source: str
    statements: tuple[Statement, ...]
    header: Header
    problems: tuple[tuple[int, str], ...]
    """The offset and the message of each directive that has no effect or a wrong value."""

    @classmethod
    def read(cls, source: str) -> Script:
        statements: list[Statement] = []
        directives: list[tuple[int, str, str]] = []
        start, end, depth = -1, 0, 0
        words: list[str] = []
        for kind, at, text in tokens(source):
            if kind == "line_comment" and (directive := _DIRECTIVE.match(text)):
                directives.append((at, directive["key"], directive["value"]))
            if kind in ("space", "line_comment", "block_comment"):
                continue
            if text == ";" and depth <= 0:
                if start >= 0:
                    statements.append(Statement(source[start:end], start, tuple(words[:40])))
                start, depth, words = -1, 0, []
                continue
            if start < 0:
                start = at
            end = at + len(text)
            if kind == "word":
                words.append(text.lower())
            depth += _depth_change(kind, text, words, depth)
        if start >= 0:
            statements.append(Statement(source[start:end], start, tuple(words[:40])))
        first = statements[0].start if statements else len(source)
        header, problems = _header(directives, first)
        return cls(source, tuple(statements), header, problems)


def tokens(source: str) -> Iterator[tuple[str, int, str]]:
    """Yield the kind, the 0-based offset and the text of each token: comments and blanks too."""
    at = 0
    while match := _TOKEN.match(source, at):
        kind, end = match.lastgroup or "sign", match.end()
        if kind == "tag":
            kind = "dollar"
        if kind == "block_comment":
            end = _end_of_comment(source, end)
        yield kind, at, source[at:end]
        at = end


def _end_of_comment(source: str, at: int) -> int:
    """Return the end of a block comment that opens before ``at``: PostgreSQL's comments nest."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(source, at)
        if edge is None:
            return len(source)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _depth_change(kind: str, text: str, words: list[str], depth: int) -> int:
    """Return the change of depth that a token makes: inside any depth a semicolon ends no statement.

    Two constructs hold semicolons: parentheses (the actions of ``create rule``) and the body of a function
    ``begin atomic … end``, which may contain ``case … end``.
    """
    if kind == "sign":
        return {"(": 1, ")": -1}.get(text, 0)
    if kind != "word" or words[0] != "create" or not {"function", "procedure"} & set(words[1:4]):
        return 0
    word = words[-1]
    if word == "atomic" and words[-2] == "begin":
        return 1
    if depth > 0 and "atomic" in words:
        return {"case": 1, "end": -1}.get(word, 0)
    return 0


def _header(directives: list[tuple[int, str, str]], first: int) -> tuple[Header, tuple[tuple[int, str], ...]]:
    transactional: bool | None = None
    depends: list[str] = []
    keeps = ""
    problems: list[tuple[int, str]] = []
    for at, key, value in directives:
        if key == "keeps":  # an ordinary word: elsewhere it is a comment
            keeps = value if at <= first else keeps
        elif at > first:
            problems.append((at, f"'{key}:' is after the first statement, and has no effect there"))
        elif key == "depends":
            depends.extend(value.split())
        elif value.lower() in ("true", "false"):
            transactional = value.lower() == "true"
        else:
            problems.append((at, f"expected 'transactional: true' or 'false', got {value!r}"))
    return Header(transactional, tuple(depends), keeps), tuple(problems)


def place_at(path: str, source: str, offset: int) -> Place:
    """Return the place of the character at a 0-based offset."""
    ends = (source.count(end, 0, offset) for end in ("\n", "\r"))
    line = 1 + sum(ends) - source.count("\r\n", 0, offset)
    start = 1 + max(source.rfind("\n", 0, offset), source.rfind("\r", 0, offset))
    rest = _LINE_END.search(source, offset)
    return Place(path, line, offset - start + 1, source[start : rest.start() if rest else len(source)])


def checksum(source: str) -> str:
    """Return the SHA-256 of the text in hexadecimal, which is the same for all kinds of line ends."""
    return hashlib.sha256(_LINE_END.sub("\n", source).encode()).hexdigest()
