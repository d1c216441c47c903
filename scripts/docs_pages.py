"""The pages as the site has them: copied to one folder, with their links rewritten.

The pages live in docs/, at the root and in tests/, and their links are those of the code host. Zensical reads
one folder. There a link leads to the page of the site, or to the source file on the code host.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ELSEWHERE = {
    "README.md": "index.md",
    "docs/index.md": "contents.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "tests/README.md": "tests.md",
}
"""The pages whose path on the site is not their path below docs/."""

_FENCE = re.compile(r"^( *)```.*?^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(_FENCE.pattern + r"|<!--.*?-->|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
_ITEM = re.compile(r"^ *(?:[-*+]|\d+\.) ")
_IMAGES = {".png", ".svg"}


class BrokenLinkError(Exception):
    """A page links to a file that is not there."""


def pages(root: Path) -> dict[str, str]:
    """Return the pages: the path in the repository, and the path on the site."""
    found = {
        path.relative_to(root).as_posix(): path.relative_to(root / "docs").as_posix()
        for path in sorted((root / "docs").rglob("*.md"))
    }
    return found | {page: place for page, place in ELSEWHERE.items() if (root / page).is_file()}


def copy(root: Path, folder: Path) -> None:
    """Write the pages to ``folder``, with the images and the script that they need.

    Zensical checks the links between pages. Raises ``BrokenLinkError`` if a page links to another file that
    is not there.
    """
    known = pages(root)
    urls = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    home = f"{urls['Homepage']}/blob/main/"
    for page, place in known.items():
        text = (root / page).read_text("utf-8")
        links = _Links(page, known, home, root, folder)
        text = "".join(links.rewritten(part) if is_text else part for part, is_text in _parts(text, _CODE))
        text = "".join(indented(part) if is_text else part for part, is_text in _parts(text, _FENCE))
        if "```mermaid" in text:
            # Zensical's own script would load Mermaid from a CDN if this one had not been loaded before it.
            _copy_file(_mermaid(), folder / "assets" / "mermaid.js")
            above = "../" * len(PurePosixPath(place).with_suffix("").parts)
            text += f'\n<script src="{above}assets/mermaid.js"></script>\n'
        write(folder / place, text)


def write(file: Path, text: str) -> None:
    """Write a file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def indented(text: str) -> str:
    """Return the text with a blank line before each list, and four spaces for each level inside of one.

    The code host needs neither; Python-Markdown, which Zensical uses, does.
    """
    lines: list[str] = []
    in_list = False
    for line in text.split("\n"):
        is_item = _ITEM.match(line) is not None
        if is_item and not in_list and lines and lines[-1].strip():
            lines.append("")
        words = line.lstrip(" ")
        indent = len(line) - len(words)
        in_list = is_item or (in_list and (not words or indent > 0))
        # Two or three spaces are one level, as the item's own mark is that wide.
        levels = 1 if indent in {2, 3} else indent // 2
        lines.append(" " * (4 * levels) + words if in_list and words else line)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Links:
    """The links of one page."""

    page: str
    known: dict[str, str]
    home: str
    root: Path
    folder: Path

    def rewritten(self, text: str) -> str:
        return _TARGET.sub(lambda match: self._on_site(match[0]), text)

    def _on_site(self, target: str) -> str:
        """Return the target from the page's place on the site."""
        start, place = PurePosixPath(self.page).parent, PurePosixPath(self.known[self.page]).parent
        if target.startswith(self.home):
            # A page that is shown elsewhere as well, as the README is, has whole addresses.
            # `?raw=true` is how the package index gets an image.
            target, start = target.removeprefix(self.home).removesuffix("?raw=true"), PurePosixPath()
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        path, mark, anchor = target.partition("#")
        goal = PurePosixPath(os.path.normpath(start / path))
        if str(goal) in self.known:
            return os.path.relpath(self.known[str(goal)], place) + mark + anchor
        if ".." in goal.parts or not (self.root / goal).exists():
            raise BrokenLinkError(f"{self.page}: no such file: {target}")
        if goal.suffix in _IMAGES:
            _copy_file(self.root / goal, self.folder / "assets" / goal.name)
            return os.path.relpath(f"assets/{goal.name}", place)
        return self.home + str(goal) + mark + anchor


def _parts(text: str, code: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Yield the text in order, and whether each part is outside of code."""
    end = 0
    for match in code.finditer(text):
        yield text[end : match.start()], True
        yield match[0], False
        end = match.end()
    yield text[end:], True


def _copy_file(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _mermaid() -> Path:
    """Return the script that draws, which comes with the pinned mermaidx."""
    found = importlib.util.find_spec("mermaidx")
    if found is None or found.origin is None:
        raise SystemExit("docs: mermaidx is not installed: run `make docs`")
    script = Path(found.origin).parent / "assets" / "mermaid.js"
    if not script.is_file():
        raise SystemExit(f"docs: this mermaidx has no assets/{script.name}: pin one that has")
    return script
