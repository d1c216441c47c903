"""The changes since a git ref: one repository with a ladder of changes, and refs that cannot be compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from plainsql.check.git_repository import Repository
from plainsql.check.project_at_commit import project_at_commit
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.cli.review_changes import print_changes
from plainsql.errors import SettingsError
from plainsql.review.changes.change_sheets import Changes, QueryChange
from plainsql.review.changes.changes_markdown import changes_markdown
from plainsql.review.changes.changes_since import changes_since
from plainsql.review.changes.query_differences import changed_queries
from plainsql.review.changes.query_facts import QueryFacts, query_facts
from plainsql.settings import Project

GET = (
    "-- A lead.\n-- returns: optional Lead\nselect l.id, l.name, l.note\nfrom leads as l\nwhere l.id = :id\n"
)
COUNT = "-- The leads.\n-- returns: value\nselect count(*)\nfrom leads as l\n"
SCORE = "-- A score.\n-- returns: optional value\nselect l.score\nfrom leads as l\nwhere l.id = :id\n"
RENAME = "-- Rename.\n-- returns: count\nupdate leads as l\nset name = :name\nwhere l.id = :id\n"
RECENT = (
    "-- Recent.\n-- returns: many Lead\n-- cache: 5m\n"
    "select l.id, l.name, l.note\nfrom leads as l\norder by l.id\nlimit :limit\n"
)

PLAN = (
    "# Written by plainsql plans: the plans of sql/leads/get.sql\n\n"
    "every variant\n  cost ~{}, rows ~1\n  {}\n"
)
WORSE = (
    "its committed plan is worse: scans public.leads; no longer uses leads_pkey on public.leads; "
    "costs about 333 times as much"
)
BEFORE = {
    "pyproject.toml": '[tool.plainsql]\nsql = "queries_of_before"\noutput = "made"\n',
    "migrations/0001_leads.sql": (
        "create table leads (\n  id integer primary key,\n  name text not null,\n  note text,\n"
        "  score integer not null\n);\ncreate table audit (id integer primary key);\n"
    ),
    "migrations/0001_leads.rollback.sql": "drop table audit;\ndrop table leads;\n",
    "queries_of_before/leads/get.sql": GET,
    "queries_of_before/leads/count.sql": COUNT,
    "queries_of_before/leads/score.sql": SCORE,
    "queries_of_before/leads/rename.sql": RENAME,
    "queries_of_before/leads/recent.sql": RECENT,
    "queries_of_before/leads/gone.sql": GET.replace("A lead", "Gone").replace("= :id", "= 1"),
    "queries_of_before/leads/find.sql": GET.replace("l.id = :id", "l.name = :name limit 1"),
    "queries_of_before/leads/same.sql": COUNT.replace("count(*)", "count(*) + 1"),
    "queries_of_before/leads/failing.sql": COUNT.replace("leads as", "nothing as"),
    "plans/leads/get.plan": PLAN.format(3, "index scan on public.leads using leads_pkey"),
    # An attribute that git archive obeys: the query has to be read all the same.
    ".gitattributes": "queries_of_before/** export-ignore\n",
}
NOW = {
    "pyproject.toml": '[tool.plainsql]\noutput = "made"\n',
    "migrations/0002_names.sql": (
        "alter table leads alter column name drop not null;\n"
        "alter table leads alter column score type bigint;\n"
    ),
    "migrations/0002_names.rollback.sql": "select 1;\n",
    "sql/leads/get.sql": GET,
    "sql/leads/count.sql": COUNT.replace("The leads", "The number of leads"),
    "sql/leads/score.sql": SCORE,
    "sql/leads/rename.sql": (
        "-- Rename.\n-- returns: count\nwith noted as (\n  insert into audit (id)\n  values (:audit_id)\n)\n"
        "update leads as l\nset name = :name\nwhere l.id = :id\n"
    ),
    "sql/leads/recent.sql": RECENT.replace("limit :limit", "limit 10").replace("-- cache: 5m\n", ""),
    "sql/leads/search.sql": GET.replace("l.id = :id", "l.name = :name limit 1"),
    "sql/leads/same.sql": COUNT.replace("count(*)", "count(*) + 1"),
    "sql/leads/failing.sql": COUNT,
    "sql/leads/new.sql": COUNT.replace("count(*)", "count(*) - 1"),
    "plans/leads/get.plan": PLAN.format(1000, "seq scan on public.leads"),
}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def state_of(repository: Path) -> object:
    """The parts of a repository that a comparison must not touch."""
    files = {
        p: p.read_bytes() for p in sorted(repository.rglob("*")) if p.is_file() and ".git" not in p.parts
    }
    kept = {path: content for path, content in files.items() if ".plainsql" not in path.parts}
    return kept, git(repository, "status", "--porcelain"), git(repository, "worktree", "list")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose folder ``backend`` has the project; ``v1`` is the state before."""
    top = tmp_path_factory.mktemp("repository")
    git(top, "init", "-q", "-b", "main")
    write(top / "other", {"readme.txt": "No project.\n"})
    git(top, "add", "-A")
    git(top, "commit", "-qm", "Nothing yet")
    git(top, "tag", "v0")
    write(top / "backend", BEFORE)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "The first queries")
    git(top, "tag", "v1")
    git(top, "rm", "-rq", "--cached", "backend/queries_of_before")
    for file in sorted((top / "backend" / "queries_of_before").rglob("*.sql")):
        file.unlink()
    write(top / "backend", NOW)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "The second queries")
    return top


