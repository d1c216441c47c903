"""The analysed variants prove the same as all variants together."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from plainsql.analysis import Analyser, Analysis
from plainsql.analysis.effects.cache_dependencies import changes_of_variants
from plainsql.analysis.merge import merge_variants
from plainsql.analysis.representative_variants import representative_variants
from plainsql.statements import compile_body

CONDITIONS = [
    "c.nickname = :{0}",
    "c.id = :{0}",
    "c.visits > :{0}",
    "(c.nickname is null or c.nickname = :{0})",
    "c.mood = :{0} and c.nickname is not null",
    "exists (select from orders as o where o.customer_id = c.id and o.number = :{0})",
    "c.id in (select o.customer_id from orders as o where o.total = :{0})",
    "c.id = any (:{0})",
]
WEAKENING = ["c.id = :{0}", "c.name = :{0}", "c.nickname = :{0}", "c.visits = :{0}"]
COLUMNS = ["name", "nickname", "mood", "home", "mail", "visits", "active"]


def search(chance: random.Random) -> str:
    """Make a search with lines that narrow, and pairs of lines in which each line widens."""
    lines = [
        "select c.id, c.nickname, c.mood, coalesce(c.nickname, c.mood::text) as either",
        "from customers as c",
    ]
    lines += [f"where {chance.choice(['true', 'c.id = :id', 'c.nickname is not null'])}"]
    for pair in range(chance.randint(0, 2)):
        lines += ["  and (", f"    {chance.choice(['c.id = :id', 'c.nickname is not null'])}"]
        lines += [f"    or {chance.choice(WEAKENING).format(f'w{pair}')}  --?", "  )"]
    for number, condition in enumerate(chance.sample(CONDITIONS, 5)):
        lines.append(f"  and {condition.format(f'p{number}')}  --?")
    if chance.random() < 0.5:
        lines += ["order by", "  c.nickname,  --? order=name", "  c.visits,  --? order=visits", "  c.mood"]
    return "\n".join(lines)


def update(chance: random.Random) -> str:
    """Make an update of the given columns, with more or less returned."""
    chosen = chance.sample(COLUMNS, 5)
    lines = ["update customers as c", "set", *(f"  {column} = :{column},  --?" for column in chosen)]
    lines += ["  tags = c.tags", "where c.id = :id", "  and c.nickname is not null"]
    lines += ["  and c.mood is not null"] if chance.random() < 0.5 else []
    lines += [f"  and {chance.choice(CONDITIONS[:3]).format('p')}  --?"]
    returning = [
        "",
        "returning c.id, c.nickname, c.mood",
        "returning coalesce(c.nickname, c.mood::text) as either",
    ]
    return "\n".join([*lines, chance.choice(returning)])


UNCONDITIONAL = ["c.nickname is not null", "c.mood is null", "c.id = :id", "c.visits > 1 or c.mood is null"]


def flagged(chance: random.Random) -> str:
    """Make a search with lines of flags, and with lines that a parameter of another line decides on."""
    lines = ["select c.id, c.nickname, c.mood", "from customers as c", "where c.id >= :id"]
    lines += [f"  and {condition}  --? f{n}" for n, condition in enumerate(chance.sample(UNCONDITIONAL, 3))]
    lines += ["  and (", "    c.name = 'x'", f"    or {chance.choice(UNCONDITIONAL)}  --? wide", "  )"]
    for number, condition in enumerate(chance.sample(CONDITIONS, 2)):
        lines.append(f"  and {condition.format(f'p{number}')}  --?")
        lines.append(f"  and {chance.choice(UNCONDITIONAL)}  --? :p{number}")
    return "\n".join(lines)


def proved(variants: Iterable[Analysis]) -> dict[str, Any]:
    """Return what the analyses of its variants prove about a statement."""
    analyses = list(variants)
    found = merge_variants(analyses)
    tables = {each.table for each in found.dependencies if each.column is None}
    return {
        "columns": [(column.name, column.nullable) for column in found.columns],
        "parameters": sorted((p.name, str(p.type), p.nullable) for p in found.parameters),
        "rows": found.rows,
        "reads": sorted({str(use) for use in found.reads}),
        "writes": sorted({str(use) for use in found.writes}),
        "proofs": (found.read_only, found.session_safe, found.volatility, found.by_key),
        "dependencies": {
            each for each in found.dependencies if each.column is None or each.table not in tables
        },
        "changes": changes_of_variants(analyses),
        "findings": {(f.name, f.message) for each in analyses for f in (*each.findings, *each.caching)},
    }


@pytest.mark.parametrize("make", [search, update, flagged])
@pytest.mark.parametrize("seed", range(6))
def test_representatives_prove_the_same_as_all_variants(analyser: Analyser, make: Any, seed: int) -> None:
    compiled = compile_body(make(random.Random(seed)), name="q", path="q.sql")
    variants = compiled.variants()
    assert len(variants) > 16
    analyses = {variant: analyser.analyse(variant.sql, variant.parameters) for variant in variants}
    chosen = representative_variants(compiled, variants)
    assert proved(analyses[variant] for variant in chosen) == proved(analyses.values())


def test_a_null_inside_a_joined_row_of_any_variant_is_a_null_there(analyser: Analyser) -> None:
    """With the line, the join also finds customers without a nickname."""
    sql = """
select o.id, c.nickname
from orders as o
left join (
  select each.id, each.nickname from customers as each where each.nickname is not null
    or each.name = :name  --?
) as c on c.id = o.customer_id
"""
    variants = compile_body(sql, name="q", path="q.sql").variants()
    analyses = [analyser.analyse(variant.sql, variant.parameters) for variant in variants]
    assert [each.columns[1].nullable_in_group for each in analyses] == [False, True]
    assert merge_variants(analyses).columns[1].nullable_in_group
