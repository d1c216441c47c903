"""Searches of encrypted columns in headers, checked against the statement, the tables and other queries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plainsql.check.live_project import LiveProject
from plainsql.check.project_check import check_project
from plainsql.errors import SqlFileError
from plainsql.settings import Project
from plainsql.statements import parse
from tests.crypto.conftest import PROJECT

GET = "select c.id from vault.customers as c where c.tenant_id = :tenant_id and "
SET = "update vault.customers as c set email = :email where c.tenant_id = :tenant_id and c.id = :id"


class Check:
    """The project in a folder of this module, to which each test adds queries of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def __call__(self, **queries: str) -> list[tuple[str, str]]:
        """Add queries to the folder of customers; the name and the message of each problem."""
        shutil.rmtree(self.folder / "sql", ignore_errors=True)
        shutil.copytree(PROJECT / "sql", self.folder / "sql")
        for name, text in queries.items():
            (self.folder / "sql/vault/customers" / f"{name}.sql").write_text(f"-- Q.\n{text}\n", "utf-8")
        found = check_project(Project(root=self.folder), self.url)
        return [
            (problem.name, f"{problem.message} HINT {problem.hint}")
            for problem in [*found.errors, *found.findings]
        ]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Check:
    folder = tmp_path_factory.mktemp("vault")
    shutil.copytree(PROJECT / "migrations", folder / "migrations")
    return Check(folder, database_url)


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        (
            (
                "-- returns: many value\n-- param email: digest (tenant_id) as email\n"
                f"{GET}c.email_digest = :email"
            ),
            "contract",
            (
                ":email is bytea, and the digests of a text are bytea[], one for each key "
                "HINT compare it with a column of digests: email_digest = any(:email)"
            ),
        ),
        (
            (
                "-- returns: many value\n-- param email: digest (tenant_id) as email\n"
                f"{GET}c.phone_digest = any(:email)"
            ),
            "contract",
            (
                ":email is compared with vault.customers.phone_digest, which does not hold the digests of "
                "vault.customers.email HINT compare it with a column that does, and create that in a "
                "migration: alter table vault.customers add column email_digest bytea "
                "generated always as (substring(email from 5 for 32)) stored"
            ),
        ),
        (
            (
                "-- returns: many value\n-- param email: digest (tenant_id) as email\n"
                f"{GET}c.email = any(:email)"
            ),
            "contract",
            ":email is compared with vault.customers.email, which does not hold the digests",
        ),
        (
            f"-- returns: many value\n-- param email: digest as email\n{GET}c.email_digest = any(:email)",
            "contract",
            (
                "vault.customers.email is searched (tenant_id) as email here, and as email in "
                "sql/vault/customers/a_query.sql HINT write the same in both"
            ),
        ),
        (
            (
                "-- returns: many value\n-- param email: digest (tenant_id) exactly\n"
                f"{GET}c.email_digest = any(:email)"
            ),
            "contract",
            "is searched (tenant_id) as email here, and (tenant_id) exactly in",
        ),
        (
            f"-- returns: count\n-- param email: encrypted\n{SET}",
            "contract",
            (
                "vault.customers.email is searched (tenant_id) as email in sql/vault/customers/create.sql, "
                "and written without a digest HINT no search would find the row: write "
                "encrypted (tenant_id, id), searchable (tenant_id) as email"
            ),
        ),
        (
            "-- returns: count\n-- param email: encrypted, searchable (tenant_id) as email\n"
            + SET.replace("email =", "phone ="),
            "contract",
            ":email is encrypted for vault.customers.email, and written into vault.customers.phone",
        ),
        (
            (
                "-- returns: many value\n-- param email: encrypted, searchable (tenant_id) as email\n"
                f"{GET}c.email = :email and c.id = :id"
            ),
            "contract",
            "it equals nothing",
        ),
        (
            f"-- returns: many value\n{GET}c.email = :email",
            "encrypted-comparison",
            (
                ":email is compared with vault.customers.email, whose values are encrypted: no text equals "
                "one HINT search its digests: param email: digest of vault.customers.email"
            ),
        ),
        (
            f"-- returns: count\n{SET.replace('email =', 'email_digest =')}",
            "refused",
            "email_digest",
        ),
    ],
    ids=[
        *("one digest", "other digests", "no digests", "scope", "form", "without digest", "other column"),
        *("compared", "plain", "written digest"),
    ],
)
def test_a_wrong_search_is_reported(check: Check, query: str, name: str, message: str) -> None:
    found = check(a_query=query)
    assert name in [each for each, _ in found]
    assert any(message in text.replace(f"{check.folder}/", "") for each, text in found if each == name)


