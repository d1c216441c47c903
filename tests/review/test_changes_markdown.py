"""The Markdown of a pull request's comment: foreign texts have no effect, and the length has a limit."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from plainsql.errors import printable
from plainsql.review.changes.change_sheets import ChangedFile, Changes, Difference, QueryChange
from plainsql.review.changes.changes_markdown import MAX_BYTES, changes_markdown, code_span

HOSTILE = "``a` | b`</code><script>alert(1)</script> @octocat #1 [x](http://example.org) \n# title"
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def tokens(text: str) -> list[Token]:
    found = PARSER.parse(text)
    return [each for token in found for each in (token, *(token.children or ()))]


@given(st.text(st.sampled_from("`|<>@#\\ a\n_*&;") | st.characters(exclude_categories=["Cs"]), max_size=40))
@example("a`b")
@example("``")
def test_a_foreign_text_is_one_code_span(text: str) -> None:
    shown = " ".join(printable(text).split())
    found = [each for each in tokens(f"- **{code_span(text)}** and") if each.type == "code_inline"]
    assert [each.content for each in found] == ([shown] if shown else [])


def test_names_of_objects_are_neither_markup_nor_mentions() -> None:
    kinds = ("column-nullable", "column-type", "renamed", "finding-new")
    changes = Changes(
        HOSTILE,
        "0123456789abcdef",
        "2026-01-31",
        HOSTILE,
        queries=tuple(
            QueryChange(
                HOSTILE,
                HOSTILE,
                "changed",
                (Difference(kind, HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
                ("-```", "+</details>@octocat", "+````"),
            )
            for kind in kinds
        ),
        migrations=(ChangedFile(HOSTILE, "changed", ("+~~~",)),),
        findings_new=(HOSTILE,),
        notes=(HOSTILE,),
    )
    text = changes_markdown(changes)
    assert text == changes_markdown(changes)
    found = tokens(text)
    plain = " ".join(each.content for each in found if each.type == "text")
    assert "octocat" not in plain
    assert "#" not in plain
    html = [each.content for each in found if each.type in ("html_block", "html_inline")]
    assert not [
        each for each in html if "script" in each.replace("&lt;script&gt;", "").replace("&lt;/script&gt;", "")
    ]
    assert sum(each.type == "fence" for each in found) == len(kinds) + 1
    assert sum(each.startswith("<details>") for each in html) == len(kinds) + 1
    assert not [each for each in found if each.type in ("link_open", "image", "table_open", "s_open")]


def test_a_comment_that_is_full_says_how_much_is_left_out() -> None:
    queries = tuple(
        QueryChange(f"shop.q{n:04}", f"sql/shop/q{n:04}.sql", "gone", (Difference("gone"),))
        for n in range(3000)
    )
    changes = Changes("v1", "0" * 40, "2026-01-31", "", queries=queries)
    text = changes_markdown(changes)
    shown = text.count(" is gone")
    assert MAX_BYTES - 200 < len(text.encode()) <= MAX_BYTES
    assert text.endswith(f"_Left out, as the comment is full: {3000 - shown} entries._\n")
    assert text.count("shop.q0000") == 1
    for size in (500, 501, 560, 1000):
        assert len(changes_markdown(changes, max_bytes=size).encode()) <= size
    nothing = changes_markdown(Changes("v1", "0" * 40, "2026-01-31", "", unchanged=7))
    assert "Nothing changed. 7 queries compared." in nothing
