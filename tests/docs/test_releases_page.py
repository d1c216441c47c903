"""Every way to break a release has its section; its first migration breaks it so, the second does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from plainsql.check.release.release_check import ReleaseBreak, check_release
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.settings import Project
from tests.docs.markdown import ROOT, Block, blocks_of, headings_of

PAGE = "docs/releases.md"
NO_MIGRATION = {"release-unchecked"}


def sections() -> dict[str, list[Block]]:
    """The blocks of SQL below each heading."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    found: dict[str, list[Block]] = {}
    for block in blocks_of(PAGE):
        above = [line.lstrip("# ") for line in lines[: block.line - 2] if line.startswith("#")]
        if block.language == "sql":
            found.setdefault(above[-1], []).append(block)
    return found


def breaks(folder: Path, url: str, which: int) -> list[ReleaseBreak]:
    """Return the breaks of the page's release, after the migrations of all sections."""
    tables, *queries = sections()["Tables of the examples"]
    files = {"migrations/0001_tables.sql": tables.code, **{each.file: each.code for each in queries}}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder))
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "The release"), ("tag", "v1.4")):
        subprocess.run([*git, *words], check=True)
    for number, name in enumerate(sorted(set(RELEASE_FINDINGS) - NO_MIGRATION), 2):
        file = folder / f"migrations/{number:04}_{name.replace('-', '_')}.sql"
        file.write_text(sections()[name][which].code, "utf-8")
    return check_release(Project(root=folder), "v1.4", url).breaks


def test_every_way_to_break_a_release_has_a_section() -> None:
    assert [each for each in headings_of(PAGE) if each.startswith("release-")] == sorted(RELEASE_FINDINGS)


def test_the_first_migration_breaks_the_release_and_the_second_does_not(
    tmp_path: Path, database_url: str
) -> None:
    wrong = breaks(tmp_path / "wrong", database_url, 0)
    assert {(each.name, each.migration[5:].replace("_", "-")) for each in wrong} == {
        (name, name) for name in set(RELEASE_FINDINGS) - NO_MIGRATION
    }
    assert breaks(tmp_path / "right", database_url, 1) == []
