"""The placeholders and query marks of other tools, each with its form in plainsql.

Placeholders such as ``?``, ``%s`` and ``%(id)s`` are operators in PostgreSQL, and the author may mean the
operator. So only a text that PostgreSQL refuses is searched for them, and only for forms that no expression
could have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.scanner import Token, scan
from plainsql.statements.source import Source

__all__ = ["foreign_placeholder", "lone_at", "other_tools_mark"]

# aiosql's `-- name: get-user^`, sqlc's `-- name: GetUser :one` and pgtyped's `/* @name GetUser */`.
_MARK: Final = re.compile(
    r"^(?:--|/\*)[ \t]*(name[ \t]*:[ \t]*[\w.-]+(?:\([^)\n]*\))?[ \t]*(:\w+|\^|<!|\*!|[!$#])?)"
    r"|/\*[^/]*?(@name[ \t]+\w+)",
    re.MULTILINE,
)
_RETURNS: Final = {
    "^": "optional Lead",
    ":one": "optional Lead",
    "$": "optional value",
    "<!": "one Lead",
    **dict.fromkeys((":many", ""), "many Lead"),
    **dict.fromkeys(("!", "*!", "#", ":exec", ":execrows", ":execresult"), "count"),
}

# An operator with two operands cannot follow these.
_OPENING: Final = frozenset(
    {
        *("and", "any", "between", "by", "in", "limit", "not", "offset", "on", "or", "returning", "select"),
        *("set", "then", "values", "when", "where", "like", "ilike", "else"),
    }
)
# An operand has ended before these.
_ENDING: Final = frozenset(
    {
        *("and", "or", "order", "group", "limit", "offset", "returning", "from", "where", "then", "else"),
        *("end", "on", "having", "union", "for", "as", "asc", "desc"),
    }
)


def other_tools_mark(source: Source) -> SqlFileError | None:
    """Return the error for a file whose header is aiosql's, sqlc's or pgtyped's, or None."""
    found = _MARK.search(source.text)
    if found is None:
        return None
    mark = found[1] or found[3]
    returns = _RETURNS.get(found[2] or "", "many Lead")
    named = ", with the name of the row's type" if "Lead" in returns else ""
    tool = "pgtyped" if found[3] else "sqlc" if (found[2] or "").startswith(":") else "aiosql"
    return source.error(
        found.start(1) if found[1] else found.start(3),
        f"{mark.rstrip()!r} is the mark of {tool}, and does not declare the result",
        detail=f"a query has the name of its file, and this one says returns: {returns}{named}",
        hint=f"plainsql import {tool} {source.path}",
    )


def lone_at(source: Source) -> SqlFileError | None:
    """Return the error for ``@id``, which is not a parameter but the absolute value of a column, or None."""
    text = source.text
    if "@" not in text:
        return None
    tokens = scan(text, path=source.path, line=source.line)
    for index, token in enumerate(tokens):
        if token.kind == "operator" and text[token.start : token.end] == "@":
            following = _adjacent(tokens, index)
            if following is not None and following.kind == "word":
                name = text[following.start : following.end]
                return source.error(
                    token.start,
                    f"@{name} is not a parameter: PostgreSQL reads it as the absolute value of {name}",
                    hint=f"write :{name} for the parameter, abs({name}) for the absolute value",
                )
    return None


def foreign_placeholder(sql: str, tokens: Sequence[Token]) -> tuple[int, str] | None:
    """Return the offset of the first placeholder of another tool, and a hint with plainsql's form.

    ``tokens`` are those of ``sql``, without comments.
    """
    for index, token in enumerate(tokens):
        if token.kind != "operator":
            continue
        mark = sql[token.end - 1]
        if mark == "?" and _stands_alone(sql, tokens, index):
            return token.end - 1, "write parameters as :name; plainsql numbers them"
        if mark == "%" and (name := _percent(sql, tokens, index)) is not None:
            return token.end - 1, f"write parameters as :name, here :{name or 'name'}"
        if mark == "@" and token.end - token.start > 1 and sql[token.start] == "=":
            following = _adjacent(tokens, index)
            if following is not None and following.kind == "word":
                name = sql[following.start : following.end]
                return token.end - 1, f"write parameters as :name, here :{name}"
    return None


def _stands_alone(sql: str, tokens: Sequence[Token], index: int) -> bool:
    """Report whether a question mark has no operand on one side."""
    token = tokens[index]
    if token.end - token.start > 1:
        return sql[token.start : token.end] in ("=?", "<?", ">?", "<>?", "!=?", "<=?", ">=?")
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if after is None or after.kind in ("close", "comma", "semicolon", "cast", "operator"):
        return True
    if after.kind == "word" and sql[after.start : after.end].lower() in _ENDING:
        return True
    before = tokens[index - 1] if index else None
    if before is None or before.kind in ("open", "comma", "operator"):
        return True
    return before.kind == "word" and sql[before.start : before.end].lower() in _OPENING


def _percent(sql: str, tokens: Sequence[Token], index: int) -> str | None:
    """Return the name in ``%(name)s``, empty for ``%s``; ``None`` for any other text."""
    after = _adjacent(tokens, index)
    if after is None:
        return None
    if after.kind == "word" and sql[after.start : after.end] in ("s", "d"):
        before = tokens[index - 1] if index else None
        alone = len(sql[tokens[index].start : tokens[index].end]) > 1
        is_operand = before is not None and before.kind in ("number", "string", "close", "quoted_name")
        if before is not None and before.kind == "word":
            is_operand = sql[before.start : before.end].lower() not in _OPENING
        return "" if alone or not is_operand else None
    if after.kind == "open" and index + 4 < len(tokens):
        name, closing, letter = tokens[index + 2 : index + 5]
        if (name.kind, closing.kind) == ("word", "close") and closing.end == letter.start:
            written = sql[letter.start : letter.end]
            return sql[name.start : name.end] if written in ("s", "d") else None
    return None


def _adjacent(tokens: Sequence[Token], index: int) -> Token | None:
    """Return the next token if nothing is between it and this one."""
    if index + 1 < len(tokens) and tokens[index + 1].start == tokens[index].end:
        return tokens[index + 1]
    return None
