"""Query objects, as users call them.

A generated module makes them from functions. The function *is* the signature: it takes the query's parameters
by name and returns them in the order in which the SQL has them. ``plainsql.load`` makes the same objects at
run time. Both keep the text of the file as it was reviewed, and compile it on the first call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import replace
from inspect import Signature as CallSignature
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, overload

from plainsql.errors import BindError
from plainsql.executors import AsyncExecutor, SyncExecutor
from plainsql.query.binding import Binder
from plainsql.query.compiled import (
    CompiledCount,
    CompiledMany,
    CompiledOne,
    CompiledOptional,
    CompiledQuery,
    QueryFacts,
)
from plainsql.query.compiled_columns import CompiledColumns, columns_of_query, streamed_columns
from plainsql.query.pages import Page, PageCalls, PageRequest
from plainsql.query.parameter_sets import bind_sets
from plainsql.query.texts import QueryTexts
from plainsql.types import Args

__all__ = ["CountQuery", "ManyQuery", "OneQuery", "OptionalQuery", "PagedQuery", "Query", "QueryFile"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from plainsql.columns import Columns

    S = TypeVarWithDefault("S", bound=Mapping[str, Any], default=Any)
    """A set of parameters: the ``TypedDict`` of the generated module."""

    class _Typed(Generic[P, T, R, S]): ...
else:
    # Python 3.11 has no default for a type variable, so the brackets take any number of types here.
    S = Any

    class _Typed:
        __class_getitem__ = classmethod(GenericAlias)


_NO_FACTS = QueryFacts()


class _ShownSignature:
    """The ``__signature__`` of a query object, for `inspect` and completion; the class itself has none."""

    def __get__(self, query: QueryFile[..., Any, Any] | None, owner: type) -> CallSignature | None:
        return None if query is None else query.signature


class QueryFile(_Typed[P, T, R, S]):
    """One SQL file as an object: what the query objects of every kind have."""

    kind: ClassVar[str]
    """``one``, ``optional``, ``many``, ``count`` or ``copied``."""
    compiled: CompiledQuery[T, R]
    """The query as executors run it."""
    __signature__ = _ShownSignature()

    _compiled_class: ClassVar[type[CompiledQuery[Any, Any]]]

    def __init__(
        self,
        name: str,
        path: str,
        line: int,
        body: str,
        bind: Callable[P, Args],
        item: Any,
        facts: QueryFacts = _NO_FACTS,
    ) -> None:
        self._bind = bind
        texts = QueryTexts(name, path, line, body, facts.settings, facts.setting_parameters)
        self.compiled = self._compiled_class(texts, bind, item, facts)
        self.__doc__ = bind.__doc__
        self.__module__ = bind.__module__

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By reference, as a function is: the name that it was declared under is this object's. One that was
        # loaded has no such name; the other process compiles it again.
        if isinstance(self._bind, Binder):
            texts = self.compiled.texts
            source = (texts.name, texts.path, texts.line, texts.body)
            return type(self), (*source, self._bind, None, self.compiled.facts)
        bind: Any = self._bind
        return str(bind.__qualname__)

    def __repr__(self) -> str:
        # ``help`` shows it as the heading of an object that is no function.
        folder = self.name.rpartition(".")[0]
        call = f"{folder}." * bool(folder) + self.compiled.signature.text()
        return f"<{type(self).__name__} {call} ({self.file})>"

    @property
    def name(self) -> str:
        """The path as a name: ``realty.leads.get_by_id``."""
        return self.compiled.name

    @property
    def file(self) -> str:
        """The SQL file, relative to the project."""
        return self.compiled.file

    @property
    def sql(self) -> str:
        """The statement as the file has it, with ``:name`` for parameters."""
        return self.compiled.sql

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, in the order of the SQL, then of its choices."""
        return self.compiled.parameters

    @property
    def item(self) -> Any:
        """The type of a row or a single value; None until the first call if the query was loaded."""
        return self.compiled.item

    @property
    def signature(self) -> CallSignature:
        """The signature of a call, with the annotations of the parameters and of the result."""
        return self.compiled.signature.inspected(self.kind, self.compiled.item)


