"""The roles that a build creates: dropped with the scratch database, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from plainsql import MigrationError
from plainsql.analysis.scratch_database import scratch_database
from plainsql.analysis.scratch_records import drop_database, read_databases, write_record
from plainsql.schema.migrations import MigrationsFolder
from plainsql.settings import Project
from tests.check.conftest import Write

Admin = psycopg.Connection[tuple[object, ...]]

GUARDED = """
do $$ begin
  if to_regrole('{role}') is null then
    create role {role};
  end if;
end $$;
create table t (id int);
grant select on t to {role};
"""


EXCEPTION = """
do $$ begin create role {role}; exception when duplicate_object then null; end $$;
create table t (id int);
alter table t owner to {role};
"""


@pytest.fixture
def admin(database_url: str) -> Iterator[Admin]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role() -> str:
    return f"made_{uuid4().hex}"


def exists(admin: Admin, role: str) -> bool:
    return admin.execute("select from pg_roles where rolname = %s", [role]).rowcount == 1


def build(folder: Path, url: str, **options: bool) -> str:
    """Build the scratch database of a folder, with a project of its own around it; return its name."""
    project = Project(root=folder.parent)
    with scratch_database(MigrationsFolder(folder), url, project=project, **options) as connection:
        return connection.info.dbname


@pytest.mark.parametrize(
    "text",
    [
        "create role {role};",
        "-- transaction: off\ncreate role {role};\ncreate table t (id int);\ngrant select on t to {role};",
        GUARDED,
        EXCEPTION,
        "create role {role};\ncreate role {role}_app in role {role};\ngrant {role} to {role}_app;",
    ],
)
def test_roles_are_dropped_with_the_database(
    migrations: Write,
    database_url: str,
    admin: Admin,
    role: str,
    text: str,
) -> None:
    folder = migrations({"0001_t.sql": text.format(role=role), "0001_t.rollback.sql": "select 1;"})
    name = build(folder, database_url)
    assert exists(admin, role)
    (record,) = [each.record for each in read_databases(admin) if each.name == name]
    assert record is not None
    assert role in record.roles
    drop_database(admin, name)
    assert not exists(admin, role)
    assert not exists(admin, f"{role}_app")


def test_a_change_of_the_migrations_creates_the_same_role_again(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    folder = migrations({"0001_t.sql": f"create role {role};"})
    first = build(folder, database_url)
    second = build(migrations({"0001_t.sql": f"create role {role} login;"}), database_url)
    assert first != second
    assert build(folder, database_url, rebuild=True) == second
    drop_database(admin, second)
    assert not exists(admin, role)


def test_a_failed_build_leaves_no_role(migrations: Write, database_url: str, admin: Admin, role: str) -> None:
    folder = migrations({"0001_t.sql": f"create role {role};", "0002_bad.sql": "select nope;"})
    with pytest.raises(MigrationError, match="nope"):
        build(folder, database_url)
    assert not exists(admin, role)


def test_roles_that_were_there_are_not_touched(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    admin.execute(f"create role {role}".encode())
    name = build(migrations({"0001_t.sql": GUARDED.format(role=role)}), database_url)
    drop_database(admin, name)
    assert exists(admin, role)
    admin.execute(f"drop role {role}".encode())


def test_a_role_that_another_session_creates_during_the_build_is_not_taken(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    folder = migrations({"0001_t.sql": "create table t (id int);"})
    schema = MigrationsFolder(folder)

    class Meanwhile:
        identity = schema.identity

        def digest(self) -> str:
            return schema.digest()

        def apply(self, url: str) -> None:
            admin.execute(f"create role {role}".encode())
            schema.apply(url)

    project = Project(root=folder.parent)
    with scratch_database(Meanwhile(), database_url, project=project) as connection:
        name = connection.info.dbname
    drop_database(admin, name)
    assert exists(admin, role)
    admin.execute(f"drop role {role}".encode())


def test_a_role_of_two_databases_stays_until_the_second_is_dropped(
    migrations: Write,
    tmp_path: Path,
    database_url: str,
    admin: Admin,
    role: str,
) -> None:
    first = build(migrations({"0001_t.sql": GUARDED.format(role=role)}), database_url)
    other = tmp_path / "other" / "migrations"
    other.mkdir(parents=True)
    (other / "0001_t.sql").write_text(GUARDED.format(role=role))
    second = build(other, database_url)
    drop_database(admin, first)
    assert exists(admin, role)
    drop_database(admin, second)
    assert not exists(admin, role)


def test_a_role_that_is_used_elsewhere_is_kept(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    name = build(migrations({"0001_t.sql": f"create role {role};"}), database_url)
    admin.execute(f"create role {role}_member in role {role}".encode())
    drop_database(admin, name)
    assert exists(admin, role)
    admin.execute(f"drop role {role}, {role}_member".encode())


def test_a_role_that_may_create_roles_takes_its_own_back(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    builder = f"builder_{uuid4().hex}"
    admin.execute(f"create role {builder} login createdb createrole password 'b'".encode())
    url = make_conninfo(database_url, user=builder, password="b")
    name = build(migrations({"0001_t.sql": f"create role {role};"}), url)
    with psycopg.connect(url, autocommit=True) as own:
        drop_database(own, name)
    assert not exists(admin, role)
    admin.execute(f"drop role {builder}".encode())


def test_the_record_of_another_roles_database_names_no_role_to_drop(
    migrations: Write, database_url: str, admin: Admin, role: str
) -> None:
    other = f"other_{uuid4().hex}"
    admin.execute(f"create role {other} login createdb password 'b'".encode())
    admin.execute(f"create role {role}".encode())
    (oid,) = admin.execute("select oid::int from pg_roles where rolname = %s", [role]).fetchall()[0]
    url = make_conninfo(database_url, user=other, password="b")
    name = build(migrations({"0001_t.sql": "create schema s;"}), url)
    with psycopg.connect(url, autocommit=True) as own:
        (found,) = [each for each in read_databases(own) if each.name == name]
        assert found.record is not None
        found.record.roles[role] = int(str(oid))
        write_record(own, name, found.record)
    drop_database(admin, name)
    assert exists(admin, role)
    admin.execute(f"drop role {role}, {other}".encode())
