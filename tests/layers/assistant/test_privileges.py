"""A connection of the application gets no privilege of assistant_keeper, whatever it creates.

Each attack is run twice: it succeeds on a database without 0010_privileges.sql, which shows that it is an
attack, and fails on a database with it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql import migrate
from plainsql.migrate.schema import dump
from plainsql.testing import Databases
from tests.layers.isolation import application_url

MIGRATIONS = Path(__file__).parents[3] / "migrations"
KEEPER = "runs as assistant_keeper"
"""The message that the attacker's code raises when it runs."""
SAY = """
create function pg_temp.own(value {of}) returns boolean language plpgsql as $$
begin
  raise notice 'runs as %', current_user;
  return true;
end
$$;
"""


def domain(name: str, of: str | None = None) -> str:
    of = of or f"pg_catalog.{name}"
    return f"{SAY.format(of=of)}create domain pg_temp.{name} as {of} check (pg_temp.own(value));"


CAST = """
create type pg_temp.text as enum ('x');
create function pg_temp.convert(value pg_catalog.text) returns pg_temp.text language plpgsql as $$
begin
  raise notice 'runs as %', current_user;
  return null;
end
$$;
create cast (pg_catalog.text as pg_temp.text)
with function pg_temp.convert(pg_catalog.text) as assignment;
"""
UPDATE = "update assistant.users set first_name = 'y'"
DELETE = "update assistant.deletable_users set deleted_at = clock_timestamp()"
WORDS = "select * from assistant.notes_with_words(null, 'x')"
TAGS = "select * from assistant.notes_with_tags(null, null, array['x'])"
TAKES_OVER = {
    "domain, update": (domain("jsonb"), UPDATE),
    "domain, insert": (domain("jsonb"), "insert into assistant.users (first_name) values ('z')"),
    "domain, deletion": (domain("jsonb"), DELETE),
    "domain, purge": (domain("jsonb"), "delete from assistant.deletable_users"),
    "domain, event of a user": (
        domain("jsonb"),
        "insert into assistant.events (user_id, title, start_datetime) values (1, 'x', now())",
    ),
    "domain, text": (domain("text"), UPDATE),
    "domain, search": (domain("tsquery"), WORDS),
    "domain, search, text": (domain("text"), WORDS),
    "domain, tags": (domain("text"), TAGS),
    "enum with a cast, search": (CAST, WORDS),
}
"""The objects that the attacker creates first, and the statement that runs them as the keeper."""
DOES_NOTHING = {
    "functions": (
        SAY.format(of="anyelement")
        + """
        create function pg_temp.clock_timestamp() returns timestamptz
        return case when pg_temp.own(1) then pg_catalog.clock_timestamp() end;
        create function pg_temp.to_jsonb(value anyelement) returns pg_catalog.jsonb
        return case when pg_temp.own(1) then pg_catalog.to_jsonb(value) end;
        create function pg_temp.lower(value text) returns text
        return case when pg_temp.own(1) then pg_catalog.lower(value) end;
        """,
        UPDATE,
    ),
    "operators": (
        """
        create function pg_temp.minus(a jsonb, b text[]) returns jsonb language plpgsql as $$
        begin
          raise notice 'runs as %', current_user;
          return a;
        end
        $$;
        create operator pg_temp.- (function = pg_temp.minus, leftarg = jsonb, rightarg = text[]);
        """,
        UPDATE,
    ),
    "tables": (
        SAY.format(of="text")
        + """
        create temporary table audit_log (like assistant.audit_log, check (pg_temp.own(action)));
        create temporary table users (like assistant.users, check (pg_temp.own(first_name)));
        create temporary table notes (like assistant.notes, check (pg_temp.own(title)));
        """,
        UPDATE,
    ),
    "after the first write": (f"{UPDATE};{domain('jsonb')}", UPDATE),
}
"""Attacks that never worked: PostgreSQL looks up functions and operators in pg_temp only if it is named."""


