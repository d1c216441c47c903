"""The variants of a query whose plans are recorded."""

from __future__ import annotations

from typing import Final

from plainsql.statements import Statement, Variant

__all__ = ["tested_variants"]

_MAX_ALL: Final = 16
"""A query with this many variants or fewer has all of them recorded."""


def tested_variants(statement: Statement) -> tuple[Variant, ...]:
    """Return the variants to record, in their order.

    A query with many variants has these, for each combination of its choices: without optional lines, with
    each optional line alone, and with all of them. Other variants combine what these have.
    """
    variants = statement.variants()
    if len(variants) <= _MAX_ALL:
        return variants
    by_choices: dict[tuple[str | bool, ...], list[Variant]] = {}
    for variant in variants:
        by_choices.setdefault(tuple(variant.choices.values()), []).append(variant)
    chosen: set[Variant] = set()
    for group in by_choices.values():
        group.sort(key=lambda variant: len(variant.given))
        chosen |= {group[0], group[-1]}
        for name in statement.compiled.optional:
            if having := [variant for variant in group if name in variant.given]:
                chosen.add(having[0])
    return tuple(variant for variant in variants if variant in chosen)
