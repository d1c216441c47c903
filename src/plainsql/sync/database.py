"""The database as a synchronous executor: queries on one psycopg connection, which is replaced when lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, TypeVar

import psycopg

from plainsql.options import check
from plainsql.query import Args, CompiledQuery
from plainsql.sync.admission import Admission
from plainsql.sync.execution import execute, iterate
from plainsql.sync.outcome import add_note
from plainsql.sync.session import Session
from plainsql.sync.transaction import Isolation, Transaction, begin
from plainsql.tenancy import Tenant, local_settings, tenant_of

__all__ = ["Database", "TenantDatabase", "Terms"]

R = TypeVar("R")
T = TypeVar("T")


class Terms(NamedTuple):
    """What a database was told when it was connected."""

    name: str
    """The URL without its password."""
    prefetch: int
    tenant_settings: tuple[str, str]


class _Executor:
    """Runs queries as one tenant, or as nobody, on the session that all views of a database share."""

    def __init__(self, session: Session, terms: Terms, admission: Admission, tenant: Tenant | None) -> None:
        self._session = session
        self._terms = terms
        self._admission = admission
        self._tenant = tenant
        parts = [] if session.local_settings is None else [session.local_settings]
        if parts or tenant is not None:
            parts.append(local_settings(tenant, terms.tenant_settings))
        self._local = "; ".join(parts)
        """The statements that make a transaction the tenant's; empty if it needs none: a call is no
        transaction then."""

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query and commit what it did."""
        session = self._session
        with session.lock:
            session.check_free()
            session.revive()
            is_again = False
            while True:
                try:
                    return self._run(query, args)
                except (psycopg.Error, OSError) as error:
                    if not is_again and self._may_run_again(query, error):
                        is_again = True
                        session.reopen()
                        continue
                    add_note(session, error, read_only=query.read_only)
                    raise

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction of its own."""
        with self._begin(f"the rows of {query.name}") as transaction:
            if self._tenant is None:
                self._admission.check(self._session, query)
            for row in iterate(self._session, query, args, self._terms.prefetch):
                yield row
                transaction.check_usable()

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[Transaction]:
        """Open a transaction: ``with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) where it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.

        Raises ``TransactionError`` where a transaction is open, and where the block ends well although one of
        its statements failed: nothing is committed then.
        """
        with self._begin("a transaction", isolation, read_only, deferrable) as transaction:
            yield transaction

    def _begin(self, holder: str, *options: Any) -> Any:
        admission = self._admission if self._tenant is None else None
        return begin(self._session, self._terms.prefetch, admission, holder, self._local, *options)

    def _run(self, query: CompiledQuery[Any, R], args: Args) -> R:
        session = self._session
        if not self._local:
            if self._tenant is None:
                self._admission.check(session, query, lasting=True)
            return execute(session, query, args)
        session.run_script(f"begin; {self._local}")
        try:
            if self._tenant is None:
                self._admission.check(session, query)
            result = execute(session, query, args)
        except BaseException:
            session.rollback()
            raise
        session.run_script("commit")
        return result

    def _may_run_again(self, query: CompiledQuery[Any, Any], error: BaseException) -> bool:
        """Say whether a call that failed changes nothing, or has changed nothing, and may end better on
        another connection.
        """
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            # The server is the primary no more: the next connection may find the one that is.
            return self._session.may_leave_read_only_server()
        return query.read_only and self._session.is_lost and not isinstance(error, TimeoutError)


class TenantDatabase(_Executor):
    """A database as one tenant sees it: each call is a transaction with the tenant's settings."""

    def __repr__(self) -> str:
        return f"<TenantDatabase {self._terms.name}>"


class Database(_Executor):
    """A PostgreSQL database on one connection: an executor for scripts.

    Made by ``plainsql.sync.connect``. Every call commits by itself, outside of ``transaction()``. Threads may
    share it: their calls take turns. While a transaction or a stream is open, the connection is its own, and
    a call on the database raises ``TransactionError``. The next call replaces a connection that is lost.
    """

    def __init__(self, session: Session, terms: Terms, *, on_close: Callable[[], object]) -> None:
        super().__init__(session, terms, Admission(terms.tenant_settings[0]), None)
        self._on_close = on_close

    def tenant(self, tenant_id: object, *, user_id: object = None) -> TenantDatabase:
        """Return the database as a tenant sees it, for row-level security.

        Every call on it is a transaction that begins with the settings ``app.jwt_tenant`` and
        ``app.jwt_user`` (``connect`` can name others), as ``str`` of what is given here; ``app.jwt_user`` is
        empty without a user. It shares the connection.
        """
        check("tenant", tenant_id=tenant_id, user_id=user_id)
        tenant = tenant_of(self._terms.tenant_settings, tenant_id, user_id)
        return TenantDatabase(self._session, self._terms, self._admission, tenant)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection, in autocommit mode, for what queries cannot say: COPY, LISTEN.

        It is another one after a loss: take it anew each time.
        """
        with self._session.lock:
            if self._session.holder is None:
                self._session.revive()
            self._session.check_usable()
            return self._session.connection

    def close(self) -> None:
        """Close the connection. An open transaction is rolled back."""
        self._session.close()
        self._on_close()

    def __repr__(self) -> str:
        return f"<Database {self._terms.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
