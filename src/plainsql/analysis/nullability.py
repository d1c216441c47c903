"""Which results can be null: nullable unless proved otherwise, with the reason for each answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plainsql.analysis.aggregates import aggregate_verdict, groups_are_never_empty, window_verdict
from plainsql.analysis.cardinality import Cardinality
from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.expressions import ExpressionRules
from plainsql.analysis.facts import Facts, Inference, Key, facts_of_rows, null_joins
from plainsql.analysis.grouping import columns_in_every_set
from plainsql.analysis.nonnull_functions import SET_COLUMNS
from plainsql.analysis.reader import Node, read_tree
from plainsql.analysis.relations import Relation
from plainsql.analysis.scopes import Scopes
from plainsql.analysis.tree import Command, Entry, JoinType, Kind, Query, Scope
from plainsql.analysis.verdict import Verdict, first_nullable, never, nullable

__all__ = ["Context", "Nullability"]

_JOIN_REASONS = {
    JoinType.LEFT: "left join may not match",
    JoinType.RIGHT: "right join may not match",
    JoinType.FULL: "full join may not match",
}
