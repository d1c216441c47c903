"""The site's pages as files: links, escaping, the same bytes again."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from plainsql.review.model.sheets import Review
from plainsql.review.site.page_paths import migration_path, query_path, table_path
from plainsql.review.site.page_renderer import site_files
from plainsql.review.site.sql_markup import marked_lines
from tests.review.conftest import TABLE


class Page(HTMLParser):
    """The links, anchors and tags of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.links += [value for name in ("href", "src") if (value := found.get(name))]
        if anchor := found.get("id"):
            assert anchor not in self.anchors, anchor
            self.anchors.add(anchor)


def test_every_link_leads_to_a_page_and_an_anchor_of_it(site: Path, shop_review: Review) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html")}
    assert (
        len(pages) == 7 + bool(shop_review.changes) + 8 + 3 + 5
    )  # of the site, of queries, tables, migrations
    reached = {site / "index.html"}
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            assert parts.scheme + parts.netloc == "", link
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.is_file(), (file, link)
            reached.add(target)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, (file, link)
    assert set(pages) <= reached
    search = (site / "assets/search.js").read_text("utf-8")
    for path in re.findall(r'"((?:queries|tables|migrations)/[^"#]+\.html)', search):
        assert (site / path).is_file(), path


def test_no_name_or_comment_becomes_markup(site: Path) -> None:
    for file in site.rglob("*.html"):
        page = Page(file)
        tags = [tag for tag, _ in page.tags]
        assert tags.count("script") == 3, file  # all three are files of the site
        assert not {"img", "u", "i", "iframe", "style"} & set(tags), file
        # No page has a style or a handler of its own, which the policy would refuse.
        assert not [
            name for _, found in page.tags for name in found if name.startswith("on") or name == "style"
        ]
        policies = [found["content"] for _, found in page.tags if found.get("http-equiv")]
        assert len(policies) == 1
        assert "default-src 'none'" in str(policies[0])
    assert "<" not in (site / "assets/search.js").read_text("utf-8")


def test_each_migration_says_if_its_rollback_is_proved(site: Path, shop_review: Review) -> None:
    found = {each.name: (each.proof.kind, each.proof.reason) for each in shop_review.migrations}
    assert found == {
        "0001_shop": ("proved", ""),
        "0002_seen_at": ("none", ""),
        "side/0001_numbers": ("keeps", "the <b>schema</b> is shared"),
        "side/0002_mood": ("wrong", ""),
        "side/0003_last": ("unknown", "a migration before it cannot be applied again"),
    }
    files = dict(site_files(shop_review))
    listed = re.findall(r'#rollback"><span class="act \w+">([^<]+)', files["migrations/index.html"].decode())
    assert listed == ["proved", "none", "keeps something", "not proved", "not known"]
    said = {
        "0001_shop": ("rollback proved", "up, down and up again leave the same schema"),
        "0002_seen_at": ("no rollback",),
        "side/0001_numbers": ("on purpose: the &lt;b&gt;schema&lt;/b&gt; is shared",),
        "side/0002_mood": (
            "rollback not proved",
            "> after the rollback, enum side.mood: expected none, got it<",
            '"place">migrations/side/0002_mood.rollback.sql<',
            "cannot be applied again after its rollback: type &#34;mood&#34; already exists",
            '"place">migrations/side/0002_mood.sql<',
        ),
        "side/0003_last": ("rollback not known", "a migration before it cannot be applied again"),
    }
    for name, texts in said.items():
        page = (site / migration_path(name)).read_text("utf-8")
        assert [text for text in texts if text not in page] == [], name


def test_the_same_review_gives_the_same_bytes(shop_review: Review) -> None:
    assert dict(site_files(shop_review)) == dict(site_files(shop_review))


def test_paths_of_pages_are_apart_and_safe_on_every_system() -> None:
    paths = [
        table_path(name) for name in ("a.B", "a.b", "a.../x", TABLE, "index", "a" * 150, "a" * 149 + "b")
    ]
    assert len({path.lower() for path in paths}) == len(paths)
    assert all(re.fullmatch(r"tables/[a-z0-9_.~-]+\.html", path) for path in paths)
    assert query_path("realty.leads.get") == "queries/realty.leads.get.html"
    assert migration_path("realty/0001_a") == "migrations/realty.0001_a.html"


def test_marked_sql_is_the_text_with_its_parts_marked() -> None:
    text = "select l.id -- <b>\nfrom shop.leads as l\nwhere l.a = :a --?\n  and l.b = '<i>\nx'"
    lines = marked_lines(
        text, tables={"shop.leads"}, link=lambda name: f"t/{name}", parameters={"a": "#p-a"}, optional={3}
    )
    plain = "\n".join(re.sub(r"<[^>]+>", "", str(line.html)) for line in lines)
    assert plain.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'") == text
    assert '<a class="tb" href="t/shop.leads">shop.leads</a>' in lines[1].html
    assert '<a class="pa" href="#p-a">:a</a>' in lines[2].html
    assert [line.is_optional for line in lines] == [False, False, True, False, False]
    assert str(lines[4].html) == '<span class="st">x&#39;</span>'
    # A text that is not SQL is shown as it is.
    assert str(marked_lines("\\connect <x>")[0].html) == "\\connect &lt;x&gt;"
