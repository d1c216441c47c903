"""The encryption in headers, checked against the statement, the tables and the other queries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plainsql.check.project_check import check_project
from plainsql.errors import SqlFileError
from plainsql.settings import Project
from plainsql.statements import parse
from tests.crypto.conftest import PROJECT

ROW = "where c.tenant_id = :tenant_id and c.id = :id"
READ = f"select c.tenant_id, c.id, c.access_token from vault.channels as c {ROW}"
WRITE = f"update vault.channels as c set access_token = :access_token {ROW}"


class Check:
    """The project in a folder of this module, to which each test adds queries of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    def __call__(self, **queries: str) -> list[tuple[str, str]]:
        """Add queries to the folder of channels; the name and the message of each problem."""
        shutil.rmtree(self._folder / "sql", ignore_errors=True)
        shutil.copytree(PROJECT / "sql", self._folder / "sql")
        for name, text in queries.items():
            (self._folder / "sql/vault/channels" / f"{name}.sql").write_text(f"-- Q.\n{text}\n", "utf-8")
        found = check_project(Project(root=self._folder), self._url)
        return [
            (problem.name, f"{problem.message} HINT {problem.hint}")
            for problem in [*found.errors, *found.findings]
        ]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Check:
    folder = tmp_path_factory.mktemp("vault")
    shutil.copytree(PROJECT / "migrations", folder / "migrations")
    return Check(folder, database_url)


def test_the_project_itself_is_clean(check: Check) -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            (
                "-- returns: optional Token\n-- column access_token: encrypted\n"
                "select c.id, c.access_token from vault.channels as c where c.phone = :phone"
            ),
            "access_token is bound to tenant_id and id, and tenant_id is not among the columns",
        ),
        (
            (
                "-- returns: optional Token\n-- column phone: encrypted (id)\n"
                "select c.id, c.phone from vault.channels as c where c.phone = :phone"
            ),
            "phone is text, and encrypted values are bytea",
        ),
        (
            (
                "-- returns: optional Token\n-- column token: encrypted\n"
                f"select c.tenant_id, c.id, c.access_token as token from vault.channels as c {ROW}"
            ),
            (
                "token is vault.channels.access_token, and its header takes it for vault.channels.token "
                "HINT write: encrypted as vault.channels.access_token"
            ),
        ),
        (
            "-- returns: count\n-- param token: encrypted\n" + WRITE.replace(":access_token", ":token"),
            (
                ":token is encrypted for vault.channels.token, and written into vault.channels.access_token "
                "HINT write: param token: encrypted as vault.channels.access_token"
            ),
        ),
        (
            (
                "-- returns: many Token\n-- param access_token: encrypted\n"
                "select c.id from vault.channels as c"
                " where c.access_token = :access_token and c.tenant_id = :tenant_id and c.id = :id"
            ),
            ":access_token is encrypted, and compared: it equals nothing",
        ),
        (
            "-- returns: count\n-- param access_token: encrypted\n"
            + WRITE
            + " and c.access_token is distinct from :access_token",
            ":access_token is encrypted, and compared",
        ),
        (
            "-- returns: count\n-- param access_token: encrypted (at, id)\n"
            + WRITE
            + " and :at::timestamptz < now()",
            ":at is timestamptz, and a value can be bound to uuid, integers, text and varchar only",
        ),
        (
            "-- returns: count\n-- param access_token: encrypted (tenant_id, channel)\n"
            + WRITE.replace(":id", ":channel"),
            (
                "vault.channels.access_token is bound to (tenant_id, id), and channel is none of these "
                "HINT name the column of channel: encrypted (id = channel)"
            ),
        ),
        (
            "-- returns: count\n-- param access_token: encrypted (id, tenant_id)\n" + WRITE,
            "vault.channels.access_token is bound to (tenant_id, id) here, and to (id, tenant_id) in",
        ),
    ],
    ids=["keys", "type", "column", "parameter", "equal", "distinct", "key type", "names", "order"],
)
def test_contradicting_headers_are_refused(check: Check, query: str, message: str) -> None:
    # The name comes first, so that it is the first of two queries that contradict each other.
    found = check(a_query=query)
    assert found[0][0] == "contract"
    assert message in found[0][1]


@pytest.mark.parametrize(
    "query",
    [
        (
            "insert into vault.channels as c (tenant_id, id, phone, access_token)"
            " values (:tenant_id, :id, :phone, :access_token)"
            " on conflict (phone) do update set access_token = excluded.access_token"
        ),
        (
            "update vault.channels as c set access_token = coalesce(:access_token, c.access_token)"
            " where c.phone = :phone and :tenant_id::uuid is not null and :id::uuid is not null"
        ),
        (
            "update vault.channels as c set access_token = :access_token"
            " where c.tenant_id = :tenant_id and c.id >= :id"
        ),
        (
            "insert into vault.channels as c (tenant_id, id, phone, access_token)"
            " values (:tenant_id, gen_random_uuid(), :id::uuid::text, :access_token)"
        ),
    ],
    ids=["upsert", "other key", "not equal", "key of the server"],
)
def test_a_write_to_rows_that_a_value_is_not_bound_to_is_a_finding(check: Check, query: str) -> None:
    (found,) = check(q=f"-- returns: count\n-- param access_token: encrypted\n{query}")
    assert found[0] == "unbound-encryption"


