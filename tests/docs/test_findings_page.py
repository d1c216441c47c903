"""Every finding has its section; its first example has the finding, the second has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.check.problems import FINDINGS, Problem
from plainsql.check.project_check import check_project
from plainsql.settings import Project
from tests.docs.markdown import ROOT, Block, blocks_of, codes_in, headings_of, table_with

PAGE = "docs/findings.md"
INTRODUCTION = {
    "Findings",
    "Allow a finding",
    "Allow a finding in many files",
    "Adopt the check step by step",
    "In pre-commit",
    "In GitHub code scanning",
    "Errors that cannot be allowed",
    "Lints of the schema",
    "Tables of the examples",
}
# The names that findings.md lists as not to be allowed: every other name of a problem.
OTHERS = {"allow", "baseline", "contract", "fault", "fragment", "outdated", "refused", "settings", "sql-file"}


def examples() -> dict[str, list[Block]]:
    """The queries, or migrations, of each section."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    found: dict[str, list[Block]] = {name: [] for name in (*FINDINGS, *SCHEMA_FINDINGS, *SCHEMA_LINTS)}
    for block in blocks_of(PAGE):
        headings = [line.removeprefix("## ") for line in lines[: block.line] if line.startswith("## ")]
        if headings and headings[-1] not in INTRODUCTION and not block.file:
            found[headings[-1]].append(block)
    return found


def problems(folder: Path, url: str, *queries: str, migration: str = "") -> list[Problem]:
    """Return the problems of queries, or of a migration, on the tables of the page."""
    for path, text in [
        *((block.file, block.code) for block in blocks_of(PAGE) if block.file),
        *((f"sql/products/query_{number}.sql", query) for number, query in enumerate(queries)),
        *([("migrations/0002_example.sql", migration)] if migration else []),
    ]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    found = check_project(Project(root=folder, server=15), url)
    return [*found.errors, *found.findings]


def test_every_finding_has_a_section() -> None:
    assert set(headings_of(PAGE)) - INTRODUCTION == {*FINDINGS, *SCHEMA_FINDINGS, *SCHEMA_LINTS}


def test_sections_stand_in_alphabetical_order() -> None:
    sections = [heading for heading in headings_of(PAGE) if heading not in INTRODUCTION]
    assert sections == sorted(sections)


def test_what_cannot_be_allowed_is_listed() -> None:
    rows = table_with(PAGE, "name", "meaning")
    assert {codes_in(name)[0] for name, _ in rows} == OTHERS
    # The names that the review's own words give.
    source = (ROOT / "src/plainsql/check/problems.py").read_text("utf-8")
    said = source.partition("A finding's name, or")[2].partition('"""')[0]
    assert set(re.findall(r"``([a-z-]+)``", said)) == OTHERS


@pytest.mark.parametrize("name", FINDINGS)
def test_the_first_example_has_the_finding_and_the_others_have_none(
    name: str, tmp_path: Path, database_url: str
) -> None:
    wrong, *right = (block.code for block in examples()[name])
    assert [problem.name for problem in problems(tmp_path / "wrong", database_url, wrong)] == [name]
    assert right
    assert problems(tmp_path / "right", database_url, *right) == []


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_can_be_allowed(name: str, tmp_path: Path, database_url: str) -> None:
    wrong = examples()[name][0].code
    allowed = re.sub(r"^(-- returns: .*\n)", rf"\1-- allow: {name}: it is meant\n", wrong, flags=re.MULTILINE)
    assert problems(tmp_path, database_url, allowed) == []


@pytest.mark.parametrize("name", SCHEMA_FINDINGS)
def test_a_finding_about_a_migration_is_in_the_first_and_not_in_the_second(
    name: str, tmp_path: Path, database_url: str
) -> None:
    wrong, right = (block.code for block in examples()[name])
    found = problems(tmp_path, database_url, migration=wrong)
    assert [(problem.name, Path(problem.path).name) for problem in found] == [(name, "0002_example.sql")]
    assert problems(tmp_path, database_url, migration=right) == []
    allowed = f"-- allow: {name}: it is meant\n{wrong}"
    assert problems(tmp_path, database_url, migration=allowed) == []


def test_each_lint_is_in_its_first_example_and_not_in_its_second(tmp_path: Path, database_url: str) -> None:
    def lints(folder: str, texts: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the lints of examples, by example."""
        for path, text in [
            *((block.file, block.code) for block in blocks_of(PAGE) if block.file),
            *(
                (f"migrations/{number:04}_{name.replace('-', '_')}.sql", text)
                for number, (name, text) in enumerate(texts.items(), 2)
            ),
        ]:
            (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / path).write_text(text, "utf-8")
        large = {"public.articles": 60_000.0, "public.pages": 60_000.0}
        checked = check_project(Project(root=tmp_path / folder), database_url, lint=True, large=large)
        assert checked.errors == ()
        found: dict[str, list[str]] = {}
        for problem in checked.findings:
            found.setdefault(Path(problem.path).stem[5:].replace("_", "-"), []).append(problem.name)
        # The tables of the other examples have no key.
        assert found.pop("shop") == ["missing-primary-key"] * 2
        return found

    wrong = {name: examples()[name][0].code for name in SCHEMA_LINTS}
    assert lints("wrong", wrong) == {name: [name] for name in SCHEMA_LINTS}
    assert lints("right", {name: examples()[name][1].code for name in SCHEMA_LINTS}) == {}
    allowed = {
        name: re.sub(r"^(?=create|alter|grant)", f"-- allow: {name}: it is meant\n", text, flags=re.MULTILINE)
        for name, text in wrong.items()
    }
    assert lints("allowed", allowed) == {}


def test_the_example_of_an_allowance_holds(tmp_path: Path, database_url: str) -> None:
    assert problems(tmp_path, database_url, blocks_of(PAGE)[0].code) == []
