"""Sets of a query's variants, in the words of a plan file: ``with after_id; without status``.

A query of 8 optional lines has 256 variants and a few plans. The variants of one plan are described by the
optional parameters and choices that distinguish them from the variants of other plans.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from plainsql.statements import Statement, Variant

__all__ = [
    "EVERY",
    "VariantSet",
    "describe_sets",
    "facts_of",
    "matches",
    "parse_set",
    "plan_of_variant",
    "render_set",
]

VariantSet = Mapping[str, str]
"""The value of each parameter and choice that distinguishes the variants: ``with``, ``without``, or the value
of a choice. Other parameters may be given or not."""

EVERY: Final = "every variant"
_WITH: Final = "with"
_WITHOUT: Final = "without"

_Plan = TypeVar("_Plan", bound=Hashable)


def facts_of(statement: Statement, variant: Variant) -> dict[str, str]:
    """Return the values of all choices and optional parameters in a variant, in the order of the text."""
    facts = {choice.name: _shown(variant.choices[choice.name]) for choice in statement.choices}
    for parameter in statement.parameters:
        if parameter.name in statement.compiled.optional:
            facts[parameter.name] = _WITH if parameter.name in variant.given else _WITHOUT
    return facts


def matches(described: VariantSet, facts: Mapping[str, str]) -> bool:
    """Return True if a variant is in a set. A name that the query does not have any more is ignored."""
    return all(facts.get(name, value) == value for name, value in described.items())


def plan_of_variant(recorded: Sequence[tuple[VariantSet, _Plan]], facts: Mapping[str, str]) -> _Plan | None:
    """Return the plan of the first set that a variant is in, ``None`` if it is in none."""
    return next((plan for described, plan in recorded if matches(described, facts)), None)


def describe_sets(variants: Sequence[tuple[Mapping[str, str], _Plan]]) -> list[tuple[VariantSet, _Plan]]:
    """Return sets of the variants with their plan, which cover all variants, each once."""
    names = list(variants[0][0]) if variants else []
    return list(_split(names, [(tuple(facts.values()), plan) for facts, plan in variants]))


def _split(
    names: list[str], variants: list[tuple[tuple[str, ...], _Plan]]
) -> Iterator[tuple[VariantSet, _Plan]]:
    """Yield the sets, split by the names in their order; a name without an influence is left out."""
    if len({plan for _, plan in variants}) == 1:
        yield {}, variants[0][1]
        return
    without_first: dict[tuple[str, ...], _Plan] = {}
    if all(without_first.setdefault(values[1:], plan) == plan for values, plan in variants):
        yield from _split(names[1:], list(without_first.items()))
        return
    for value in dict.fromkeys(values[0] for values, _ in variants):
        part = [(values[1:], plan) for values, plan in variants if values[0] == value]
        for described, plan in _split(names[1:], part):
            yield {names[0]: value, **described}, plan


def render_set(described: VariantSet) -> str:
    """Return a set as a line of a plan file."""
    if not described:
        return EVERY
    by_state = {
        state: [name for name, value in described.items() if value == state] for state in (_WITH, _WITHOUT)
    }
    parts = [f"{state} {', '.join(names)}" for state, names in by_state.items() if names]
    parts += [f"{name} = {value}" for name, value in described.items() if value not in (_WITH, _WITHOUT)]
    return "; ".join(parts)


def parse_set(line: str) -> VariantSet | None:
    """Return the set of a line, ``None`` if it is no such line."""
    if line == EVERY:
        return {}
    described: dict[str, str] = {}
    for part in line.split("; "):
        name, equals, value = part.partition(" = ")
        state, _, names = part.partition(" ")
        if equals and name.isidentifier() and value:
            described[name] = value
        elif not equals and state in (_WITH, _WITHOUT) and all(map(str.isidentifier, names.split(", "))):
            described |= dict.fromkeys(names.split(", "), state)
        else:
            return None
    return described


def _shown(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value
