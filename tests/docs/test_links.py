"""Links inside of the documentation lead somewhere."""

from __future__ import annotations

import tomllib

import pytest

from tests.docs.markdown import HOME, ROOT, anchors_of, links_of, pages, raw_links_of


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_leads_somewhere(page: str) -> None:
    lost = []
    for target in links_of(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors_of(file.relative_to(ROOT))):
            lost.append(target)
    assert lost == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), ["README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        for target in links_of(page):
            path = target.partition("#")[0]
            if path.endswith(".md") and "://" not in path:
                found = str(((ROOT / page).parent / path).resolve().relative_to(ROOT))
                if found not in seen and (ROOT / found).is_file():
                    ahead.append(found)
    assert {str(page) for page in pages()} - seen == set()


def test_the_readme_has_whole_addresses() -> None:
    # The package index shows it, too, and knows no other file.
    assert [target for target in raw_links_of("README.md") if "://" not in target] == []


def test_the_project_links_to_files_that_are_there() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    files = [url.removeprefix(HOME) for url in urls.values() if url.startswith(HOME)]
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
