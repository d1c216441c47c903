"""The pages of findings and hazards: the sections of the documentation, as the package has them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Final

from plainsql.analysis.distribution.findings import DISTRIBUTION_FINDINGS
from plainsql.check.problem_rules import ERRORS, RULES
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.errors import SettingsError
from plainsql.migrate.trace.hazards import HAZARDS

__all__ = ["finding_page", "page_url"]

_SITE: Final = "https://github.com/plainsql/plainsql/blob/main/docs"
_LINK: Final = re.compile(r"\]\((?P<file>[\w./-]*\.md)?(?P<anchor>#[\w-]+)?\)")
_ERRORS_ANCHOR: Final = "errors-that-cannot-be-allowed"


def page_url(name: str) -> str:
    """Return the address of the section of a finding, a hazard or an error in the documentation."""
    return f"{_SITE}/{_file(name)}#{_ERRORS_ANCHOR if name in ERRORS else name}"


def finding_page(name: str) -> str:
    """Return the page of a finding, a hazard or an error as Markdown, its links as whole addresses.

    Raises ``SettingsError``, with the nearest names, if there is none of the name.
    """
    if name not in RULES:
        close = difflib.get_close_matches(name, RULES, 1, 0.85) or difflib.get_close_matches(name, RULES)
        raise SettingsError(
            f"there is no finding {name!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(RULES)}",
        )
    rule = RULES[name]
    if name in ERRORS:
        return f"# {name}\n\n{rule.meaning}\n{rule.remedy}\n"
    return _section(_text(_file(name)), name, _file(name))


def _file(name: str) -> str:
    if name in RELEASE_FINDINGS:
        return "releases.md"
    if name in DISTRIBUTION_FINDINGS:
        return "distributed.md"
    return "safe-migrations.md" if name in HAZARDS else "findings.md"


def _section(page: str, name: str, file: str) -> str:
    """Return the section of a name, with its heading as the title."""
    begin = page.index(f"\n## {name}\n") + 1
    end = page.find("\n## ", begin)
    text = page[begin + 1 : len(page) if end < 0 else end].strip()
    return _LINK.sub(lambda link: f"]({_SITE}/{link['file'] or file}{link['anchor'] or ''})", text) + "\n"


def _text(file: str) -> str:
    package = Path(__file__).resolve().parents[1]
    # In the installed package, or at the root of a checkout: src/plainsql is two folders below it.
    folders = (package / "check" / "_pages", package.parents[1] / "docs")
    path = next(path for folder in folders if (path := folder / file).is_file())
    return path.read_text(encoding="utf-8")
