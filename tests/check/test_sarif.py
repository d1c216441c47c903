"""SARIF 2.1.0: the log of a check is valid, and what code scanning needs is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sarif_kit.validate import validation_errors

import plainsql
from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.check.problem_rules import _REMEDIES, ERRORS, RULES
from plainsql.check.problems import FINDINGS, Problem
from plainsql.check.sarif import sarif_log
from tests.cli.conftest import GET, NOTES, Command, Write, command, configured, write
from tests.docs.markdown import codes_in, headings_of, table_with

__all__ = ["command", "configured", "write"]

ALL = "-- All.\n-- returns: many Note\nselect n.id, n.text, n.stars\nfrom notes as n\n"
REFUSED = GET.replace("n.id,", "n.idd,")


def results(problems: list[Problem], root: Path | None = None) -> list[dict[str, Any]]:
    log = json.loads(json.dumps(sarif_log(problems, root or Path.cwd(), version="1.2.3")))
    assert validation_errors(log) == []
    found: list[dict[str, Any]] = log["runs"][0]["results"]
    return found


def prints(problems: list[Problem]) -> list[str]:
    return [each["partialFingerprints"]["primaryLocationLineHash"] for each in results(problems)]


def test_a_check_prints_a_valid_log_from_the_root_of_the_repository(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    files = NOTES | {"sql/notes/all.sql": ALL, "sql/notes/get.sql": REFUSED, "sql/notes/bad.sql": "select 1"}
    folder = write({f"my backend/{name}": text for name, text in files.items()})
    (folder / ".git").mkdir()
    done = command("-C", "my backend", "check", "--format", "sarif")
    log = json.loads(done.out)
    assert (done.code, validation_errors(log)) == (1, [])
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["version"] == plainsql.__version__
    assert [(each["ruleId"], each["level"], rules[each["ruleIndex"]]["id"]) for each in run["results"]] == [
        ("sql-file", "error", "sql-file"),
        ("refused", "error", "refused"),
        ("unbounded", "warning", "unbounded"),
    ]
    assert run["results"][1]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "my%20backend/sql/notes/get.sql", "uriBaseId": "%SRCROOT%"},
                "region": {
                    "startLine": 3,
                    "startColumn": 8,
                    "snippet": {"text": "select n.idd, n.text, n.stars"},
                },
            }
        }
    ]
    assert run["results"][1]["message"]["text"] == (
        'column n.idd does not exist\nHINT: Perhaps you meant to reference the column "n.id".'
    )
    assert str(folder) not in done.out


def test_a_clean_check_prints_a_log_without_results(write: Write, command: Command) -> None:
    write(NOTES)
    done = command("check", "--sql-only", "--format", "sarif")
    assert (done.code, done.err) == (0, "")
    log = json.loads(done.out)
    assert (validation_errors(log), log["runs"][0]["results"]) == ([], [])


def test_the_schema_refuses_what_is_no_log() -> None:
    log = sarif_log([Problem("outdated", "q.py", 0, 0, "old")], Path.cwd(), version="1.2.3")
    assert validation_errors(log) == []
    del log["runs"][0]["results"][0]["message"]
    assert validation_errors(log) != []


def test_a_problem_of_a_whole_file_is_on_its_first_line() -> None:
    (result,) = results([Problem("outdated", "q.py", 0, 0, "old", None, "run `plainsql generate`")])
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert result["message"]["text"] == "old\nHINT: run `plainsql generate`"


def test_a_file_outside_of_the_repository_has_a_whole_uri(tmp_path: Path) -> None:
    (result,) = results([Problem("unbounded", str(tmp_path / "a b.sql"), 1, 1, "many")])
    location = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": (tmp_path / "a b.sql").as_uri()}


def test_a_problem_that_moves_keeps_its_fingerprint() -> None:
    before = [Problem("unbounded", "a.sql", 3, 0, "many"), Problem("star", "a.sql", 4, 2, "columns")]
    after = [Problem("unbounded", "a.sql", 9, 0, "many"), Problem("star", "a.sql", 7, 5, "columns")]
    assert prints(before) == prints(after)
    assert len(set(prints(before))) == 2


def test_two_problems_of_the_same_words_have_two_fingerprints() -> None:
    one = Problem("star", "a.sql", 3, 1, "columns")
    two = Problem("star", "a.sql", 5, 1, "columns")
    elsewhere = Problem("star", "b.sql", 3, 1, "columns")
    first, second, third = prints([one, two, elsewhere])
    assert len({first, second, third}) == 3
    assert prints([two]) == [first]


def test_every_problem_has_a_rule_with_a_help_text() -> None:
    assert _REMEDIES.keys() == FINDINGS.keys() | SCHEMA_FINDINGS.keys() | SCHEMA_LINTS.keys()
    rows = table_with("docs/findings.md", "name", "meaning")
    assert {codes_in(name)[0] for name, _ in rows} == ERRORS.keys()
    rules = sarif_log([], Path.cwd(), version="1.2.3")["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for rule in rules:
        assert rule["help"]["text"].endswith(".")
        page, _, anchor = rule["helpUri"].rpartition("/")[2].partition("#")
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings_of(f"docs/{page}")}