@pytest.fixture(scope="module")
def project(repository: Path) -> Project:
    return Project.load(repository / "backend")


@pytest.fixture(scope="module")
def checked(project: Project, database_url: str) -> ProjectCheck:
    return check_project(project, database_url)


@pytest.fixture(scope="module")
def changes(repository: Path, project: Project, checked: ProjectCheck, database_url: str) -> Changes:
    before = state_of(repository)
    found = changes_since(project, "v1", database_url, checked=checked)
    assert state_of(repository) == before
    return found


def sentences(change: QueryChange) -> list[str]:
    return [difference.sentence() for difference in change.differences]


def test_each_kind_of_change_is_found_worst_first(changes: Changes) -> None:
    assert {change.name: (change.kind, sentences(change)) for change in changes.queries} == {
        "leads.get": (
            "changed",
            ["column name may be null now: nullable column", WORSE],
        ),
        "leads.recent": (
            "changed",
            [
                "column name may be null now: nullable column",
                "parameter limit is gone",
                "is cached for no time now, and 300 s before",
                "its SQL changed",
            ],
        ),
        "leads.score": ("changed", ["column score changed from integer to bigint"]),
        "leads.gone": ("gone", ["is gone"]),
        "leads.search": ("renamed", ["was leads.find, with the same SQL"]),
        "leads.rename": (
            "changed",
            [
                "parameter audit_id of type integer is new and required",
                "insert of public.audit is new",
                "parameter name accepts null now: lands in the nullable column name",
                "its SQL changed",
            ],
        ),
        "leads.failing": (
            "changed",
            ['had an error at the ref: relation "nothing" does not exist', "its SQL changed"],
        ),
        "leads.new": ("new", ["is new: returns value"]),
        "leads.count": ("changed", ["its header or its comment changed"]),
    }
    assert [change.severity for change in changes.queries] == ["breaks"] * 6 + ["watch"] + ["note"] * 2
    by_name = {change.name: change for change in changes.queries}
    assert by_name["leads.score"].by_schema
    assert by_name["leads.count"].diff == (
        "@@ -1,4 +1,4 @@",
        "--- The leads.",
        "+-- The number of leads.",
        *(f" {line}" for line in COUNT.splitlines()[1:]),
    )
    assert changes.unchanged == 1
    assert [(file.path, file.kind) for file in (*changes.migrations, *changes.plans)] == [
        ("migrations/0002_names.sql", "new"),
        ("plans/leads/get.plan", "changed"),
    ]
    assert (changes.findings_new, changes.findings_gone) == ((), ())
    assert changes.notes == (
        "v1: the folder of queries was queries_of_before",
        "v1: queries with an error, of which only the texts are compared: 1",
    )


def test_settings_and_times_of_the_project_are_compared(tmp_path: Path, database_url: str) -> None:
    def facts(name: str, header: str, cache: str) -> dict[str, QueryFacts]:
        query = (
            f"-- The leads.\n-- returns: many value\n-- cache: 5m\n{header}select id\nfrom leads limit 5\n"
        )
        migration = {"migrations/0001_leads.sql": "create table leads (id int primary key);\n"}
        settings = {"pyproject.toml": f"[tool.plainsql]\n[tool.plainsql.cache]\n{cache}"}
        write(tmp_path / name, {"sql/leads/list.sql": query} | migration | settings)
        project = Project.load(tmp_path / name)
        return query_facts(project, check_project(project, database_url))

    before = facts("before", "-- set: work_mem = 100\n-- set: jit = off\n", "")
    [change] = changed_queries(
        before, facts("time", "-- set: work_mem = 100\n-- set: jit = off\n", '"leads.*" = "30m"'), {}
    )
    by = '[tool.plainsql.cache] "leads.*"'
    assert sentences(change) == [f"is cached for 1800 s by {by} now, and 300 s before"]
    assert not change.by_schema
    [change] = changed_queries(
        before,
        facts("off", "-- set: work_mem = :mem\n-- set: enable_sort = on\n", '"leads.list" = "off"'),
        {},
    )
    assert sentences(change) == [
        "parameter mem of type integer is new and required",
        "setting work_mem is :mem now, and 100 before",
        "sets enable_sort to on now",
        "does not set jit any more; it was off",
        "is cached for no time now, and 300 s before",
        "its header or its comment changed",
    ]


