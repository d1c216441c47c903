"""An answer to "can this be null?", with its reason and the outer joins that it comes through."""

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

    def mirrored(self) -> OuterJoin:
        """The other side of the same join, read in the same way."""
        query, index, side = self.join
        return replace(self, join=(query, index, "right" if side == "left" else "left"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a value can be null."""

    nullable: bool
    because: str
    joins: frozenset[OuterJoin] = frozenset()
    """The outer joins that fill it with nulls; empty where it is not a joined column as it stands."""
    nullable_when_matched: bool = False
    """True if it can be null even where all these joins found their match."""

    def through(self, joins: Iterable[NullingJoin], because: str) -> Verdict:
        """The same value seen through outer joins that may fill it with nulls."""
        inside = self.nullable_when_matched or (self.nullable and not self.joins)
        return Verdict(True, because, self.joins | frozenset(map(OuterJoin, joins)), inside)

    def read_by(self, query: int, index: int) -> Verdict:
        """The same value as a range table entry of an outer query reads it."""
        if not self.joins:
            return self
        read = (OuterJoin(each.join, (*each.readers, (query, index))) for each in self.joins)
        return replace(self, joins=frozenset(read))

    def alone(self) -> Verdict:
        """The same answer for a value made from this one: it no longer stands for a joined row."""
        return replace(self, joins=frozenset(), nullable_when_matched=False) if self.joins else self


def never(because: str) -> Verdict:
    """Proved not null."""
    return Verdict(False, because)


def nullable(because: str) -> Verdict:
    """Not proved, or proved otherwise."""
    return Verdict(True, because)


def first_nullable(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The first that can be null, no longer standing for a joined row."""
    for verdict in verdicts:
        if verdict.nullable:
            return verdict.alone()
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """Where an expression stands, and what is known there."""

    scope: Scope
    facts: Facts = field(default_factory=Facts)
    left_out: frozenset[ExpressionKey] = frozenset()
    """Expressions that a grouping set may leave out (before 18, where the tree does not mark them)."""
    returning: frozenset[int] = frozenset()
    """The queries whose ``returning`` list this stands in."""

    @property
    def known(self) -> Hashable:
        """All that an answer given here depends on, the place aside."""
        return self.facts, self.left_out, self.returning

    def knowing(self, facts: Facts) -> Context:
        """The same place, with more known."""
        if not facts.keys and not facts.matched:
            return self
        return replace(self, facts=self.facts | facts, left_out=self.left_out - facts.keys)

    def before_grouping(self) -> Context:
        """Inside an aggregate's arguments, where no grouping set has left anything out."""
        return replace(self, left_out=frozenset()) if self.left_out else self