@dataclass(frozen=True)
class Application:
    """Sessions of a login role that is a member of assistant_app only, as the tenant acme."""

    url: str

    def run(self, *texts: str) -> None:
        with self._session([]) as connection:
            for text in texts:
                connection.execute(text.encode())

    def heard(self, *texts: str) -> list[str]:
        """Run statements and roll them back; return the server's notices and errors."""
        heard: list[str] = []
        with suppress(psycopg.Error), self._session(heard) as connection:
            for text in texts:
                connection.execute(text.encode())
            connection.rollback()
        return heard

    @contextmanager
    def _session(self, heard: list[str]) -> Generator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url) as connection:
            connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
            connection.execute("set app.jwt_tenant = 'acme'")
            yield connection

    def refused(self, *texts: str) -> bool:
        try:
            self.run(*texts)
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@dataclass(frozen=True)
class Upgrade:
    """A database with the migrations before 0010, and a user, an event and a conversation of two tenants."""

    url: str
    application: Application

    def upgrade(self) -> None:
        migrate.apply(self.url, MIGRATIONS, layers=["assistant"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()


ROWS = """
insert into assistant.users (tenant_id, first_name) values ('acme', 'Ana'), ('globex', 'Eva');
insert into assistant.events (tenant_id, user_id, title, start_datetime) values ('globex', 2, 'x', now());
insert into assistant.conversations (tenant_id, user_id, session_id) values ('globex', 2, 's');
insert into assistant.message_history (tenant_id, conversation_id, user_message) values ('globex', 1, 'x');
"""


@pytest.fixture
def old(fresh_database_url: str, plainsql_database_url: str) -> Generator[Upgrade]:
    # The module's database keeps the roles while this one is rolled back.
    url = fresh_database_url
    migrate.apply(url, MIGRATIONS, layers=["assistant"], to="assistant/0009")
    with psycopg.connect(url) as connection:
        connection.execute(ROWS.encode())
    with application_url(url, "assistant_app") as application:
        yield Upgrade(url, Application(application))


def test_types_in_pg_temp_ran_as_the_keeper_and_do_not_any_more(old: Upgrade) -> None:
    def caught(attacks: dict[str, tuple[str, str]]) -> set[str]:
        return {name for name, texts in attacks.items() if KEEPER in old.application.heard(*texts)}

    assert caught(TAKES_OVER) == set(TAKES_OVER)
    assert caught(DOES_NOTHING) == set()
    old.upgrade()
    assert caught(TAKES_OVER | DOES_NOTHING) == set()


def test_a_rollback_leaves_closed_what_was_open(old: Upgrade) -> None:
    old.upgrade()
    migrate.rollback(old.url, MIGRATIONS, layers=["assistant"], steps=2)
    for texts in TAKES_OVER.values():
        assert KEEPER not in old.application.heard(*texts)
    assert old.application.refused(*FORGED["audit_log"])
    migrate.apply(old.url, MIGRATIONS, layers=["assistant"])


def trigger(table: str, function: str, when: str = "after update") -> str:
    return (
        f"create trigger forged {when} on pg_temp.{table} "
        f"for each row execute function assistant.{function}()"
    )


ENTRY = "select tenant_id, action, row_id from assistant.audit_log where tenant_id = 'initech'"
HIDDEN = "select count(*) from assistant.{} where tenant_id = 'globex' and deleted_at is not null"
KEYS = "create temporary table keys (tenant_id text, id bigint, deleted_at timestamptz)"
FORGED: dict[str, tuple[str, ...]] = {
    "audit_log": (
        "create temporary table users (tenant_id text, id bigint, deleted_at timestamptz, name text)",
        trigger("users", "record_change", "after insert"),
        "insert into pg_temp.users values ('initech', 4711, null, 'never was')",
    ),
    "events": (
        KEYS,
        trigger("keys", "delete_with_user"),
        "insert into pg_temp.keys values ('globex', 2, null)",
        "update pg_temp.keys set deleted_at = '1970-01-01'",
    ),
    "message_history": (
        KEYS,
        trigger("keys", "delete_with_conversation"),
        "insert into pg_temp.keys values ('globex', 1, null)",
        "update pg_temp.keys set deleted_at = '1970-01-01'",
    ),
}
"""Rows of other tenants that the attacker's own triggers pass to the keeper's functions."""
LOCK = (
    "create temporary table users (tenant_id text, id bigint)",
    trigger("users", "lock_before_deletion", "before update"),
)


def test_triggers_of_own_tables_can_no_longer_call_the_keepers_functions(old: Upgrade) -> None:
    for texts in FORGED.values():
        old.application.run(*texts)
    assert old.rows(ENTRY) == [("initech", "insert", 4711)]
    hidden = ("events", "conversations", "message_history")
    assert [old.rows(HIDDEN.format(table)) for table in hidden] == [[(1,)]] * 3
    with psycopg.connect(old.url) as admin:
        for table in hidden:
            admin.execute(f"update assistant.{table} set deleted_at = null".encode())
    assert not old.application.refused(*LOCK)

    old.upgrade()
    for texts in (*FORGED.values(), LOCK):
        assert old.application.refused(*texts)
    assert old.rows(ENTRY) == [("initech", "insert", 4711)]
    assert [old.rows(HIDDEN.format(table)) for table in hidden] == [[(0,)]] * 3


def test_objects_left_by_an_attacker_are_reported(old: Upgrade) -> None:
    with psycopg.connect(old.url, autocommit=True) as admin:
        admin.execute("grant create on schema public to assistant_app")
        old.application.run(
            "create table public.users (tenant_id text, id bigint)",
            trigger("users", "record_change").replace("pg_temp", "public"),
        )
        admin.execute(
            "create view assistant.backdoor as select u.id from assistant.users as u;"
            "alter view assistant.backdoor owner to assistant_keeper"
        )
        told: list[str] = []
        migrate.apply(
            old.url,
            MIGRATIONS,
            layers=["assistant"],
            on_progress=lambda progress: told.append(progress.text or ""),
        )
        admin.execute("drop table public.users; revoke create on schema public from assistant_app")
    told = [text for text in told if "no migration of assistant" in text]
    assert len(told) == 2
    assert "the trigger forged of users calls assistant.record_change()" in told[0]
    assert "view assistant.backdoor belongs to assistant_keeper" in told[1]


def test_an_upgraded_schema_equals_a_new_one(
    old: Upgrade, plainsql_databases: Databases, plainsql_template: str
) -> None:
    old.upgrade()
    with plainsql_databases.clone(plainsql_template) as fresh:
        assert dump(old.url) == dump(fresh)


def test_the_keeper_owns_views_and_functions_and_creates_nothing(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        may = "select has_schema_privilege('assistant_keeper', 'assistant', 'create')"
        assert connection.execute(may).fetchone() == (False,)
        owned = connection.execute(
            """
            select d.classid::regclass::text, count(*)
            from pg_shdepend as d
            where d.refobjid = 'assistant_keeper'::regrole and d.deptype = 'o'
              and d.dbid = (select b.oid from pg_database as b where b.datname = current_database())
            group by 1 order by 1
            """
        ).fetchall()
        assert owned == [("pg_class", 5), ("pg_proc", 6)]
        granted = connection.execute(
            """
            select from pg_class as c cross join lateral aclexplode(c.relacl) as a
            where c.relnamespace = 'assistant'::regnamespace
              and (a.is_grantable or a.grantee = 0) and a.grantee <> c.relowner
            """
        ).fetchall()
        assert granted == [], "granted to all, or to be granted on"


def test_every_path_ends_in_pg_temp_and_no_trigger_function_is_public(
    plainsql_database_url: str,
) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        found = connection.execute(
            """
            select
              p.oid::regprocedure::text,
              p.prosecdef,
              (select s from unnest(p.proconfig) as s where s like 'search_path=%'),
              p.prorettype = 'trigger'::regtype and has_function_privilege('public', p.oid, 'execute')
            from pg_proc as p
            where p.pronamespace = 'assistant'::regnamespace and p.prosqlbody is null
            """
        ).fetchall()
    assert sum(definer for _, definer, _, _ in found) == 6
    assert {path for _, _, path, _ in found} == {"search_path=pg_catalog, pg_temp"}
    assert [name for name, _, _, anybodys in found if anybodys] == []


BACKDATED = ("1970-01-01", "-infinity", "infinity", "3000-01-01")


@pytest.mark.parametrize("table", ["users", "events", "notes", "conversations", "message_history"])
def test_the_application_deletes_a_row_now_and_at_no_other_time(old: Upgrade, table: str) -> None:
    fill = """
        insert into assistant.events (user_id, title, start_datetime) values (1, 'x', now());
        insert into assistant.notes (user_id, content) values (1, 'x');
        insert into assistant.conversations (user_id, session_id) values (1, 's');
        insert into assistant.message_history (conversation_id, user_message)
        select c.id, 'x' from assistant.conversations as c
    """
    old.application.run(fill)
    update = f"update assistant.deletable_{table} set deleted_at = %s"
    seen = f"select deleted_at from assistant.deletable_{table}"

    def delete(at: str) -> Any:
        with psycopg.connect(old.application.url) as connection:
            connection.execute("set app.jwt_tenant = 'acme'")
            connection.execute(update.encode(), [at])
            return connection.execute(seen.encode()).fetchone()

    assert delete("1969-01-01") is not None
    old.upgrade()
    for at in BACKDATED:
        with pytest.raises(psycopg.errors.CheckViolation, match="a row is deleted now") as refused:
            delete(at)
        assert refused.value.diag.constraint_name == f"{table}_deleted_now"
    # A row that was deleted before 0011 is restored, and deleted again.
    old.application.run(update.replace("%s", "null"), update.replace("%s", "now()"))
    old.application.run(update.replace("%s", "null"), update.replace("%s", "clock_timestamp()"))
    with pytest.raises(psycopg.errors.CheckViolation):
        delete(BACKDATED[0])


def test_a_superuser_may_set_a_deletion_time_and_its_rows_follow(old: Upgrade) -> None:
    old.upgrade()
    with psycopg.connect(old.url) as admin:
        admin.execute("update assistant.users set deleted_at = '2020-01-01' where tenant_id = 'globex'")
    for table in ("users", "events", "conversations", "message_history"):
        found = old.rows(f"select deleted_at::date::text from assistant.{table} where tenant_id = 'globex'")
        assert found == [("2020-01-01",)], table


def test_an_application_may_be_made_one_that_purges_nothing(old: Upgrade) -> None:
    old.upgrade()
    delete = "update assistant.deletable_users set deleted_at = clock_timestamp()"
    purge = "delete from assistant.deletable_users"
    with psycopg.connect(old.url, autocommit=True) as admin:
        admin.execute("revoke delete on assistant.deletable_users from assistant_app")
    old.application.run(delete)
    assert old.application.refused(purge)
    assert old.rows("select count(*) from assistant.users where tenant_id = 'acme'") == [(1,)]
