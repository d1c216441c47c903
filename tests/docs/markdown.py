"""The parts of Markdown pages that the tests read: code blocks, tables, links, headings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z", re.DOTALL)
_EXITS = re.compile(r"<!-- exits with (?P<code>\d+) -->\s*\Z")
_FROM = re.compile(r"<!-- from (?P<path>\S+) -->\s*\Z")
_FILE = re.compile(r"`(?P<path>[\w./-]+\.(?:py|sql|toml|yaml|yml))`[^`\n]{0,60}:\s*\Z")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    """The page's path, relative to the root of the repository."""
    line: int
    """1-based: of the first line of the code."""
    language: str
    code: str
    before: str
    """The text between the previous block and this one."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def not_run(self) -> str:
        """The reason why it is not run; empty if it is run."""
        found = _NOT_RUN.search(self.before)
        return found["reason"] if found else ""

    @property
    def exits(self) -> int:
        """The exit code that its commands end with."""
        found = _EXITS.search(self.before)
        return int(found["code"]) if found else 0

    @property
    def origin(self) -> str:
        """The file of the repository that its lines are taken from."""
        found = _FROM.search(self.before)
        return found["path"] if found else ""

    @property
    def file(self) -> str:
        """The file whose content this block is: the last one named before it, followed by a colon."""
        found = _FILE.search(_COMMENT.sub("", self.before))
        return found["path"] if found else ""

    @property
    def is_output(self) -> bool:
        """Return whether it is the output of the block directly before it."""
        return not self.language and not self.before.strip()


_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HOME = f"{_PROJECT['urls']['Homepage']}/blob/main/"
"""Begins the address of a file of this repository."""


def pages() -> list[Path]:
    """The pages that users read, relative to the root."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT) for path in found]


def text_of(page: str | Path) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks_of(page: str | Path) -> list[Block]:
    text, end = text_of(page), 0
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(
            line[indent:] if line.strip() else line for line in match["code"].splitlines(keepends=True)
        )
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(str(page), line, match["language"], code, text[end : match.start()]))
        end = match.end()
    return found


def prose_of(page: str | Path) -> str:
    """The text without its code blocks and comments."""
    return _COMMENT.sub("", _FENCE.sub("", text_of(page)))


def raw_links_of(page: str | Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(prose_of(page))]


def links_of(page: str | Path) -> list[str]:
    """The targets of a page's links; those to files of this repository are relative to the page."""
    targets = raw_links_of(page)
    above = "../" * len(Path(page).parent.parts)
    return [above + target.removeprefix(HOME) if target.startswith(HOME) else target for target in targets]


def headings_of(page: str | Path) -> list[str]:
    return [match["text"] for match in _HEADING.finditer(prose_of(page))]


def anchors_of(page: str | Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    anchors: dict[str, int] = {}
    found = set()
    for heading in headings_of(page):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).strip()
        anchor = plain.replace(" ", "-")
        count = anchors.get(anchor, 0)
        anchors[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def tables_of(page: str | Path) -> Iterator[list[list[str]]]:
    """Every table of a page: its rows of cells, the heading first and the dashes left out."""
    rows: list[list[str]] = []
    for line in [*prose_of(page).splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                rows.append(cells)
        elif rows:
            yield rows
            rows = []


def table_with(page: str | Path, *heading: str) -> list[list[str]]:
    """The rows of the table of a page that begins with these headings."""
    for rows in tables_of(page):
        if tuple(rows[0][: len(heading)]) == heading:
            return rows[1:]
    raise AssertionError(f"{page} has no table that begins with {', '.join(heading)}")


def codes_in(cell: str) -> list[str]:
    """Return the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)
