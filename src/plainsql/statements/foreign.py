"""Placeholders of other tools: ``?``, ``%s``, ``%(id)s``, ``=@id``, found in a text that the server refused.

Each is an operator to PostgreSQL, and so may be meant. Only a text that is refused is searched, and only for
what no expression could be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .scanner import Token

__all__ = ["foreign_placeholder"]

# Behind these an operator with two operands cannot stand.
_OPENING: Final = frozenset(
    {
        *("and", "any", "between", "by", "in", "limit", "not", "offset", "on", "or", "returning", "select"),
        *("set", "then", "values", "when", "where", "like", "ilike", "else"),
    }
)
# Before these an operand has ended.
_ENDING: Final = frozenset(
    {
        *("and", "or", "order", "group", "limit", "offset", "returning", "from", "where", "then", "else"),
        *("end", "on", "having", "union", "for", "as", "asc", "desc"),
    }
)


def foreign_placeholder(sql: str, tokens: Sequence[Token]) -> tuple[int, str] | None:
    """The offset of the first placeholder of another tool, and what to write for it.

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
    """Whether a question mark lacks an operand on one side."""
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
    """The name in ``%(name)s``, empty for ``%s``; ``None`` for what is neither."""
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
    """The next token, if nothing stands between."""
    if index + 1 < len(tokens) and tokens[index + 1].start == tokens[index].end:
        return tokens[index + 1]
    return None
