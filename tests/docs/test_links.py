"""Links inside of the documentation lead somewhere."""

from __future__ import annotations

import pytest

from tests.docs.markdown import ROOT, anchors_of, links_of, pages


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