def test_the_comparison_of_stored_values_may_be_allowed(check: Check) -> None:
    text = f"-- returns: many value\n-- allow: encrypted-comparison: by the stored bytes\n{GET}c.email = :old"
    assert check(q=text) == []


def test_an_expression_of_the_value_is_searched_without_a_column(check: Check) -> None:
    text = f"{GET}substring(c.email from 5 for 32) = any(:email) order by c.id limit 1"
    assert check(q=f"-- returns: many value\n-- param email: digest (tenant_id) as email\n{text}") == []


def test_the_editor_reports_a_wrong_search_too(check: Check) -> None:
    header = "-- returns: many value\n-- param email: digest (tenant_id) as email"
    check(q=f"{header}\n{GET}c.phone_digest = any(:email) limit 1")
    with LiveProject(Project(root=check.folder), check.url) as live:
        found = live.check()
    (error,) = found.errors  # the project's own searches are right
    assert "which does not hold the digests" in error.message


# -- The header alone


def header(line: str, body: str = SET) -> str:
    text = f"-- returns: count\n-- {line}\n{body}"
    try:
        statement = parse(text, name="vault.customers.q", path="q.sql")
    except SqlFileError as error:
        return str(error)
    return "; ".join(f"{each.column}: {each.words} {each.marks}" for each in statement.encryptions)


EMAIL = "vault.customers.email"


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("param email: encrypted (id), searchable", f"{EMAIL}: encrypted, searchable exactly ('id',)"),
        ("param email: encrypted (id), searchable exactly", "searchable exactly"),
        ("param email: encrypted (id) , searchable as phone = null", "searchable as phone"),
        ("param email: encrypted as a.b.c (id=id), searchable as email", "a.b.c: encrypted, searchable as"),
        ("param email: encrypted, searchable () as email", "searchable as email ('tenant_id', 'id')"),
        ("param email: encrypted, searchable (tenant_id)", "searchable (tenant_id) exactly"),
        ("param email: digest", f"{EMAIL}: digest exactly ()"),
        ("param email: digest of phone as phone", "vault.customers.phone: digest as phone ()"),
        ("param email: digest of a.b.c (t = id) as email = null", "a.b.c: digest (t) as email ('t=id',)"),
        ("param email: encrypted, searchable as email", "does not say which of them its digest is bound to"),
        ("param email: encrypted (id), searchable as e-mail", "is not a form of encrypted"),
        ("param email: encrypted (id), searchable as mail", "did you mean email?"),
        ("param email: encrypted (id), searchable (tenant_id)", "bound to tenant_id, and the value is not"),
        ("param email: encrypted, searchable (id, id)", "id is named twice"),
        ("param email: encrypted (id), searchable as email, as phone", "is not a form of encrypted"),
        ("param email: digest for a.b.c", "is not a form of digest"),
        ("param email: digest (email)", "email cannot be bound to itself"),
        ("param email: digest (account)", "has no parameter :account"),
        ("param mail: digest as email", "the query has no parameter :mail"),
        ("param email: digest = 'x'", "can only be null"),
        ("column email: digest as email", "no column is one"),
    ],
)
def test_the_meaning_of_a_line(line: str, meaning: str) -> None:
    assert meaning in header(line)


def test_a_search_may_be_cached_and_a_value_may_not() -> None:
    body = "select 1 from vault.customers as c where c.email_digest = any(:email)"
    text = "-- returns: many value\n-- cache: 5m\n-- param email: {}\n" + body
    assert parse(text.format("digest as email"), name="vault.customers.q", path="q.sql").cache is not None
    with pytest.raises(SqlFileError, match="the encrypted email is not cached"):
        parse(text.format("encrypted (x), searchable") + " and :x", name="vault.customers.q", path="q.sql")