class Query(QueryFile[P, T, R, S]):
    """One SQL file. Calling it with an executor and its parameters, by name, runs it."""

    _columnar: CompiledColumns | None = None
    """The query of its columns, from the first call of ``columns`` on."""

    @overload
    def __call__(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def __call__(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the query. Awaitable if the executor is asynchronous.

        Raises ``BindError`` if parameters are missing, unknown or out of bounds, before anything is sent.
        """
        if args:
            self.compiled.bind(args, kwargs)  # raises the error
        function: Callable[..., Args] = self._bind
        try:
            values = function(**kwargs)
        except TypeError as error:
            raise self.compiled.signature.refusal(error, kwargs) from None
        try:
            run = db.run
        except AttributeError:
            raise self.compiled.signature.executor_error(db) from None
        return run(self.compiled, values)

    @overload
    def stream(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]: ...
    @overload
    def stream(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]: ...
    def stream(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Iterate over the rows as they come, in constant memory, through a cursor of the server.

        The iterator holds a connection until it is exhausted or closed. Of parents with lists of child rows,
        one is in memory at a time. Raises ``ContractError`` if their rows are not proved to follow one
        another.
        """
        self.compiled.refuse_scattered()
        values = self.compiled.bind(args, kwargs)
        try:
            # SQLAlchemy's connections have a `stream` of their own, and no `run`.
            stream, _ = db.stream, db.run
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "stream") from None
        return stream(self.compiled, values)

    @overload
    def columns(
        self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Columns]: ...
    @overload
    def columns(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Columns: ...
    def columns(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the query and return its rows as columns in Arrow's format, which data frames take as they are.

        They hold the values of the rows; the rows of a cache are not used. Raises ``ContractError`` for a
        column whose type has no type in Arrow, ``DecodeError`` for a value that its column cannot hold.
        """
        values = self.compiled.bind(args, kwargs)
        if self._columnar is None:
            self._columnar = columns_of_query(self.compiled)
        try:
            run = db.run
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "columns") from None
        return run(self._columnar, values)

    @overload
    def stream_columns(
        self, db: AsyncExecutor, block_rows: int = 10_000, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[Columns]: ...
    @overload
    def stream_columns(
        self, db: SyncExecutor, block_rows: int = 10_000, /, *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[Columns]: ...
    def stream_columns(self, db: Any, block_rows: int = 10_000, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Iterate over the rows as columns, ``block_rows`` of them at a time, through a cursor of the server.

        All blocks have the same types. The iterator holds a connection until it is exhausted or closed.
        """
        query = streamed_columns(self.compiled, block_rows)
        values = self.compiled.bind(args, kwargs)
        try:
            stream, _ = db.stream, db.run
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "stream_columns") from None
        return stream(query, values)

    @overload
    def fresh(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def fresh(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def fresh(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the query on PostgreSQL, even if its result is cached."""
        values = self.compiled.bind(args, kwargs)
        try:
            run = getattr(db, "fresh", None) or db.run
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "fresh") from None
        return run(self.compiled, values)

    @overload
    def batch(self, db: AsyncExecutor, sets: Iterable[S], /) -> Coroutine[Any, Any, list[R]]: ...
    @overload
    def batch(self, db: SyncExecutor, sets: Iterable[S], /) -> list[R]: ...
    def batch(self, db: Any, sets: Iterable[S], /) -> Any:
        """Run the query once for each set of parameters, all or none; return the results in their order.

        Calls share round trips. Raises ``BindError``, with the number of the set, if one does not fit.
        """
        compiled = self.compiled
        try:
            run = db.batch
        except AttributeError:
            raise compiled.signature.executor_error(db, "batch") from None
        return run(compiled, bind_sets(compiled.name, compiled.bind, sets))

    @overload
    def execute_many(self, db: AsyncExecutor, sets: Iterable[S], /) -> Coroutine[Any, Any, None]: ...
    @overload
    def execute_many(self, db: SyncExecutor, sets: Iterable[S], /) -> None: ...
    def execute_many(self, db: Any, sets: Iterable[S], /) -> Any:
        """Run the query for each set of parameters, pipelined, all or none; its results are dropped."""
        compiled = self.compiled
        try:
            run = db.execute_many
        except AttributeError:
            raise compiled.signature.executor_error(db, "execute_many") from None
        return run(compiled, bind_sets(compiled.name, compiled.bind, sets))


class OneQuery(Query[P, T, T, S]):
    """A query that returns exactly one row, or its single value."""

    kind = "one"
    _compiled_class = CompiledOne


class OptionalQuery(Query[P, T, "T | None", S]):
    """A query that returns a row, or its single value, or None if there is no row."""

    kind = "optional"
    _compiled_class = CompiledOptional


class ManyQuery(Query[P, T, list[T], S]):
    """A query that returns a list of rows, or of single values."""

    kind = "many"
    _compiled_class = CompiledMany


class PagedQuery(ManyQuery[P, T, S]):
    """A query that returns a list of rows, and pages of them by their key."""

    _calls: PageCalls[T] | None = None

    @overload
    def page(
        self, db: AsyncExecutor, request: PageRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Page[T]]: ...
    @overload
    def page(
        self, db: SyncExecutor, request: PageRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> Page[T]: ...
    def page(self, db: Any, request: PageRequest, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Read one page: the rows behind the last one of the page before, in the query's own order.

        Raises ``PageTokenError`` if ``request.after`` is no token of these pages.
        """
        compiled = self.compiled
        values = compiled.bind(args, kwargs)
        try:
            run = db.run
        except AttributeError:
            raise compiled.signature.executor_error(db, "page") from None
        given: Any = request
        if not isinstance(given, PageRequest):
            raise BindError(
                f"{compiled.name}: expected a PageRequest, got {type(given).__name__}",
                hint="pass plainsql.PageRequest(size=20, after=token)",
            )
        if self._calls is None:
            self._calls = PageCalls(compiled, compiled.facts.pages, self._derive)
        return self._calls.page(run, request, values)

    def _derive(self, texts: Any, kind: str) -> CompiledQuery[Any, Any]:
        """Make a compiled query of other texts, which returns this query's rows or one number."""
        facts = replace(self.compiled.facts, by_key=False, cache=None, changes=(), autobatch=False, pages=())
        if kind == "many":
            return CompiledMany(texts, self._bind, self.compiled.item, facts)
        return CompiledOne(texts, self._bind, int, replace(facts, more_columns=False, not_null=()))


class CountQuery(Query[P, Any, int, S]):
    """A query that returns the number of rows it affected."""

    kind = "count"
    _compiled_class = CompiledCount
