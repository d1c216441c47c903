"""The variants that an analysis must cover, so that its proofs hold for all variants.

Two kinds of optional lines are independent. A line that begins with `and` in the statement's own `where` only
removes rows: a fact proved for the rows without the line holds with it. A line that sets a column in an
`update` affects that column only, if no expression is returned. The line's own effects (reading a table,
calling a function, taking a parameter) are covered by the smallest variant that has it. All other lines may
interact, those with `or` above all, and are taken in all combinations, as choices are.
"""

from __future__ import annotations

from typing import Final

from plainsql.statements.scanner import Token, scan
from plainsql.statements.variants import Compiled, Variant

__all__ = ["representative_variants"]

_MAX_FULLY_ANALYSED: Final = 16
"""A statement with this many variants or fewer has all of them analysed."""
_COMMENT_TOKENS: Final = frozenset({"line_comment", "block_comment"})
_CLAUSE_WORDS: Final = frozenset(
    {
        *("select", "from", "where", "on", "having", "group", "order", "set", "values", "returning", "when"),
        *("limit", "offset", "fetch", "window", "using", "join", "case", "conflict", "merge", "insert"),
    }
)
"""Words that begin a clause of a statement."""
_COMBINING_WORDS: Final = frozenset({"union", "intersect", "except", "conflict", "merge", "case"})
"""Words outside of brackets that make no line of the statement independent."""
_WORDS_AFTER_CONDITION: Final = frozenset(
    {"and", "or", "order", "group", "limit", "offset", "having", "returning", "for", "fetch", "window"}
)
"""Words that can follow a whole condition."""
_TOKENS_ENDING_CONDITION: Final = frozenset({"quoted_name", "string", "number", "parameter", "close"})
_WORDS_NOT_ENDING_CONDITION: Final = frozenset(
    {"and", "or", "not", "is", "in", "like", "ilike", "between", "from", "to", "as"}
)


def representative_variants(
    compiled: Compiled, variants: tuple[Variant, ...], *, independent: bool = True
) -> tuple[Variant, ...]:
    """Return the variants of a statement that are to be analysed, in their order.

    With ``independent=False``, no line is taken to be independent.
    """
    if len(variants) <= _MAX_FULLY_ANALYSED or not independent:
        return variants
    alone = _OptionalLines(compiled).alone()
    groups: dict[object, list[tuple[frozenset[int], Variant]]] = {}
    for variant in variants:
        kept = compiled.optional_lines(variant)
        # A flag's lines are among the kept ones: those that act alone need no group of their own.
        choices = tuple(value for value in variant.choices.values() if isinstance(value, str))
        groups.setdefault((choices, kept - alone), []).append((kept, variant))
    chosen: set[Variant] = set()
    for group in groups.values():
        group.sort(key=lambda pair: len(pair[0]))
        chosen |= {group[0][1], group[-1][1]}
        for line in alone:
            # The smallest variant that has the line, and any others of the same size.
            having = [(len(kept), variant) for kept, variant in group if line in kept]
            chosen |= {variant for size, variant in having if size == having[0][0]}
    return tuple(variant for variant in variants if variant in chosen)


class _OptionalLines:
    """The optional lines of a statement, and the tokens around them."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._text = compiled.body
        self._tokens: list[Token] = []
        self._depths: list[int] = []
        depth = 0
        for token in scan(self._text, path=compiled.source.path, line=compiled.source.line):
            if token.kind in _COMMENT_TOKENS or token.start >= compiled.end:
                continue
            depth -= token.kind == "close"
            self._tokens.append(token)
            self._depths.append(depth)
            depth += token.kind == "open"

    def alone(self) -> frozenset[int]:
        """Return the offsets of the independent lines."""
        top = {self._word(index) for index, depth in enumerate(self._depths) if not depth}
        if top & _COMBINING_WORDS:
            return frozenset()
        return frozenset(
            start
            for start, end in self._compiled.optional_spans()
            if self._is_independent([i for i, t in enumerate(self._tokens) if start <= t.start < end])
        )

    def _is_independent(self, line: list[int]) -> bool:
        if self._depths[line[0]]:
            return False
        clause = next((w for i in range(line[0] - 1, -1, -1) if (w := self._clause(i))), "")
        if any(self._clause(index) for index in line):
            return False
        return (clause == "where" and self._is_condition(line)) or (
            clause == "set" and self._is_assignment(line)
        )

    def _is_condition(self, line: list[int]) -> bool:
        """Return whether a line is a whole condition after `and`."""
        last = line[-1]
        if self._word(line[0]) != "and" or any(
            self._word(index) == "or" and not self._depths[index] for index in line
        ):
            return False
        if self._tokens[last].kind not in _TOKENS_ENDING_CONDITION and self._word(last) in {
            "",
            *_WORDS_NOT_ENDING_CONDITION,
        }:
            return False
        return last + 1 == len(self._tokens) or self._word(last + 1) in _WORDS_AFTER_CONDITION

    def _is_assignment(self, line: list[int]) -> bool:
        """Return whether a line gives a column of an update its value, and only columns are returned."""
        if len(line) < 4 or self._tokens[line[-1]].kind != "comma":
            return False
        equals = self._tokens[line[1]]
        if self._tokens[line[0]].kind not in ("word", "quoted_name"):
            return False
        if self._text[equals.start : equals.end] != "=" or any(
            self._tokens[index].kind == "comma" and not self._depths[index] for index in line[:-1]
        ):
            return False
        returning = [i for i, depth in enumerate(self._depths) if not depth and self._word(i) == "returning"]
        return not returning or all(
            self._tokens[index].kind in ("word", "quoted_name", "dot", "comma")
            or self._text[self._tokens[index].start : self._tokens[index].end] == "*"
            for index in range(returning[0] + 1, len(self._tokens))
        )

    def _clause(self, index: int) -> str:
        """Return the word that begins a clause of the statement itself, or an empty text."""
        word = self._word(index)
        return word if word in _CLAUSE_WORDS and not self._depths[index] else ""

    def _word(self, index: int) -> str:
        token = self._tokens[index]
        return self._text[token.start : token.end].lower() if token.kind == "word" else ""
