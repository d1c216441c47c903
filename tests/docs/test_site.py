"""The site of the documentation: its navigation, its reference, its links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from scripts import docs_pages, docs_reference, docs_site
from tests.docs.markdown import ROOT, blocks_of, pages

pytest.importorskip("griffe", reason="`make docs` installs what builds the site")

from scripts.docs_docstrings import as_markdown

needs_zensical = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="`make docs` installs what builds the site"
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two pages, the project's own configuration and no reference."""
    monkeypatch.setattr(docs_reference, "MODULES", ())
    configuration = (ROOT / "zensical.toml").read_text("utf-8")
    nav = 'nav = ["index.md", "limits.md"]\n'
    configuration = re.sub(r"^nav = \[\n.*?^\]\n", nav, configuration, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "zensical.toml").write_text(configuration, "utf-8")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8"), "utf-8")
    for folder in ("docs", "src", "scripts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "scripts" / "docs_docstrings.py").touch()
    (tmp_path / "docs" / "limits.md").write_text("# Limits\n\n## In Redis & elsewhere\n", "utf-8")
    return tmp_path


def write_readme(checkout: Path, target: str) -> None:
    (checkout / "README.md").write_text(f"# Shop\n\nSee [this]({target}).\n", "utf-8")


def test_the_navigation_has_every_page_once() -> None:
    named = docs_site.navigation(ROOT)
    assert len(named) == len(set(named))
    assert set(named) == {*docs_pages.pages(ROOT).values(), *docs_reference.pages(ROOT)}


def test_the_reference_has_every_module_that_a_page_imports() -> None:
    imported = set()
    for page in pages():
        for block in blocks_of(page):
            found = re.findall(
                r"^ *(?:from|import) (plainsql[\w.]*)(?: import (.*))?$", block.code, re.MULTILINE
            )
            for module, names in found:
                imported |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))}
    modules = {name for name in imported if is_module(name) and not is_of_a_layer(name)}
    assert {"plainsql", "plainsql.migrate", "plainsql.limits"} <= modules
    # This one computes vectors for the tests and the demonstration.
    assert modules - {"plainsql.vector.hashing"} <= set(docs_reference.MODULES)


def is_module(name: str) -> bool:
    path = ROOT / "src" / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_of_a_layer(name: str) -> bool:
    return name.startswith("plainsql.layers.") and name != "plainsql.layers.files"


@needs_zensical
@pytest.mark.parametrize(
    "target",
    [
        "docs/limits.md",
        "docs/limits.md#in-redis--elsewhere",
        "https://github.com/plainsql/plainsql/blob/main/docs/limits.md#in-redis--elsewhere",
        "pyproject.toml",
    ],
)
def test_a_sound_link_builds(checkout: Path, target: str) -> None:
    write_readme(checkout, target)
    assert docs_site.build(checkout) == ""
    assert (checkout / "build/docs/site/limits/index.html").is_file()


@needs_zensical
@pytest.mark.parametrize("target", ["docs/limits.md#in-redis", "#shops"])
def test_a_broken_anchor_fails_the_build(
    checkout: Path, target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_readme(checkout, target)
    assert "--strict" in docs_site.build(checkout)
    assert "anchor does not exist" in capfd.readouterr().err


@pytest.mark.parametrize(
    "target", ["docs/limit.md", "../elsewhere.md", "https://github.com/plainsql/plainsql/blob/main/none.py"]
)
def test_a_link_to_no_file_fails_the_build(checkout: Path, target: str) -> None:
    write_readme(checkout, target)
    assert docs_site.build(checkout).startswith("README.md: no such file: ")


def test_a_page_that_is_not_in_the_navigation_fails_the_build(checkout: Path) -> None:
    write_readme(checkout, "docs/limits.md")
    (checkout / "docs" / "stray.md").write_text("# Stray\n", "utf-8")
    assert docs_site.build(checkout) == "`nav` of zensical.toml and the pages differ in: stray.md"


def test_links_lead_to_the_pages_of_the_site_and_to_files_of_the_code_host(checkout: Path) -> None:
    write_readme(checkout, "docs/limits.md")
    page = (
        "[a](../README.md) [b](../pyproject.toml#x) `[c](none.md)` [d](#here)\n"
        "```md\n[e](none.md)\n```\n[f](https://example.org/)\n"
    )
    (checkout / "docs" / "limits.md").write_text(page, "utf-8")
    docs_pages.copy(checkout, checkout / "site")
    assert (checkout / "site" / "limits.md").read_text("utf-8") == (
        "[a](index.md) [b](https://github.com/plainsql/plainsql/blob/main/pyproject.toml#x)"
        " `[c](none.md)` [d](#here)\n```md\n[e](none.md)\n```\n[f](https://example.org/)\n"
    )


def test_lists_are_written_as_python_markdown_reads_them() -> None:
    text = "Words\n- one\n  goes on\n  - below\n1. two\n   goes on\n\nWords\n  indented\n"
    assert docs_pages.indented(text) == (
        "Words\n\n- one\n    goes on\n    - below\n1. two\n    goes on\n\nWords\n  indented\n"
    )


def test_a_page_that_loads_from_another_host_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<link rel="canonical" href="https://a.example/"><link rel="stylesheet" href="https://b.example/c.css">'
        '<a href="https://d.example/"></a><script src="https://e.example/f.js"></script><img src="g.png">',
        "utf-8",
    )
    assert docs_site.loaded_from_elsewhere(tmp_path) == ["https://b.example/c.css", "https://e.example/f.js"]


def test_examples_and_tables_of_docstrings_become_blocks() -> None:
    assert as_markdown("Do it::\n\n    db.do()\n\nThen stop.") == (
        "Do it:\n\n```python\ndb.do()\n```\n\nThen stop."
    )
    assert as_markdown("===  ===\na    b\n===  ===\n``x``  y\n===  ===\n") == (
        "```text\na    b\n---  ---\nx  y\n```\n"
    )
