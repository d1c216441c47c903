"""``plainsql check --explain``: each name of a problem has its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plainsql.check.finding_pages import finding_page
from plainsql.check.problem_rules import RULES
from plainsql.cli.app import main
from plainsql.errors import SettingsError

ROOT = Path(__file__).parents[2]


def test_each_name_has_a_page_whose_links_are_whole() -> None:
    for name in RULES:
        page = finding_page(name)
        assert page.startswith(f"# {name}\n\n")
        assert "\n## " not in page
        for link in re.findall(r"\]\(([^)]*)\)", page):
            assert link.startswith("https://")
            file, _, anchor = link.rpartition("/docs/")[2].partition("#")
            assert (ROOT / "docs" / file).is_file(), link
            headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / file).read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
            assert not anchor or anchor in slugs, link


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        finding_page("cast-defeat-index")
    assert caught.value.hint == "did you mean cast-defeats-index?"


def test_explain_prints_markdown_to_a_pipe_and_needs_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--explain", "not-in-nullable"]) == 0
    assert capsys.readouterr().out == finding_page("not-in-nullable")
    assert main(["check", "--explain=no-such-thing"]) == 2
    assert "there is no finding 'no-such-thing'" in capsys.readouterr().err
