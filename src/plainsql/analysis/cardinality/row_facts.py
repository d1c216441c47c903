"""The facts that hold in every row of a query, by its conditions and by outer joins that must have
matched.
"""

from __future__ import annotations

from collections.abc import Callable

from plainsql.analysis.conditions.known_facts import Facts, Inference, is_true
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import Join, JoinType, Scope

__all__ = ["facts_of_rows"]


def facts_of_rows(
    inference: Inference,
    scope: Scope,
    at_least_one: Callable[[Node, Scope], bool],
    follows_key: Callable[[Join, Scope, Facts], bool],
) -> Facts:
    """Return the facts that hold in every row of a query's ``from`` and ``where``.

    ``at_least_one`` returns whether one side of a join always has a row: `left join lateral (select count(*)
    …) on true` always finds its match. ``follows_key`` returns whether a foreign key guarantees the match.
    """
    query = scope.query
    facts = inference.if_true(query.where, scope)
    outer = []
    for join in query.joins.values():
        if join.type is JoinType.INNER:
            facts |= inference.if_true(join.condition, scope)
        else:
            outer.append(join)
            if is_true(join.condition):
                for side, node in (("left", join.left), ("right", join.right)):
                    if at_least_one(node, scope):
                        facts |= Facts(matched=frozenset({(query.id, join.index, side)}))
    # A join that is known to have matched fulfilled its condition, which may prove that further joins
    # matched.
    waiting = [join for join in outer if join.type is not None]
    while True:
        for join in waiting:
            if follows_key(join, scope, facts):
                facts |= Facts(
                    matched=frozenset((query.id, join.index, side) for side, _ in join.nullable_sides())
                )
        settled = [
            join
            for join in waiting
            if all((query.id, join.index, side) in facts.matched for side, _ in join.nullable_sides())
        ]
        if not settled:
            return facts
        for join in settled:
            waiting.remove(join)
            facts |= inference.if_true(join.condition, scope)
