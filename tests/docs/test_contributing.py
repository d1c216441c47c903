"""The pages for contributors name files, names and commands that are there; the glossary is in order."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.markdown import (
    ROOT,
    anchors_of,
    blocks_of,
    codes_in,
    links_of,
    prose_of,
    table_with,
    text_of,
)

PAGES = ["CONTRIBUTING.md", "SECURITY.md", "tests/README.md", "docs/glossary.md"]

_PATH = re.compile(
    r"[\w.-]*[\w-]+(?:/[\w.-]+)*(?:\.(?:py|md|lua|toml|txt|yml|sh)|/)|(?:src|tests|docs)/[\w/.-]+"
)
_NAME_IN_FILE = re.compile(r"`([A-Za-z_]\w*)`(?:, \w+ \w+)? (?:of|in) `([\w/.-]+\.(?:py|toml))`")
# They are to be made, not there.
_EXAMPLES = {"src/plainsql/cli/NAME.py", "dist/"}


@cache
def files() -> frozenset[str]:
    """Every file of the repository's own folders, and those folders."""
    tops = [path for path in ROOT.iterdir() if path.name[0] != "." and path.name not in {"build", "dist"}]
    found = [ROOT / ".ci" / "run", *(ROOT / ".github").rglob("*"), *tops]
    for top in tops:
        found += top.rglob("*") if top.is_dir() else []
    return frozenset(str(path.relative_to(ROOT)) for path in found)


def exists(path: str) -> bool:
    """Return whether a path is there; a file's name alone may be anywhere."""
    path = path.rstrip("/")
    if "/" in path or path in files():
        return path in files()
    return any(name.endswith(f"/{path}") for name in files())


@pytest.mark.parametrize("page", PAGES)
def test_every_path_is_there(page: str) -> None:
    named = {code for code in codes_in(prose_of(page)) if _PATH.fullmatch(code)} - _EXAMPLES
    # A source distribution has no .ci and no .github.
    named = {path for path in named if path[0] != "." or (ROOT / path.partition("/")[0]).exists()}
    assert sorted(path for path in named if not exists(path)) == []


def test_the_recipes_name_many_paths() -> None:
    named = {code for code in codes_in(prose_of("CONTRIBUTING.md")) if _PATH.fullmatch(code)}
    assert len(named) > 30


@pytest.mark.parametrize("page", PAGES)
def test_every_name_in_a_file_is_there(page: str) -> None:
    named = _NAME_IN_FILE.findall(prose_of(page))
    lost = [f"{name} in {path}" for name, path in named if not re.search(rf"\b{name}\b", text_of(path))]
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    lost = []
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            if not file.exists() or (anchor and anchor not in anchors_of(file.relative_to(ROOT))):
                lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_is_there(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    commands = [*codes_in(prose_of(page)), *"".join(block.code for block in blocks_of(page)).splitlines()]
    named = {match[1] for command in commands if (match := re.match(r"(?:\w+=\S+ )?make ([a-z-]+)", command))}
    assert sorted(name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)) == []


def test_every_fixture_of_the_tests_is_described() -> None:
    tree = ast.parse((ROOT / "tests/conftest.py").read_text("utf-8"))
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    rows = table_with("tests/README.md", "fixture", "scope")
    assert {codes_in(name)[0] for name, *_ in rows} == defined


def test_every_folder_of_tests_is_described() -> None:
    folders = {
        f"tests/{path.name}"
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and any(path.glob("*.py"))
    }
    rows = table_with("tests/README.md", "folder", "it tests")
    assert {code for folder, _ in rows for code in codes_in(folder)} == folders


def test_the_faults_are_methods_that_are_there() -> None:
    rows = table_with("tests/README.md", "to have", "use")
    sources = "".join(path.read_text("utf-8") for path in Path(ROOT / "tests").rglob("*.py"))
    named = {name for _, use in rows for code in codes_in(use) for name in re.findall(r"(\w+)\(", code)}
    assert {"cut", "retarget", "failover_pair"} <= named
    assert sorted(name for name in named if f"def {name}(" not in sources and name not in sources) == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = [term for term, *_ in table_with("docs/glossary.md", "term", "meaning")]
    assert len(terms) > 30
    assert terms == sorted(set(terms), key=str.lower)


def test_every_term_has_one_line_and_a_page() -> None:
    for term, meaning, page in table_with("docs/glossary.md", "term", "meaning"):
        assert meaning[0].islower(), term
        assert not meaning.endswith("."), term
        assert len(meaning) < 110, term
        assert re.fullmatch(r"\[[^]]+\]\([\w/.-]+\.md(?:#[\w-]+)?\)", page), term
