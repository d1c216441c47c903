"""Isolation of tenants: the checks of every query of a layer whose tables have a tenant column.

A layer's tests fill two tenants with the same rows, give the arguments of each query, and run every check on
every query, as the application's role::

    LAYER = TenantLayer(
        "whatsapp",
        role="whatsapp_app",
        tenants=(A, B),
        fill=fill,  # async: (tenant's view, tenant) -> whatever the arguments are made from
        arguments={"contacts.get_by_id": lambda filled: {"id": filled.contact}, ...},
    )

    @pytest.fixture
    async def isolation(fresh_database_url):
        async with open_isolation(fresh_database_url, LAYER) as isolation:
            yield isolation

    async def test_tenants_are_apart(isolation):
        await isolation.check_all()

The checks show most if ``fill`` gives both tenants the same rows, with the same ids and texts if the schema
allows it. Each check raises ``AssertionError`` with the query's or table's name.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from uuid import UUID

import psycopg
from asyncpg.exceptions import InsufficientPrivilegeError, LockNotAvailableError, PostgresError
from psycopg import sql

import plainsql
from plainsql.database import TenantDatabase
from plainsql.errors import TenantError
from plainsql.query import Query
from plainsql.rows import Row

__all__ = ["Arguments", "Isolation", "TenantLayer", "application_url", "open_isolation", "queries_of"]

Arguments = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class TenantLayer:
    """A layer whose tables have a tenant column."""

    name: str
    """The name of its schema and of its package in ``plainsql.layers``."""
    role: str
    """The role of applications."""
    tenants: tuple[Any, Any]
    fill: Callable[[TenantDatabase, Any], Awaitable[Any]]
    """Called with a tenant's view and the tenant: inserts its rows, the same for each, and returns what
    ``arguments`` need of them.
    """
    arguments: Mapping[str, Arguments]
    """For each query, ``contacts.get_by_id``, a call that finds or changes something."""
    tenant_column: str = "tenant_id"


def queries_of(layer: str) -> dict[str, Query[..., Any, Any]]:
    """Every query object of a layer's modules, by ``module.name``."""
    package = importlib.import_module(f"plainsql.layers.{layer}")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, Query) and value.name == f"{layer}.{info.name}.{name}":
                found[f"{info.name}.{name}"] = value
    return found


@contextmanager
def application_url(url: str, role: str) -> Generator[str]:
    """Yield the URL of the same database as a login role that is a member of ``role`` and no more."""
    login, password = f"{role}_{secrets.token_hex(6)}", secrets.token_hex(16)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create role {} login password {} in role {}").format(
                sql.Identifier(login), sql.Literal(password), sql.Identifier(role)
            )
        )
        try:
            yield _url_of(url, login, password)
        finally:
            # A pool that was just closed may still have sessions.
            admin.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = %s", [login]
            )
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


@asynccontextmanager
async def open_isolation(url: str, layer: TenantLayer, **options: Any) -> AsyncGenerator[Isolation]:
    """Fill a database for both tenants and yield its checks, with a login role of the application.

    ``url`` is a superuser's, of a database of its own that has the layer's migrations and no rows.
    ``options`` are those of ``plainsql.connect``.
    """
    # A call that would wait for the other tenant fails instead: no other session holds locks here.
    settings = {"lock_timeout": "3s"}
    with psycopg.connect(url, autocommit=True) as admin, application_url(url, layer.role) as application:
        async with plainsql.connect(application, max_size=8, server_settings=settings, **options) as db:
            isolation = Isolation(db, admin, layer)
            await isolation.fill()
            yield isolation


