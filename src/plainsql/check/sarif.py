"""Problems as a SARIF 2.1.0 log, for GitHub code scanning and other viewers."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from plainsql.check.finding_pages import page_url
from plainsql.check.problem_rules import ERRORS, RULES
from plainsql.check.problems import Fix, Problem
from plainsql.errors import printable

__all__ = ["sarif_log"]

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SITE: Final = "https://github.com/plainsql/plainsql"
_ROOT_ID: Final = "%SRCROOT%"


def sarif_log(problems: Sequence[Problem], root: Path, *, version: str) -> dict[str, Any]:
    """Return a log with one run: all rules, and a result for each problem.

    Paths are relative to ``root``, the root of the repository. ``version`` is plainsql's.
    """
    names = list(RULES)
    seen: Counter[str] = Counter()
    results = []
    for problem in problems:
        uri, is_inside = _uri(problem.path, root)
        identity = f"{uri}\0{problem.name}\0{problem.message}"
        seen[identity] += 1
        results.append(
            {
                "ruleId": problem.name,
                "ruleIndex": names.index(problem.name),
                "level": _level(problem.name),
                "message": {"text": _text(problem)},
                "locations": [_location(problem, uri, is_inside=is_inside)],
                # Without the line, so that the alert of a statement that moves stays the same one.
                "partialFingerprints": {"primaryLocationLineHash": _digest(identity, seen[identity])},
                **({"fixes": [_fix(problem.fix, uri, is_inside=is_inside)]} if problem.fix else {}),
            }
        )
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "plainsql",
                        "version": version,
                        "informationUri": _SITE,
                        "rules": [_rule(name) for name in names],
                    }
                },
                "originalUriBaseIds": {_ROOT_ID: {"description": {"text": "the root of the repository"}}},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    page = page_url(name)
    help_text = f"{rule.meaning}\n\n{rule.remedy}"
    return {
        "id": name,
        "name": "".join(part.capitalize() for part in name.split("-")),
        "shortDescription": {"text": rule.meaning},
        "fullDescription": {"text": f"{rule.meaning} {rule.remedy}"},
        "help": {"text": help_text, "markdown": f"{help_text}\n\n[Documentation]({page})"},
        "helpUri": page,
        "defaultConfiguration": {"level": _level(name)},
    }


def _level(name: str) -> str:
    return "error" if name in ERRORS else "warning"


def _location(problem: Problem, uri: str, *, is_inside: bool) -> dict[str, Any]:
    # Code scanning requires a line, also of a problem of a whole file.
    region: dict[str, Any] = {"startLine": problem.line or 1}
    if problem.column:
        region["startColumn"] = problem.column
    if problem.excerpt:
        region["snippet"] = {"text": printable(problem.excerpt)}
    artifact = {"uri": uri, "uriBaseId": _ROOT_ID} if is_inside else {"uri": uri}
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}


def _fix(fix: Fix, uri: str, *, is_inside: bool) -> dict[str, Any]:
    return {
        "description": {"text": printable(fix.title)},
        "artifactChanges": [
            {
                "artifactLocation": {"uri": uri, "uriBaseId": _ROOT_ID} if is_inside else {"uri": uri},
                "replacements": [
                    {
                        "deletedRegion": {
                            "startLine": edit.line,
                            "startColumn": edit.column,
                            "endLine": edit.end_line,
                            "endColumn": edit.end_column,
                        },
                        "insertedContent": {"text": edit.text},
                    }
                    for edit in fix.edits
                ],
            }
        ],
    }


def _text(problem: Problem) -> str:
    lines = [problem.message]
    lines += [f"DETAIL: {problem.detail}"] if problem.detail else []
    lines += [f"HINT: {problem.hint}"] if problem.hint else []
    return printable("\n".join(lines))


def _uri(path: str, root: Path) -> tuple[str, bool]:
    """Return the URI of a file, and whether it is relative to the root of the repository."""
    whole = Path(os.path.normpath(Path.cwd() / path))
    if whole.is_relative_to(root):
        return quote(whole.relative_to(root).as_posix()), True
    return whole.as_uri(), False


def _digest(identity: str, number: int) -> str:
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}:{number}"
