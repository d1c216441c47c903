"""Query objects: one SQL file as a callable, for every executor.

A generated module makes them from functions. The function *is* the signature: it takes the query's parameters
by name and returns them in the order in which the SQL has them. ``plainsql.load`` makes the same objects at
run time. Both keep the text of the file as it was reviewed, and compile it on the first call.

Nothing here knows a driver: an executor asks a query for the text to send (``plan``) and hands it the records
that came back (``result``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    TypeVar,
    cast,
)
from typing import overload as _overload

from plainsql.binding import Args, Binder, NullError, bounded
from plainsql.description import Described, Expectation, expectations, mismatch
from plainsql.errors import BindError, ContractError, PlainsqlError
from plainsql.executors import AsyncExecutor, SyncExecutor
from plainsql.reach import CachedRead, Change
from plainsql.rows import (
    Build,
    Record,
    Row,
    bits,
    builder,
    composite,
    dynamic_row,
    elements,
    is_plain,
    refusing_null,
    tuples,
    value_builder,
    width,
)
from plainsql.sets import bind_sets
from plainsql.signature import CallSignature, Signature, not_one, unfit_detail
from plainsql.statements import compile_body
from plainsql.types import UNSET, Json

if TYPE_CHECKING:
    from plainsql.statements import Compiled, Variant

__all__ = [
    "Args",
    "Binder",
    "CountQuery",
    "Described",
    "Effect",
    "ManyQuery",
    "NullError",
    "OneQuery",
    "OptionalQuery",
    "Plan",
    "Query",
    "bits",
    "bounded",
    "composite",
    "count",
    "elements",
    "many",
    "one",
    "optional",
    "tuples",
]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


Effect = Literal["reads", "writes", "unknown"]
"""What is proved of a statement, in all its variants: it changes nothing and leaves nothing behind in the
session; it leaves nothing behind in the session; nothing."""


class Plan(NamedTuple):
    """The text to send for one combination of optional lines and choices."""

    sql: str
    picks: tuple[int, ...] | None
    """Which arguments it takes, by position; None: all of them as they come."""
    variant: Variant


class Query(Generic[P, T, R]):
    """One SQL file. Calling it with an executor and its parameters, by name, runs it."""

    kind: ClassVar[str]
    __signature__ = CallSignature()

    def __init__(
        self,
        name: str,
        path: str,
        line: int,
        body: str,
        bind: Callable[P, Args],
        item: Any,
        effect: Effect = "unknown",
        joins: bool = False,
        row_security: Mapping[str, tuple[str, ...]] | None = None,
        cache: CachedRead | None = None,
        changes: tuple[Change, ...] = (),
        pipelines: bool = True,
        more_columns: bool = False,
        not_null: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        """The path as a name: ``realty.leads.get_by_id``."""
        self.effect = effect
        """What is proved of it; ``plainsql generate`` says."""
        self.joins = joins
        """Whether concurrent calls may run as one statement: a read by a unique key, whose plan and rows are
        the same in that form."""
        self.pipelines = pipelines
        """Whether concurrent calls may share a round trip, if it only reads."""
        self.more_columns = more_columns
        """Whether columns that the tables gain are left out at the end of a row: the text has a ``*`` and the
        header allows it."""
        self.row_security = row_security
        """By table: settings of the session without which row-level security lets nothing of it through."""
        self.cache = cache
        """How it is cached, and what it depends on; ``None``: not at all."""
        self.changes = changes
        """What it may change, for cached reads; ``plainsql.load`` knows nothing: ``EVERYTHING``."""
        self.not_null = not_null
        """Columns of which its header alone says that they are never null: a null raises ``DecodeError``."""
        self._source = (path, line, body)
        self._bind = bind
        self._item = item
        self._build: Build | None = None
        self._make: Callable[..., T] | None = None
        """Makes a row of a record's values, where they need nothing on their way."""
        self._compiled: Compiled | None = None
        self._static: Plan | None = None
        self._plans: dict[Args, Plan] = {}
        self._dynamic: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self.compared = False
        """Whether a description of its result was compared with its row type."""
        self._expected: tuple[Expectation, ...] = ()
        self._fitting: set[tuple[Described, ...]] = set()
        """The descriptions that were compared and fit."""
        self.__doc__ = bind.__doc__
        self.__module__ = bind.__module__

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By reference, as a function is: the name it was declared under is this object's. One that was
        # loaded has no such name; the other process compiles it anew.
        if isinstance(self._bind, Binder):
            facts = (self.effect, self.joins, self.row_security, self.cache, self.changes)
            more = (self.pipelines, self.more_columns, self.not_null)
            return type(self), (self.name, *self._source, self._bind, None, *facts, *more)
        bind: Any = self._bind
        return str(bind.__qualname__)

    @_overload
    def __call__(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @_overload
    def __call__(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def __call__(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the query. Awaitable where the executor is.

        Raises ``BindError`` where parameters are missing, unknown or out of bounds, before anything is sent.
        """
        if args:
            self.bind(args, kwargs)  # says what is wrong
        function: Callable[..., Args] = self._bind
        try:
            values = function(**kwargs)
        except TypeError as error:
            raise self._signature.refusal(error, kwargs) from None
        try:
            run = db.run
        except AttributeError:
            raise self._signature.not_an_executor(db) from None
        return run(self, values)

    @_overload
    def stream(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]: ...
    @_overload
    def stream(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]: ...
    def stream(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Iterate over the rows as they come, in constant memory, through a cursor of the server.

        The iterator holds a connection until it is exhausted or closed.
        """
        values = self.bind(args, kwargs)
        try:
            stream = db.stream
        except AttributeError:
            raise self._signature.not_an_executor(db, "stream") from None
        return stream(self, values)

    @_overload
    def fresh(self, db: AsyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @_overload
    def fresh(self, db: SyncExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def fresh(self, db: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the query on PostgreSQL, whatever is stored of it."""
        values = self.bind(args, kwargs)
        try:
            run = getattr(db, "run_fresh", None) or db.run
        except AttributeError:
            raise self._signature.not_an_executor(db, "fresh") from None
        return run(self, values)

    def batch(self, db: AsyncExecutor, sets: Iterable[Mapping[str, Any]], /) -> Coroutine[Any, Any, list[R]]:
        """Run the query once for each set of parameters, all or none; the results in the order of the sets.

        Reads go as one statement, writes that return exactly one row in one round trip; other writes one
        after the other in one transaction.
        """
        self._signature.check_many(db, "run_batch")
        return db.run_batch(self, bind_sets(self.name, self.bind, sets))

    def execute_many(
        self, db: AsyncExecutor, sets: Iterable[Mapping[str, Any]], /
    ) -> Coroutine[Any, Any, None]:
        """Run the query for each set of parameters, pipelined, all or none; its results are dropped."""
        self._signature.check_many(db, "run_many")
        return db.run_many(self, bind_sets(self.name, self.bind, sets))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.file})>"

    @property
    def item(self) -> Any:
        """The type of a row or a single value; ``None`` where it is not known yet."""
        return self._item

    @property
    def file(self) -> str:
        """The SQL file, relative to the project."""
        return self._source[0]

    @property
    def sql(self) -> str:
        """The statement as the file has it, with ``:name`` for parameters."""
        return self._source[2]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names it takes, in the order of the SQL, then the names of its choices."""
        compiled = self._compile()
        return (*compiled.parameters, *compiled.choices)

    # For executors ------------------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Args:
        """Put a call's parameters in the order of the SQL."""
        if args:
            raise BindError(
                f"{self.name}: parameters are given by name, got {len(args)} by position",
                hint=f"call {self._signature.text()}",
            )
        function: Callable[..., Args] = self._bind
        try:
            return function(**kwargs)
        except TypeError as error:
            raise self._signature.refusal(error, kwargs) from None

    def plan(self, args: Args) -> tuple[Plan, Args]:
        """Return the text to send for these arguments, and the arguments that it takes in order."""
        if (plan := self._static) is not None:
            return plan, args
        compiled = self._compile()
        if (plan := self._static) is not None:
            return plan, args
        optional, choices = self._dynamic
        key = (*(args[i] is not UNSET for i in optional), *(args[i] for i in choices))
        try:
            plan = self._plans.get(key)
        except TypeError:  # a choice that is a list or the like: refused below
            plan = None
        if plan is None:
            plan = self._plan_variant(compiled, args)
            self._plans[key] = plan
        picks = plan.picks or ()
        return plan, tuple(args[i] for i in picks)

    def result(self, records: Sequence[Record]) -> R:
        """Build what the call returns from the records that came back."""
        raise TypeError(f"{type(self).__name__} has no result")

    @property
    def needs_columns(self) -> bool:
        """Whether ``adopt`` must be called before ``result``: the row type is not known yet."""
        return self._item is None

    def compare(self, columns: tuple[Described, ...]) -> None:
        """Compare the server's description of a result with the row type.

        Raises ``ContractError`` where it has other columns: rows are built by position.
        """
        if columns in self._fitting or self.kind == "count":
            self.compared = True
            return
        if not self._expected:
            self._expected = expectations(self._item)
        difference = mismatch(self._expected, columns, more=self.more_columns)
        if difference is not None:
            item: Any = self._item
            row = isinstance(item, type) and issubclass(item, Row)
            what = f"the row type {item.__name__}" if row else "its declared value"
            raise ContractError(
                f"{self.name}: the result does not fit {what}: {difference}",
                hint=f"the tables have changed since {self.file} was loaded or generated: generate again"
                + (", or name its columns instead of '*'" if "*" in self._source[2] else ""),
            )
        self._fitting.add(columns)
        self.compared = True

    def adopt(self, columns: Sequence[Described]) -> None:
        """Make the row type from the columns that the server describes."""
        self.compared = True
        if not columns:
            raise BindError(
                f"{self.name} returns no columns, its header says it does",
                hint=f"declare 'returns: count' in {self.file}",
            )
        # What returns nothing is null, whatever a header says.
        nothing = {column.name for column in columns if column.type_name == "void"}
        self.not_null = tuple(name for name in self.not_null if name not in nothing)
        row_name = getattr(self._bind, "row_name", None)
        if row_name is None:
            if len(columns) > 1:
                raise ContractError(
                    f"{self.name} returns {len(columns)} columns, its header says it returns a value",
                    hint=f"name a row in {self.file}, such as 'returns: many Thing'",
                )
            self._item = Json if columns[0].is_json else object
            return
        json = frozenset(index for index, column in enumerate(columns) if column.is_json)
        try:
            marks = getattr(self._bind, "marks", None)
            self._item = dynamic_row(row_name, [column.name for column in columns], json, marks)
        except ContractError as error:
            raise ContractError(
                f"{self.name}: {error.message}", hint=f"{error.hint}, in {self.file}"
            ) from None

    def build(self, records: Sequence[Record]) -> list[T]:
        """Build all rows, or single values."""
        if (build := self._build) is None:
            item: Any = self._item
            if isinstance(item, type) and issubclass(item, Row):
                build = builder(item)
                if self.more_columns:
                    build = _shortened(build, width(item))
                if is_plain(item) and not (self.more_columns or self.not_null):
                    self._make = cast("Callable[..., T]", item)
            else:
                build = value_builder(item, self.name)
            if self.not_null:
                build = refusing_null(build, item, self.not_null, self.name, self.file)
            self._build = build
        try:
            return build(records)
        except (TypeError, IndexError):
            item = self._item
            if records and isinstance(item, type) and issubclass(item, Row):
                found = len(records[0])
                if found < width(item) or (found > width(item) and not self.more_columns):
                    raise self._other_columns(found) from None
            raise

    def _first(self, records: Sequence[Record]) -> T:
        if (make := self._make) is not None:
            try:
                return make(*records[0])
            except TypeError:
                pass  # `build` says what is wrong
        return self.build(records)[0]

    def note(
        self, plan: Plan, position: str | None, *, sqlstate: str | None = None, message: str = ""
    ) -> str:
        """What an error of the server gets as its note: the query and its place.

        ``position`` is the server's: 1-based, in characters of the text that was sent; None where it gave
        none. Where ``message`` may speak of ``$1``, the note says it with the parameter's name.
        """
        at = int(position) if position and position.isdecimal() else None
        if "$" in message:
            # Errors alone need it.
            from plainsql.statements.refusals import refusal

            told = refusal(plan.variant, message, sqlstate=sqlstate, position=at)
            if told.message != message:
                said = PlainsqlError(told.message, place=told.place, hint=told.hint)
                return f"query: {self.name}\n{said}"
        if at is not None:
            place = plan.variant.place(at)
            caret = place.caret()
            return f"query: {self.name}\n{place}" + (f"\n{caret}" if caret else "")
        return f"query: {self.name} ({self.file})"

    def unfit(
        self,
        plan: Plan,
        index: int,
        expected: str,
        value: object,
        cause: BaseException | None = None,
        *,
        detail: str | None = None,
    ) -> BindError:
        """The error for the argument at ``index`` that is no value of the type ``expected``; it does not hold
        the value.
        """
        if detail is None:
            detail = unfit_detail(expected, value, cause)
        return BindError(
            f"{self.name}: {plan.variant.parameters[index]}: expected {expected}, got {type(value).__name__}",
            detail=detail,
            hint=f"see {self.file}",
        )

    # --------------------------------------------------------------------------------------------------

    def _compile(self) -> Compiled:
        if self._compiled is None:
            path, line, body = self._source
            compiled = compile_body(body, name=self.name, path=path, line=line)
            names = compiled.parameters
            choices = tuple(range(len(names), len(names) + len(compiled.choices)))
            optional = tuple(i for i, name in enumerate(names) if name in compiled.optional)
            self._dynamic = (optional, choices)
            if not optional and not choices:
                variant = compiled.variant()
                self._static = Plan(variant.sql, None, variant)
            self._compiled = compiled
        return self._compiled

    def _plan_variant(self, compiled: Compiled, args: Args) -> Plan:
        names = compiled.parameters
        given = {name for name, value in zip(names, args, strict=False) if value is not UNSET}
        chosen: dict[str, str] = {}
        for (name, values), value in zip(compiled.choices.items(), args[len(names) :], strict=True):
            if not isinstance(value, str) or value not in values:
                raise BindError(f"{self.name}: {name}: expected one of {', '.join(values)}")
            chosen[name] = value
        variant = compiled.variant(given, chosen)
        return Plan(variant.sql, tuple(names.index(name) for name in variant.parameters), variant)

    def _other_columns(self, found: int) -> ContractError:
        row: Any = self._item
        return ContractError(
            f"{self.name}: {row.__name__} has {width(row)} columns, the database returns {found}",
            hint=f"the tables have changed since {self.file} was loaded or generated: generate again, "
            "or name the columns",
        )

    @property
    def _signature(self) -> Signature:
        return Signature(self.name, self._bind)


class OneQuery(Query[P, T, T]):
    """A query that returns exactly one row, or its single value."""

    kind = "one"

    def result(self, records: Sequence[Record]) -> T:
        if len(records) != 1:
            raise not_one(self.name, self.file, len(records), optional=False)
        return self._first(records)


class OptionalQuery(Query[P, T, "T | None"]):
    """A query that returns a row, or its single value, or ``None`` where there is no row."""

    kind = "optional"

    def result(self, records: Sequence[Record]) -> T | None:
        if not records:
            return None
        if len(records) > 1:
            raise not_one(self.name, self.file, len(records), optional=True)
        return self._first(records)


class ManyQuery(Query[P, T, list[T]]):
    """A query that returns a list of rows, or of single values."""

    kind = "many"

    def result(self, records: Sequence[Record]) -> list[T]:
        return self.build(records)


class CountQuery(Query[P, Any, int]):
    """A query that returns the number of rows it affected."""

    kind = "count"

    def result(self, records: Sequence[Record]) -> int:
        return len(records)


def _shortened(build: Build, width: int) -> Build:
    """Make rows of the first ``width`` columns of each record."""
    return lambda records: build([record[:width] for record in records])


# The decorators of generated modules. ``one[Lead](name, path, line, sql)`` is a class to the type checker,
# which takes the item's type from the brackets; at run time the brackets hand it over as a value.


class _Declared:
    __slots__ = ("facts", "source")

    def __init__(
        self,
        name: str,
        path: str,
        line: int,
        body: str,
        /,
        effect: Effect = "unknown",
        joins: bool = False,
        row_security: Mapping[str, tuple[str, ...]] | None = None,
        cache: CachedRead | None = None,
        changes: tuple[Change, ...] = (),
        pipelines: bool = True,
        more_columns: bool = False,
        not_null: tuple[str, ...] = (),
    ) -> None:
        self.source = (name, path, line, body)
        self.facts: dict[str, Any] = {
            "effect": effect,
            "joins": joins,
            "row_security": row_security,
            "cache": cache,
            "changes": changes,
            "pipelines": pipelines,
            "more_columns": more_columns,
            "not_null": not_null,
        }


class _Declare(_Declared, Generic[T]):
    __slots__ = ("item",)
    item: Any

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item):
            if item is T:  # a subclass below
                return cls

            def declare(*source, **facts):
                declared = cls(*source, **facts)
                declared.item = type(None) if item is None else item
                return declared

            return declare


class one(_Declare[T]):  # noqa: N801 (reads as a decorator)
    """Declare a query that returns exactly one row, or its single value."""

    def __call__(self, bind: Callable[P, Args]) -> OneQuery[P, T]:
        return OneQuery(*self.source, bind, self.item, **self.facts)


class optional(_Declare[T]):  # noqa: N801
    """Declare a query that returns a row, or its single value, or ``None``."""

    def __call__(self, bind: Callable[P, Args]) -> OptionalQuery[P, T]:
        return OptionalQuery(*self.source, bind, self.item, **self.facts)


class many(_Declare[T]):  # noqa: N801
    """Declare a query that returns a list of rows, or of single values."""

    def __call__(self, bind: Callable[P, Args]) -> ManyQuery[P, T]:
        return ManyQuery(*self.source, bind, self.item, **self.facts)


class count(_Declared):  # noqa: N801
    """Declare a query that returns the number of rows it affected."""

    __slots__ = ()

    def __call__(self, bind: Callable[P, Args]) -> CountQuery[P]:
        return CountQuery(*self.source, bind, int, **self.facts)