class Isolation:
    """Two tenants in one database, and the checks that neither sees the other."""

    def __init__(self, db: plainsql.Database, admin: psycopg.Connection[Any], layer: TenantLayer) -> None:
        self.db = db
        """The application's connections, without a tenant."""
        self.admin = admin
        self.layer = layer
        self.queries: dict[str, Query[..., Any, Any]] = queries_of(layer.name)
        self.tables = self._tables()
        self._filled: dict[object, Any] = {}
        self._known: set[object] = set()

    # -- The rows

    async def fill(self) -> None:
        """Insert both tenants' rows, and keep copies to restore."""
        for tenant in self.layer.tenants:
            self._filled[tenant] = await self.layer.fill(self.db.tenant(tenant), tenant)
        self.admin.execute("create schema if not exists kept")
        for table in self.tables:
            self._run("create table {kept} as select * from {table}", table)
            self._known.update(
                value for row in self._all("select * from {table}", table) for value in row if _is_key(value)
            )
            for tenant in self.layer.tenants:
                assert self._rows_of(tenant)[table], f"{table}: fill() entered no row of tenant {tenant}"

    def restore(self, *tenants: object) -> None:
        """Put the tables back to the rows of these tenants, without triggers."""
        column = sql.Identifier(self.layer.tenant_column)
        with self.admin.transaction():
            self.admin.execute("set local session_replication_role = replica")
            for table in self.tables:
                self._run("delete from {table}", table)  # Far faster than truncate, which creates new files.
                columns = sql.SQL(", ").join(map(sql.Identifier, self._columns(table)))
                self.admin.execute(
                    sql.SQL(
                        "insert into {} ({columns}) overriding system value "
                        "select {columns} from kept.{} where {column}::text = any (%s)"
                    ).format(self._table(table), sql.Identifier(table), columns=columns, column=column),
                    [[str(tenant) for tenant in tenants]],
                )

    def arguments(self, name: str, tenant: object) -> dict[str, Any]:
        """Return the arguments of a query for a tenant."""
        return self.layer.arguments[name](self._filled[tenant])

    # -- The checks

    async def check_all(self) -> None:
        """Run every check."""
        self.check_every_query_has_arguments()
        self.check_policies()
        self.check_privileges()
        await self.check_tables()
        for name in self.queries:
            await self.check_query(name)

    async def check_query(self, name: str) -> None:
        """Run every check of one query, from both sides."""
        one, other = self.layer.tenants
        await self.check_is_unaware(name, one, other)
        await self.check_is_unaware(name, other, one)
        await self.check_waits_for_nobody(name, one, other)
        await self.check_needs_a_tenant(name)
        await self.check_calls_at_once(name)

    def check_every_query_has_arguments(self) -> None:
        """Check that every query of the layer has arguments: a new one must have some."""
        missing = sorted(set(self.queries) - set(self.layer.arguments))
        assert not missing, f"say what these are called with: {missing}"
        gone = sorted(set(self.layer.arguments) - set(self.queries))
        assert not gone, f"there are no such queries: {gone}"

    def check_policies(self) -> None:
        """Check that every table has the tenant, never null, and policies that bind its owner too."""
        for table in self.tables:
            (row,) = self.admin.execute(
                """
                select
                  c.relrowsecurity and c.relforcerowsecurity,
                  exists (select from pg_policy as p where p.polrelid = c.oid),
                  exists (
                    select from pg_attribute as a
                    where a.attrelid = c.oid and a.attname = %s and a.attnotnull
                  )
                from pg_class as c
                where c.oid = %s::regclass
                """,
                [self.layer.tenant_column, f"{self.layer.name}.{table}"],
            ).fetchall()
            assert row[0], f"{table}: row-level security is not enabled and forced"
            assert row[1], f"{table}: there is no policy"
            assert row[2], f"{table}: {self.layer.tenant_column} is missing or may be null"

    def check_privileges(self) -> None:
        """Check that the application's role can neither bypass the policies nor change them."""
        name, role = self.layer.name, self.layer.role
        (attributes,) = self.admin.execute(
            """
            select r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolcanlogin
            from pg_roles as r where r.rolname = %s
            """,
            [role],
        ).fetchall()
        assert not any(attributes), f"{role} may more than an application needs: {attributes}"
        owned = self.admin.execute(
            """
            select c.oid::regclass::text from pg_class as c
            where c.relnamespace = %s::regnamespace
              and (pg_has_role(%s, c.relowner, 'usage') or has_schema_privilege(%s, %s, 'create'))
            """,
            [name, role, role, name],
        ).fetchall()
        assert not owned, f"{role} owns {owned}, or may create objects beside them"
        for table in self.tables:
            for verb in ("truncate", "references", "trigger"):
                (row,) = self.admin.execute(
                    "select has_table_privilege(%s, %s, %s)", [role, f"{name}.{table}", verb]
                ).fetchall()
                assert not row[0], f"{role} may {verb} {table}"

    async def check_tables(self) -> None:
        """Check that a tenant reads and writes its own rows only, by the policies alone."""
        self.restore(*self.layer.tenants)
        one, other = self.layer.tenants
        column = self.layer.tenant_column
        for table in self.tables:
            place = f'"{self.layer.name}"."{table}"'
            async with self.db.tenant(one).transaction() as tx:
                fetch = tx.connection.fetch
                seen = {str(row[0]) for row in await fetch(f'select "{column}" from {place}')}
                assert seen == {str(one)}, f"{table}: tenant {one} sees the rows of {seen or 'nobody'}"
            async with self.db.acquire() as connection:
                seen = {str(row[0]) for row in await connection.fetch(f'select "{column}" from {place}')}
                assert not seen, f"{table}: without a tenant the rows of {seen} are seen"
            names = [f'"{name}"' for name in self._columns(table)]
            values = [f"'{other}'" if name == f'"{column}"' else name for name in names]
            copy = (
                f"insert into {place} ({', '.join(names)}) overriding system value "
                f"select {', '.join(values)} from {place}"
            )
            await self._expect_refusal(copy, f"{table}: tenant {one} made rows of {other}")
            move = f"""update {place} set "{column}" = '{other}'"""
            await self._expect_refusal(move, f"{table}: tenant {one} gave rows to {other}")

    async def check_is_unaware(self, name: str, tenant: object, other: object) -> None:
        """Check that a call returns the same with or without the other tenant, and leaves its rows alone."""
        self.restore(tenant)
        alone = await self._result(name, tenant)
        assert alone, f"{name}: found or changed nothing, which shows nothing"
        after = {table: len(rows) for table, rows in self._rows_of(tenant).items()}

        self.restore(tenant, other)
        theirs = self._rows_of(other)
        beside = await self._result(name, tenant)
        assert beside == alone, f"{name}: {alone} alone, {beside} beside another tenant"
        # With ctid, xmin and xmax, which show a row that was locked or rewritten unchanged.
        assert self._rows_of(other) == theirs, f"{name}: a row of another tenant was changed or locked"
        left = {table: len(rows) for table, rows in self._rows_of(tenant).items()}
        assert left == after, f"{name}: left {after} rows alone, {left} beside another tenant"

    async def check_waits_for_nobody(self, name: str, one: object, other: object) -> None:
        """Check that a call does not wait while the other tenant's transaction has locked all its rows, and
        has made the same call.
        """
        self.restore(other)
        alone = await self._result(name, other)
        self.restore(one, other)
        async with self.db.tenant(one).transaction() as tx:
            for table in self.tables:
                await self._lock_all(tx, table)
            await self.queries[name](tx, **self.arguments(name, one))
            try:
                beside = await self._result(name, other)
            except LockNotAvailableError:
                raise AssertionError(f"{name}: waits for another tenant's transaction") from None
        assert beside == alone, f"{name}: {alone} alone, {beside} while another tenant is at work"

    async def check_needs_a_tenant(self, name: str) -> None:
        """Check that a call without a tenant finds nothing and changes nothing."""
        self.restore(*self.layer.tenants)
        before = self._everything()
        for tenant in self.layer.tenants:
            query, given = self.queries[name], self.arguments(name, tenant)
            try:
                found = await query(self.db, **given)
            except (PostgresError, plainsql.NoRowError, TenantError):
                found = None  # A refusal is as good.
            assert not found, f"{name}: without a tenant it found {_shape(found, self._known)}"
            # The server itself gives the same answer: it does not rely on plainsql to require a tenant.
            plan, values = query.compiled.text(query.compiled.bind((), given))
            try:
                async with self.db.acquire() as connection:
                    rows = await connection.fetch(plan.sql, *values)
            except PostgresError:
                rows = []
            assert not any(any(row.values()) for row in rows), f"{name}: without a tenant it found {rows}"
        assert self._everything() == before, f"{name}: without a tenant it changed something"

    async def check_calls_at_once(self, name: str) -> None:
        """Check that concurrent reads of both tenants, run as batched statements, return their own rows."""
        if not self.queries[name].compiled.read_only:
            return
        self.restore(*self.layer.tenants)
        both = self.layer.tenants * 8
        expected = {tenant: await self._result(name, tenant) for tenant in self.layer.tenants}
        found = await asyncio.gather(*(self._result(name, tenant) for tenant in both))
        for tenant, result in zip(both, found, strict=True):
            assert result == expected[tenant], f"{name}: tenant {tenant} got another's, called at once"

    # -- Parts of the checks

    async def _result(self, name: str, tenant: object) -> Any:
        """Return a call's result without the values that always differ; each row must be the tenant's."""
        result = await self.queries[name](self.db.tenant(tenant), **self.arguments(name, tenant))
        for row in result if isinstance(result, list) else [result]:
            whose = getattr(row, self.layer.tenant_column, tenant)
            assert str(whose) == str(tenant), f"{name}: tenant {tenant} got a row of {whose}"
        return _shape(result, self._known)

    async def _lock_all(self, tx: plainsql.Transaction, table: str) -> None:
        place = f'"{self.layer.name}"."{table}"'
        try:
            async with tx.transaction() as savepoint:
                await savepoint.connection.execute(f"select from {place} for update")
        except InsufficientPrivilegeError:
            pass  # The application may neither change nor lock these rows.

    async def _expect_refusal(self, statement: str, otherwise: str) -> None:
        try:
            async with self.db.tenant(self.layer.tenants[0]).transaction() as tx:
                await tx.connection.execute(statement)
        except InsufficientPrivilegeError:
            return
        except PostgresError as error:
            raise AssertionError(f"{otherwise}, but for: {error}") from error
        raise AssertionError(otherwise)

    def _rows_of(self, tenant: object) -> dict[str, list[tuple[Any, ...]]]:
        """Return a tenant's rows by table, with their ctid and the transactions that touched them."""
        column = sql.Identifier(self.layer.tenant_column)
        return {
            table: self.admin.execute(
                sql.SQL(
                    "select t.ctid::text, t.xmin::text, t.xmax::text, t::text from {} as t "
                    "where {}::text = %s order by t.ctid"
                ).format(self._table(table), column),
                [str(tenant)],
            ).fetchall()
            for table in self.tables
        }

    def _everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: self._all("select t::text from {table} as t order by 1", table) for table in self.tables
        }

    def _tables(self) -> list[str]:
        found = self.admin.execute(
            "select c.relname from pg_class as c "
            "where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p') order by c.relname",
            [self.layer.name],
        ).fetchall()
        return [name for (name,) in found]

    def _columns(self, table: str) -> list[str]:
        found = self.admin.execute(
            "select a.attname from pg_attribute as a where a.attrelid = %s::regclass "
            "and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum",
            [f"{self.layer.name}.{table}"],
        ).fetchall()
        return [name for (name,) in found]

    def _table(self, table: str) -> sql.Identifier:
        return sql.Identifier(self.layer.name, table)

    def _run(self, statement: str, table: str) -> psycopg.Cursor[Any]:
        text: Any = statement
        return self.admin.execute(
            sql.SQL(text).format(table=self._table(table), kept=sql.Identifier("kept", table))
        )

    def _all(self, statement: str, table: str) -> list[tuple[Any, ...]]:
        return self._run(statement, table).fetchall()


def _is_key(value: object) -> bool:
    return isinstance(value, UUID | int) and not isinstance(value, bool)


def _shape(value: Any, known: set[object]) -> Any:
    """Return a result without the values that differ in another call: times, and ids that the call made."""
    if isinstance(value, list):
        return [_shape(item, known) for item in value]
    if isinstance(value, Row):
        return {
            name: _shape(item, known) if not (name == "id" and item not in known) else "made"
            for name, item in zip(value.__struct_fields__, _fields(value), strict=True)
        }
    if isinstance(value, datetime):
        return "a time"
    return value


def _fields(row: Row) -> list[Any]:
    return [getattr(row, name) for name in row.__struct_fields__]


def _url_of(url: str, user: str, password: str) -> str:
    """The same database as another role."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    options = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password")]
    netloc = f"{quote(user)}:{quote(password)}@{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(options)))
