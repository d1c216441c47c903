"""The code of the pages runs as printed, and prints the output that they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, blocks_of, pages
from tests.docs.reader import Reader

LANGUAGES = {"", "mermaid", "python", "sh", "sql", "text", "toml", "yaml"}
# From nothing: the embedded server of the folder is the only database.
WITHOUT_DATABASE = {"docs/quickstart.md"}
# Their subjects have tests of their own next to the tests of the code.
ELSEWHERE = {
    "docs/benchmarks.md",
    "docs/fast-path.md",
    "docs/limits.md",
    "docs/sessions.md",
    "docs/values.md",
}

PAGES = [str(page) for page in pages() if str(page) not in ELSEWHERE]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language for b in blocks_of(page))])
def test_a_page_does_what_it_says(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = None if page in WITHOUT_DATABASE else request.getfixturevalue("realty_url")
    with Reader(tmp_path, url) as reader:
        for block in blocks_of(page):
            reader.follow(block)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES)
def test_pieces_of_a_file_stand_in_it(page: str) -> None:
    for block in blocks_of(page):
        if block.origin:
            lines = [*map(str.strip, (ROOT / block.origin).read_text("utf-8").splitlines())]
            at = None  # the index of the next line; after an ellipsis, any line below the last quoted one
            below = 0
            for line in map(str.strip, block.code.splitlines()):
                if line == "…":
                    at = None
                    continue
                assert line in lines[below:], f"{block.place}: {block.origin} has no {line!r} there"
                found = lines.index(line, below)
                assert at in (None, found), f"{block.place}: an ellipsis is missing before {line!r}"
                below = at = found + 1


def test_few_blocks_are_not_run() -> None:
    left_out = [block for page in PAGES for block in blocks_of(page) if block.not_run]
    assert len(left_out) <= 24, [block.place for block in left_out]
