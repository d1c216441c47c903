"""The site in a real browser: search by keyboard, two widths, two palettes, and no word to the outside."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from plainsql.review.site.page_paths import table_path
from tests.chromium import Chromium, chromium
from tests.review.conftest import TABLE

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = "(each => each.scrollWidth > each.clientWidth)(document.querySelector('{}'))"
RESULTS = "Array.from(document.querySelectorAll('#results .name'), (each) => each.textContent)"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser() -> Generator[Chromium]:
    """A Chromium of this module."""
    with chromium() as started:
        yield started


def test_the_search_box_finds_and_opens_by_keyboard(browser: Chromium, site: Path) -> None:
    browser.open((site / "matrix.html").as_uri())
    browser.type("/leads re")
    assert browser.evaluate(RESULTS)[0] == "leads.rename"
    assert browser.evaluate("document.getElementById('search').getAttribute('aria-expanded')") == "true"
    browser.press("Escape")
    assert browser.evaluate("document.getElementById('results').hidden") is True
    browser.evaluate("document.getElementById('search').value = ''")
    browser.type("leads")
    found = browser.evaluate(RESULTS)
    assert {"leads.get", "leads.rename", "leads.delete", "shop.leads", "leads_seen_at_idx"} <= set(found)
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    browser.press("ArrowUp")
    chosen = browser.evaluate("document.querySelector('#results [aria-selected] .name').textContent")
    assert chosen == found[1]
    browser.follow("Enter")
    assert browser.evaluate("document.title").startswith(chosen)


def test_tables_and_the_navigation_are_not_cut_without_a_sign(browser: Chromium, site: Path) -> None:
    browser.open((site / table_path("shop.leads")).as_uri())
    browser.resize(1280)
    assert browser.evaluate(CUT.format("#columns .scroll")) is False
    browser.resize(400)
    assert browser.evaluate(CUT.format(".top nav")) is False
    assert browser.evaluate(CUT.format("#columns .scroll")) is True
    style = "getComputedStyle(document.querySelector('#columns .scroll')).{}"
    # The covers scroll with the content, the shadows do not.
    assert browser.evaluate(style.format("backgroundAttachment")).startswith("local, local, scroll, scroll")
    assert browser.evaluate(style.format("backgroundImage")).count("linear-gradient") == 4


def test_pages_fit_both_widths_log_nothing_and_request_nothing(browser: Chromium, site: Path) -> None:
    browser.errors.clear()
    browser.requests.clear()
    pages = sorted(site.rglob("*.html"))
    for width in (400, 1600):
        browser.resize(width)
        for page in pages:
            browser.open(page.as_uri())
            assert browser.evaluate(OVERFLOW) == 0, (page, width)
            assert browser.evaluate("document.querySelector('h1').getBoundingClientRect().width") > 100
            # The policy and the escaping: nothing of a name or a comment has run.
            assert browser.evaluate("window.hit") is None, page
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(site.as_uri())] == []


def test_a_table_named_as_a_script_has_a_page_and_is_found(browser: Chromium, site: Path) -> None:
    browser.open((site / "index.html").as_uri())
    browser.type("/<script>")
    assert browser.evaluate(RESULTS)[0] == f"shop.{TABLE}"
    browser.follow("Enter")
    assert browser.evaluate("location.pathname").endswith(table_path(f"shop.{TABLE}"))
    assert browser.evaluate("document.querySelector('h1').textContent") == TABLE
    assert browser.evaluate("document.scripts.length") == 3


def test_both_palettes_follow_the_system_and_the_button(browser: Chromium, site: Path) -> None:
    browser.open((site / "index.html").as_uri())
    browser.prefer("light")
    light = browser.evaluate(BACKGROUND)
    browser.prefer("dark")
    dark = browser.evaluate(BACKGROUND)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(BACKGROUND) == light
    browser.open((site / "queries/leads.get.html").as_uri())
    assert browser.evaluate(BACKGROUND) == light  # the choice holds on the next page
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate("document.documentElement.dataset.theme") == "dark"
    browser.evaluate("document.getElementById('theme').click()")
