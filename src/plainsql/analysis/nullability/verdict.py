"""The verdict on whether a value can be null, with its reason and the outer joins that it comes through."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

from plainsql.analysis.conditions.known_facts import ExpressionKey, Facts, NullingJoin
from plainsql.analysis.tree.query_tree import Scope

__all__ = ["Context", "OuterJoin", "Verdict", "first_nullable", "never", "nullable"]


@dataclass(frozen=True, slots=True)
class OuterJoin:
    """One side of an outer join, and the range table entries through which the value was read."""

    join: NullingJoin
    readers: tuple[tuple[int, int], ...] = ()
    """``(query's id, range table index)`` of each reader, the innermost first.

    A view or ``with`` item has one query however often it is read, and each reader has rows of its own.
    """

    def other_side(self) -> OuterJoin:
        """Return the other side of the same join, with the same readers."""
        query, index, side = self.join
        return replace(self, join=(query, index, "right" if side == "left" else "left"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on whether a value can be null."""

    nullable: bool
    because: str
    joins: frozenset[OuterJoin] = frozenset()
    """The outer joins that fill it with nulls; empty unless it is a joined column, unchanged."""
    nullable_when_matched: bool = False
    """True if it can be null even if all these joins found their match."""

    def through(self, joins: Iterable[NullingJoin], because: str) -> Verdict:
        """Return the verdict for the same value above outer joins that may fill it with nulls."""
        inside = self.nullable_when_matched or (self.nullable and not self.joins)
        return Verdict(True, because, self.joins | frozenset(map(OuterJoin, joins)), inside)

    def read_by(self, query: int, index: int) -> Verdict:
        """Return the verdict for the same value as a range table entry of an outer query reads it."""
        if not self.joins:
            return self
        read = (OuterJoin(each.join, (*each.readers, (query, index))) for each in self.joins)
        return replace(self, joins=frozenset(read))

    def alone(self) -> Verdict:
        """Return the same verdict for a value made from this one: it no longer represents a joined row."""
        return replace(self, joins=frozenset(), nullable_when_matched=False) if self.joins else self


def never(because: str) -> Verdict:
    """Return the verdict that a value is proved not null."""
    return Verdict(False, because)


def nullable(because: str) -> Verdict:
    """Return the verdict that a value may be null: that is proved, or nothing is."""
    return Verdict(True, because)


def first_nullable(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the first nullable verdict, which no longer represents a joined row."""
    for verdict in verdicts:
        if verdict.nullable:
            return verdict.alone()
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """The context of an expression: its query, and the facts that are known there."""

    scope: Scope
    facts: Facts = field(default_factory=Facts)
    left_out: frozenset[ExpressionKey] = frozenset()
    """Expressions that a grouping set may leave out (before 18, whose tree does not mark them)."""
    returning: frozenset[int] = frozenset()
    """The queries in whose ``returning`` list the expression is."""

    @property
    def known(self) -> Hashable:
        """Return everything in the context on which a verdict depends, except the query."""
        return self.facts, self.left_out, self.returning

    def with_facts(self, facts: Facts) -> Context:
        """Return the same context with more facts."""
        if not facts.keys and not facts.matched:
            return self
        return replace(self, facts=self.facts | facts, left_out=self.left_out - facts.keys)

    def before_grouping(self) -> Context:
        """Return the context of an aggregate's arguments, before any grouping set leaves an expression
        out.
        """
        return replace(self, left_out=frozenset()) if self.left_out else self