@pytest.mark.parametrize(
    "query",
    [
        WRITE,
        (
            "insert into vault.channels as c (tenant_id, id, phone, access_token)"
            " values (:tenant_id, :id, :phone, :access_token)"
            " on conflict (tenant_id, id) do update set access_token = excluded.access_token"
        ),
        (
            "update vault.channels as c set access_token = coalesce(:access_token, c.access_token)"
            " where (c.tenant_id, c.id) = (:tenant_id, :id)"
        ),
    ],
    ids=["update", "upsert by key", "coalesce"],
)
def test_a_write_to_the_row_that_a_value_is_bound_to_is_fine(check: Check, query: str) -> None:
    text = f"-- returns: count\n-- param access_token: encrypted\n{query}"
    assert check(q=text) == []


def test_a_column_that_is_read_without_the_line_is_bytes(check: Check) -> None:
    assert check(q=f"-- returns: optional Raw\n{READ}") == []


def test_two_queries_that_share_a_row_must_both_say_it(check: Check) -> None:
    read = "-- returns: optional Token\n"
    found = check(p=f"{read}-- column access_token: encrypted\n{READ}", q=read + READ)
    assert [name for name, _ in found] == ["contract"]
    assert "its Token differs" in found[0][1]


# -- The header alone


def header(*lines: str, name: str = "vault.channels.q", body: str = WRITE) -> str:
    text = "".join(f"-- {line}\n" for line in lines) + body
    try:
        statement = parse(text, name=name, path="q.sql")
    except SqlFileError as error:
        return str(error)
    return "; ".join(f"{each.column} {', '.join(each.marks)}" for each in statement.encryptions)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("param access_token: encrypted", "vault.channels.access_token tenant_id, id"),
        ("param access_token: encrypted (id)", "vault.channels.access_token id"),
        ("param access_token: encrypted ( tenant_id ,id )", "vault.channels.access_token tenant_id, id"),
        ("param access_token: encrypted as token", "vault.channels.token tenant_id, id"),
        ("param access_token: encrypted as a.b.c (id)", "a.b.c id"),
        ("param access_token: encrypted = null", "vault.channels.access_token tenant_id, id"),
        ('column "c.token": encrypted not null', "vault.channels.token tenant_id, id"),
        ("column token: encrypted as a.b.c (id) nullable", "a.b.c id"),
        ("param access_token: encrypted as a.b.c (id=id)", "a.b.c id"),
        ("param access_token: encrypted as a.b.c (x = id) = null", "a.b.c x=id"),
        (
            'column "c.token": encrypted (id = user_id, tenant_id)',
            "vault.channels.token id=user_id, tenant_id",
        ),
    ],
)
def test_the_meaning_of_a_header_line(line: str, expected: str) -> None:
    assert header("returns: many Token", line) == expected


def test_a_folder_of_one_name_is_a_table_of_the_public_schema() -> None:
    line = "param access_token: encrypted"
    assert header("returns: count", line, name="users.q") == "public.users.access_token tenant_id, id"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("returns: count", "param access_token: encrypted with a key"), "is not a form of encrypted"),
        (("returns: count", "param access_token: encrypted ()"), "is not a form of encrypted"),
        (("returns: count", "param access_token: encrypted as a.b"), "is not a form of encrypted"),
        (("returns: count", "param access_token: encrypted = 'x'"), "can only be null"),
        (("returns: count", "param access_token: encrypted (id, id)"), "id is named twice"),
        (("returns: count", "param access_token: encrypted (id, id = x)"), "id is named twice"),
        (("returns: count", "param access_token: encrypted (id = )"), "is not a form of encrypted"),
        (("returns: count", "param access_token: encrypted (access_token)"), "cannot be bound to itself"),
        (("returns: count", "param access_token: encrypted (user_id)"), "has no parameter :user_id"),
        (("returns: count", "param token: encrypted"), "the query has no parameter :token"),
        (
            ("returns: count", "param access_token: encrypted", "param id: encrypted (tenant_id)"),
            "encrypted itself",
        ),
        (
            ("returns: value", "column token: encrypted"),
            "'returns: value' has no columns that identify the row",
        ),
        (
            ("returns: many Token", "column token: encrypted", "cache: 5m"),
            "a query with the encrypted token is not cached",
        ),
        (("returns: one Token", "param access_token: encrypted", "cache: 5m"), "is not cached"),
    ],
)
def test_a_line_that_cannot_be_meant(lines: tuple[str, ...], message: str) -> None:
    said = header(*lines)
    assert message in said
    assert "HINT: " in said


@pytest.mark.parametrize("name", ["q", "a.b.c.q"])
def test_a_folder_that_names_no_table_needs_the_column(name: str) -> None:
    line = "param access_token: encrypted"
    assert "does not say which table's column this is" in header("returns: count", line, name=name)
    assert header("returns: count", f"{line} as a.b.c", name=name) == "a.b.c tenant_id, id"
