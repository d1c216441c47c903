"""The analyses of a statement's variants merged into one, which holds for every variant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from plainsql.analysis.model import Analysis, ColumnFact, ParameterFact, RowCount, RowLevel, Volatility
from plainsql.analysis.shapes.merge_shapes import merged

__all__ = ["merge_column", "merge_parameters", "merge_variants"]

_ROW_COUNTS: Final[tuple[RowCount, ...]] = ("none", "one", "optional", "many")
_VOLATILITIES: Final[tuple[Volatility, ...]] = ("immutable", "stable", "volatile")


def merge_variants(variants: Sequence[Analysis]) -> Analysis:
    """Return the facts that hold for all variants: proved if every variant proves it, used if any variant
    uses it.

    The columns are those of the first variant, except that a nullable column is that of the variant in which
    it is nullable. Findings are left out, because their positions are in a variant's own text.
    """
    first = variants[0]
    if len(variants) == 1:
        return replace(first, findings=(), caching=())
    most = max(variants, key=lambda variant: _ROW_COUNTS.index(variant.rows))
    writing = next((variant for variant in variants if not variant.read_only), first)
    leaving = next((variant for variant in variants if not variant.session_safe), first)
    settings: dict[str, set[str]] = {}
    for variant in variants:
        for table, names in variant.settings:
            settings.setdefault(table, set()).update(names)

    def all_of(what: Callable[[Analysis], Iterable[Any]]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(item for variant in variants for item in what(variant)))

    return Analysis(
        parameters=tuple(merge_parameters(variants).values()),
        # The lengths differ only until that is reported.
        columns=tuple(map(_most_nullable, zip(*(variant.columns for variant in variants), strict=False))),
        rows=most.rows,
        rows_because=most.rows_because,
        reads=all_of(lambda variant: variant.reads),
        writes=all_of(lambda variant: variant.writes),
        triggers=tuple(sorted(all_of(lambda variant: variant.triggers))),
        volatility=_VOLATILITIES[max(_VOLATILITIES.index(variant.volatility) for variant in variants)],
        read_only=writing.read_only,
        session_safe=leaving.session_safe,
        not_read_only=writing.not_read_only,
        not_session_safe=leaving.not_session_safe,
        row_security=tuple(sorted(all_of(lambda variant: variant.row_security))),
        settings=tuple((table, tuple(sorted(names))) for table, names in sorted(settings.items())),
        opaque=tuple(sorted(all_of(lambda variant: variant.opaque))),
        by_key=all(variant.by_key for variant in variants),
        lost_by_batching=next((v.lost_by_batching for v in variants if v.lost_by_batching), ""),
        dependencies=all_of(lambda variant: variant.dependencies),
        changes=all_of(lambda variant: variant.changes),
        levels=_common_levels(variants),
        contiguous=all(variant.contiguous for variant in variants),
        violations=all_of(lambda variant: variant.violations),
    )


def _common_levels(variants: Sequence[Analysis]) -> tuple[RowLevel, ...]:
    """Return the levels that all variants prove by the same columns."""
    found = []
    for level in variants[0].levels:
        same = [e for v in variants for e in v.levels if (e.path, e.key) == (level.path, level.key)]
        if len(same) == len(variants):
            not_null = tuple(name for name in level.not_null if all(name in each.not_null for each in same))
            found.append(replace(level, not_null=not_null))
    return tuple(found)


def merge_parameters(variants: Iterable[Analysis]) -> dict[str, ParameterFact]:
    """Return the parameters of all variants by name: nullable if every variant that has it accepts null."""
    facts: dict[str, ParameterFact] = {}
    for variant in variants:
        for fact in variant.parameters:
            known = facts.get(fact.name)
            if known is None or (known.nullable and not fact.nullable):
                facts[fact.name] = fact
            if known is not None and known.origins != fact.origins:
                origins = tuple(sorted({*known.origins, *fact.origins}))
                facts[fact.name] = replace(facts[fact.name], origins=origins)
    return facts


def merge_column(variants: Sequence[Analysis], index: int) -> ColumnFact:
    """Return a column as the variant has it in which it is nullable, if there is one, at the first variant's
    position.
    """
    return _most_nullable([variant.columns[index] for variant in variants])


def _most_nullable(facts: Sequence[ColumnFact]) -> ColumnFact:
    found = next((fact for fact in facts if fact.nullable), facts[0])
    inside = any(fact.nullable_in_group for fact in facts if fact.nullable)
    shapes = [fact.shape for fact in facts if fact.shape is not None]
    known = all(fact.origins for fact in facts)
    origins = tuple(sorted({origin for fact in facts for origin in fact.origins})) if known else ()
    return replace(
        found,
        position=facts[0].position,
        nullable_in_group=found.nullable and inside,
        shape=merged(shapes) if len(shapes) == len(facts) else None,
        origins=origins,
    )
