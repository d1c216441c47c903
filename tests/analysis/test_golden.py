"""The answers of the analysis for many statements, word by word; see ``golden.py``."""

from __future__ import annotations

import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.nullability import expression_rules
from tests.analysis.golden import FACETS, cases, describe

# Kinds of nodes that the embedded server's build, or the parser, never gives to a statement's result.
NOT_REACHED = {"XMLEXPR", "NEXTVALUEEXPR", "CURRENTOFEXPR", "CONVERTROWTYPEEXPR", "NAMEDARGEXPR"}


@pytest.mark.parametrize(
    ("facet", "sql", "expected"),
    [
        pytest.param(facet, sql, expected, id=f"{facet}-{sql}")
        for facet in FACETS
        for sql, expected in cases(facet)
    ],
)
def test_answers_equal_those_of_the_golden_file(
    analyser: Analyser, facet: str, sql: str, expected: list[str]
) -> None:
    """Every answer comes with its reason, and both stay as they were reviewed."""
    assert describe(analyser, facet, sql) == expected


@pytest.mark.parametrize("kind", sorted(set(expression_rules._RULES) - NOT_REACHED))
def test_every_rule_is_needed_by_a_golden_answer(
    analyser: Analyser, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rule for one kind of expression, some answer changes."""
    monkeypatch.delitem(expression_rules._RULES, kind)
    assert any(describe(analyser, "nullability", sql) != expected for sql, expected in cases("nullability"))