def test_the_changes_are_printed_for_people_and_for_tools(
    project: Project, changes: Changes, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_changes(project, "v1", "markdown", database_url)
    assert capsys.readouterr().out == changes_markdown(changes)
    print_changes(project, "v1", "json", database_url)
    assert msgspec.json.decode(capsys.readouterr().out, type=Changes) == changes


def test_a_ref_without_the_project_or_its_schema_is_compared_in_part(
    repository: Path, project: Project, checked: ProjectCheck, database_url: str
) -> None:
    nothing = changes_since(project, "v0", database_url, checked=checked)
    assert {change.kind for change in nothing.queries} == {"new"}
    assert len(nothing.queries) == len(checked.statements)
    assert nothing.notes == ("v0: there was no project: every query counts as new",)
    git(repository, "checkout", "-q", "-b", "failing", "v1")
    write(repository / "backend", {"migrations/0001_leads.sql": "create table leads (id nonsense);\n"})
    git(repository, "commit", "-qam", "A schema that fails")
    git(repository, "checkout", "-q", "main")
    failing = changes_since(project, "failing", database_url, checked=checked)
    assert [(change.name, sentences(change)) for change in failing.queries] == [
        ("leads.gone", ["is gone"]),
        ("leads.search", ["was leads.find, with the same SQL"]),
        ("leads.get", [WORSE]),
        ("leads.failing", ["its SQL changed"]),
        ("leads.recent", ["its SQL changed"]),
        ("leads.rename", ["its SQL changed"]),
        ("leads.new", ["is new: returns value"]),
        ("leads.count", ["its header or its comment changed"]),
    ]
    assert [file.kind for file in failing.migrations] == ["changed", "new"]
    reason = "it cannot be checked, and only texts are compared"
    assert [note for note in failing.notes if note.startswith(f"failing: {reason}: ")]
    # Since the commit at which main left it, which is v1.
    assert Repository.around(project.root).commit("failing...") == Repository.around(project.root).commit(
        "v1"
    )


def test_a_project_that_was_in_another_folder_is_found(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repository), "moved")
    top = tmp_path / "moved"
    git(top, "checkout", "-q", "v1")
    queries = top / "backend" / "queries_of_before" / "leads"
    (queries / "linked.sql").symlink_to("get.sql")
    (queries / "away.sql").symlink_to("../../../../away.sql")
    (queries / "folder").symlink_to("..")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "Links")
    git(top, "tag", "links")
    git(top, "mv", "backend", "service")
    git(top, "commit", "-qm", "Moved")
    now, moved = Project.load(top / "service"), Repository.around(top)
    with project_at_commit(moved, moved.commit("links").hash, now) as at:
        assert at.project is not None
        folder = at.project.root
        names = sorted(path.name for path in at.project.sql_folder.rglob("*"))
        assert names == [
            "count.sql",
            "failing.sql",
            "find.sql",
            "get.sql",
            "gone.sql",
            "leads",
            "linked.sql",
        ] + [*("recent.sql", "rename.sql", "same.sql", "score.sql")]
        assert (at.project.sql_folder / "leads" / "linked.sql").read_text() == GET
        assert (at.project.migrations_folder / "0001_leads.sql").is_file()
    assert not folder.exists()
    left_out = "backend/queries_of_before/leads"
    assert at.notes == [
        "the project was in the folder backend",
        f"{left_out}/away.sql is a link that leads to no file: it is left out",
        f"{left_out}/folder is a link that leads to no file: it is left out",
    ]


def test_a_ref_that_is_unknown_or_cut_off_is_one_error(
    repository: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"^v9: there is no such commit"):
        changes_since(project, "v9")
    with pytest.raises(SettingsError, match=r"^--help: there is no such commit"):
        changes_since(project, "--help")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(SettingsError) as shallow:
        changes_since(Project.load(tmp_path / "shallow" / "backend"), "v1")
    assert "--unshallow" in str(shallow.value)
    bare = tmp_path / "bare"
    write(bare, BEFORE)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(SettingsError, match="is in no git repository"):
        changes_since(Project.load(bare), "v1")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SettingsError, match="git is not installed"):
        changes_since(project, "v1")
