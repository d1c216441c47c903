"""Build the documentation as a site, in build/docs/site. `make docs` runs it.

python scripts/docs_site.py            builds it; a broken link or anchor fails
python scripts/docs_site.py serve      serves it on port 8000 and follows changes of the pages

The pages (scripts/docs_pages.py) and the reference of the public names (scripts/docs_reference.py) are
written to build/docs/pages, and Zensical builds the site of them as zensical.toml says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts import docs_pages, docs_reference

ROOT = Path(__file__).parents[1]
CONFIGURATION = "zensical.toml"
CHANGE_POLL_S = 0.5

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="?(?P<source>https?:[^" >]+)"""
    r"""|<link\b(?![^>]*rel="?canonical)[^>]*\bhref="?(?P<link>https?:[^" >]+)"""
)

_STYLE = """\
/* Code in a table stays in one piece; on a narrow screen the table scrolls. */
.md-typeset table:not([class]) code { white-space: nowrap; }
/* Long names of the reference wrap. */
.md-typeset .doc-heading { overflow-wrap: anywhere; }
"""


def stage(root: Path, folder: Path) -> None:
    """Write the pages and the reference to ``folder``, in place of its content.

    Raises ``docs_pages.BrokenLinkError`` if a page links to a file that is not there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    docs_pages.write(folder / "assets" / "plainsql.css", _STYLE)
    docs_pages.copy(root, folder)
    docs_reference.copy_source(root, folder.parent / "source")
    for place, text in docs_reference.pages(root).items():
        docs_pages.write(folder / place, text)


def navigation(root: Path) -> list[str]:
    """Return the pages that the navigation has, in its order."""
    return list(_leaves(_project(root)["nav"]))


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return the addresses on other hosts that a page of the site loads."""
    texts = (page.read_text("utf-8") for page in site.rglob("*.html"))
    return sorted({match["source"] or match["link"] for text in texts for match in _LOADED.finditer(text)})


def build(root: Path = ROOT) -> str:
    """Build the site of the checkout at ``root``; return what is wrong with it, or an empty string."""
    project = _project(root)
    folder, site = root / project["docs_dir"], root / project["site_dir"]
    try:
        stage(root, folder)
    except docs_pages.BrokenLinkError as error:
        return str(error)
    staged = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    if strays := sorted(staged ^ set(navigation(root))):
        return f"`nav` of {CONFIGURATION} and the pages differ in: {', '.join(strays)}"
    shutil.rmtree(site, ignore_errors=True)
    if found := _zensical(root, "build", "--clean", "--strict"):
        return found
    if missing := docs_reference.missing(root, site / "objects.inv"):
        return f"the reference lacks {', '.join(missing)}"
    if addresses := loaded_from_elsewhere(site):
        return f"pages load from other hosts: {', '.join(addresses)}"
    return ""


def serve(root: Path = ROOT) -> str:
    """Serve the site, and copy the pages again whenever one of them changes."""
    folder = root / _project(root)["docs_dir"]
    ended = threading.Event()

    def times() -> dict[str, int]:
        return {page: (root / page).stat().st_mtime_ns for page in docs_pages.pages(root)}

    def follow() -> None:
        before = times()
        while not ended.wait(CHANGE_POLL_S):
            if (now := times()) != before:
                before = now
                try:
                    stage(root, folder)
                except docs_pages.BrokenLinkError as error:
                    print(f"docs: {error}", file=sys.stderr)

    stage(root, folder)
    threading.Thread(target=follow, daemon=True).start()
    try:
        return _zensical(root, "serve")
    except KeyboardInterrupt:
        return ""
    finally:
        ended.set()


def _zensical(root: Path, *words: str) -> str:
    """Run Zensical, which prints what it finds; return the last line of its failure, or an empty string."""
    # mkdocstrings calls `ruff`, which is in the folder of this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "zensical", *words],
        cwd=root,
        env={**os.environ, "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    # It reports what it finds and then raises: the traceback of a strict build says nothing.
    report, _, trace = done.stderr.partition("Traceback (most recent call last):")
    print(report, end="", file=sys.stderr)
    if done.returncode == 0:
        return ""
    last = (trace.strip().splitlines() or ["Zensical failed"])[-1]
    if "--strict" not in last:
        print(trace, file=sys.stderr)
    return last


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / CONFIGURATION).read_text("utf-8"))["project"]
    return project


def _leaves(nav: list[Any] | dict[str, Any] | str) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _leaves(part)


if __name__ == "__main__":
    wrong = serve() if sys.argv[1:] == ["serve"] else build()
    sys.exit(f"docs: {wrong}" if wrong else 0)
