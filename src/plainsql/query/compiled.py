"""Compiled queries: the part of a query that executors need, and users do not.

An executor gets the text to send for a call's arguments (``text``), and has the records that come back made
into the result (``result``). The facts decide
whether calls may share a connection, a round trip or a stored result; ``plainsql generate`` proves them and
writes them into the module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from plainsql.dependencies import CachedRead, Change
from plainsql.errors import BindError, ContractError
from plainsql.query.child_lists import ParentRun, grouped_builder
from plainsql.query.description import Described, Expectation, expectations, mismatch
from plainsql.query.dynamic_rows import dynamic_row
from plainsql.query.signature import Signature, row_count_error
from plainsql.query.texts import QueryTexts
from plainsql.rows import (
    Build,
    Record,
    Row,
    builder,
    has_child_lists,
    is_plain,
    refusing_null,
    value_builder,
    width,
)
from plainsql.sqlstate_errors import ServerError
from plainsql.statements.page_text import PageOrder
from plainsql.types import Args, Json

__all__ = [
    "CompiledCount",
    "CompiledMany",
    "CompiledOne",
    "CompiledOptional",
    "CompiledQuery",
    "QueryFacts",
]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """The facts of a query that hold for all its variants. The defaults are what holds for any query."""

    read_only: bool = False
    """Proved: it changes nothing. Counts only with ``session_clean``."""
    session_clean: bool = False
    """Proved: it leaves nothing behind in the session, which needs no reset afterwards."""
    by_key: bool = False
    """Proved: a read by a unique key, whose plan and rows are the same if many calls run as one statement."""
    row_security: Mapping[str, tuple[str, ...]] | None = None
    """By table: the settings of the session without which row-level security hides all of its rows."""
    cache: CachedRead | None = None
    """The caching of the result and its dependencies; None if it is not cached."""
    changes: tuple[Change, ...] = ()
    """The rows that it may change, for cached reads."""
    autobatch: bool = True
    """False if concurrent calls of a read must not share a round trip."""
    more_columns: bool = False
    """True if columns that tables gain are left out at the end of a row: the text has a ``*`` and the header
    allows it."""
    not_null: tuple[str, ...] = ()
    """Columns that are never null by the header's word alone: a null raises ``DecodeError``."""
    list_keys: Mapping[str, tuple[str, ...]] | None = None
    """Proved, of a row with lists: the columns that distinguish the parents (``""``) and the rows of each
    list (``"orders[]"``), never null in a row that exists. Levels that are not here are grouped by all of
    their columns."""
    contiguous: bool = False
    """Proved, of a row with lists: the rows of each parent follow one another."""
    errors: Mapping[str, type[ServerError]] | None = None
    """By constraint: the class of the error if the statement violates it."""
    pages: tuple[PageOrder, ...] = ()
    """Proved: the total orders of its rows, by which pages are read; empty without ``page: key``."""
    sent: Mapping[str, Callable[[Any], Any]] | None = None
    """By column of a copy: the function that makes the value to send of a type of the project's own."""
    settings: Mapping[str, str] | None = None
    """The settings of the server that its statement runs with, and the value of each."""
    setting_parameters: Mapping[str, str] | None = None
    """The same for values that calls give: the parameter of each setting."""
    replica: float | None = None
    """The seconds that a replica may be behind for it to run there; None if it runs on the primary."""


class CompiledQuery(Generic[T, R]):
    """A query as an executor runs it: ``T`` is a row or single value, ``R`` what a call returns."""

    kind: ClassVar[str] = ""
    is_columnar: ClassVar[bool] = False
    """True if its rows are read into columns."""

    def __init__(self, texts: QueryTexts, bind: Callable[..., Args], item: Any, facts: QueryFacts) -> None:
        self.name = texts.name
        self.file = texts.path
        self.sql = texts.body
        self.texts = texts
        self.text = texts.select
        """Return the text to send for a call's arguments, and the arguments that it takes."""
        self.error_note = texts.error_note
        self.encode_error = texts.encode_error
        self.read_only = facts.read_only and facts.session_clean
        self.session_clean = facts.session_clean
        self.by_key = facts.by_key
        self.row_security = facts.row_security
        self.cache = facts.cache
        self.changes = facts.changes
        self.autobatch = facts.autobatch
        self.more_columns = facts.more_columns
        self.replica = facts.replica
        self.not_null = facts.not_null
        self.errors = facts.errors
        self.has_settings = bool(facts.settings or facts.setting_parameters)
        """True if its statement runs with settings of its own: see ``QueryText.settings``."""
        self.item = item
        """The type of a row or single value; None until ``set_columns``, if the query was loaded."""
        self.facts = facts
        """The facts as they were declared."""
        self.plan: Any = None
        """The plan by which the compiled part reads its rows; None until it is made, and if there is none."""
        self._bind = bind
        self._build: Build | None = None
        self._make: Callable[..., T] | None = None
        """Makes a row of a record's values, if none of them needs a conversion."""
        self._expected: tuple[Expectation, ...] = ()
        self._fitting: set[tuple[Described, ...]] = set()
        """The descriptions that were compared and fit."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.file})>"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, in the order of the SQL, then of its choices."""
        return self.texts.parameters

    @property
    def bind_function(self) -> Callable[..., Args]:
        """The function that binds its parameters: of a generated module, with their annotations."""
        return self._bind

    @property
    def signature(self) -> Signature:
        """The signature, for messages."""
        return Signature(self.name, self._bind)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Args:
        """Put a call's parameters in the order of the SQL.

        Raises ``BindError`` if one is missing, unknown, out of bounds or given by position.
        """
        if args:
            raise BindError(
                f"{self.name}: parameters are given by name, got {len(args)} by position",
                hint=f"call {self.signature.text()}",
            )
        try:
            return self._bind(**kwargs)
        except TypeError as error:
            raise self.signature.refusal(error, kwargs) from None

    def result(self, records: Sequence[Record]) -> R:
        """Build the result of a call from the records that came back."""
        raise TypeError(f"{type(self).__name__} has no result")

    def result_of(self, rows: list[T]) -> R:
        """Return the result of a call from its rows."""
        raise TypeError(f"{type(self).__name__} has no result")

    def build(self, records: Sequence[Record]) -> list[T]:
        """Build all rows, or single values.

        Raises ``DecodeError`` for a value that its type does not take, ``ContractError`` if the records have
        other columns than the row type.
        """
        if (build := self._build) is None:
            item: Any = self.item
            if isinstance(item, type) and issubclass(item, Row):
                lists = has_child_lists(item)
                build = grouped_builder(item, self.facts.list_keys or {}) if lists else builder(item)
                if self.more_columns:
                    build = _shortened(build, width(item))
                if not lists and is_plain(item) and not (self.more_columns or self.not_null):
                    self._make = cast("Callable[..., T]", item)
            else:
                build = value_builder(item, self.name)
            if self.not_null:
                build = refusing_null(build, item, self.not_null, self.name, self.file)
            self._build = build
        try:
            return build(records)
        except (TypeError, IndexError):
            item = self.item
            if records and isinstance(item, type) and issubclass(item, Row):
                found = len(records[0])
                if found < width(item) or (found > width(item) and not self.more_columns):
                    raise self.width_error(found) from None
            raise

    def run(self) -> ParentRun[T] | None:
        """Return the state of a stream that builds parents with lists; None for rows without lists.

        Raises ``ContractError`` if the rows of a parent are not proved to follow one another.
        """
        item: Any = self.item
        if not (isinstance(item, type) and issubclass(item, Row) and has_child_lists(item)):
            return None
        self.refuse_scattered(known=False)
        return ParentRun(self.build, item, self.facts.list_keys or {})

    def refuse_scattered(self, *, known: bool = True) -> None:
        """Raise ``ContractError`` for a stream of parents whose rows may be scattered over the result.

        With ``known``, only if the declaration says that the rows have lists.
        """
        if self.facts.contiguous or (known and self.facts.list_keys is None):
            return
        raise ContractError(
            f"{self.name}: its parents cannot be streamed: the rows of one may be scattered over the result",
            hint=f"order by the key of the parent first, in {self.file}, and generate again"
            if self.facts.list_keys is not None
            else "a query that is loaded is not analysed: call it without stream, or generate its module",
        )

    def _parents(self, records: Sequence[Record]) -> list[T] | None:
        """Return the parents of joined rows, or None for rows without lists."""
        item: Any = self.item
        has_lists = isinstance(item, type) and issubclass(item, Row) and has_child_lists(item)
        return self.build(records) if records and has_lists else None

    def _first(self, records: Sequence[Record]) -> T:
        if (make := self._make) is not None:
            try:
                return make(*records[0])
            except TypeError:
                pass  # `build` finds out what is wrong
        return self.build(records)[0]

    # The columns of the result ------------------------------------------------------------------------

    @property
    def needs_columns(self) -> bool:
        """True if ``set_columns`` must be called before ``result``: the row type is not known yet."""
        return self.item is None

    def compare(self, columns: tuple[Described, ...]) -> None:
        """Compare the server's description of a result with the row type.

        Raises ``ContractError`` if it has other columns: rows are built by position.
        """
        if columns in self._fitting or self.kind == "count":
            return
        if not self._expected:
            self._expected = expectations(self.item)
        difference = mismatch(self._expected, columns, more=self.more_columns)
        if difference is not None:
            item: Any = self.item
            row = isinstance(item, type) and issubclass(item, Row)
            expected = f"the row type {item.__name__}" if row else "its declared value"
            raise ContractError(
                f"{self.name}: the result does not fit {expected}: {difference}",
                hint=f"the tables have changed since {self.file} was loaded or generated: generate again"
                + (", or name its columns instead of '*'" if "*" in self.sql else ""),
            )
        self._fitting.add(columns)

    def set_columns(self, columns: Sequence[Described]) -> None:
        """Make the row type from the columns that the server describes.

        Raises ``BindError`` if there are none, ``ContractError`` if the header fits other columns.
        """
        if not columns:
            raise BindError(
                f"{self.name} returns no columns, its header says it does",
                hint=f"declare 'returns: count' in {self.file}",
            )
        # A void column is null even if the header claims otherwise.
        void = {column.name for column in columns if column.type_name == "void"}
        self.not_null = tuple(name for name in self.not_null if name not in void)
        row_name = getattr(self._bind, "row_name", None)
        if row_name is None:
            if len(columns) > 1:
                raise ContractError(
                    f"{self.name} returns {len(columns)} columns, its header says it returns a value",
                    hint=f"name a row in {self.file}, such as 'returns: many Thing'",
                )
            self.item = Json if columns[0].is_json else object
            return
        json = frozenset(index for index, column in enumerate(columns) if column.is_json)
        try:
            marks = getattr(self._bind, "marks", None)
            self.item = dynamic_row(row_name, [column.name for column in columns], json, marks)
        except ContractError as error:
            raise ContractError(
                f"{self.name}: {error.message}", hint=f"{error.hint}, in {self.file}"
            ) from None

    def width_error(self, found: int) -> ContractError:
        """Return the error of a result with another number of columns than the row type takes."""
        row: Any = self.item
        return ContractError(
            f"{self.name}: {row.__name__} has {width(row)} columns, the database returns {found}",
            hint=f"the tables have changed since {self.file} was loaded or generated: generate again, "
            "or name the columns",
        )


class CompiledOne(CompiledQuery[T, T]):
    """A compiled query that returns exactly one row, or its single value."""

    kind = "one"

    def result(self, records: Sequence[Record]) -> T:
        if len(records) != 1:
            parents = self._parents(records)
            if parents is not None and len(parents) == 1:
                return parents[0]
            found = len(records) if parents is None else len(parents)
            raise row_count_error(self.name, self.file, found, optional=False)
        return self._first(records)

    def result_of(self, rows: list[T]) -> T:
        if len(rows) != 1:
            raise row_count_error(self.name, self.file, len(rows), optional=False)
        return rows[0]


class CompiledOptional(CompiledQuery[T, "T | None"]):
    """A compiled query that returns a row, or its single value, or None if there is no row."""

    kind = "optional"

    def result(self, records: Sequence[Record]) -> T | None:
        if not records:
            return None
        if len(records) > 1:
            parents = self._parents(records)
            if parents is not None and len(parents) == 1:
                return parents[0]
            found = len(records) if parents is None else len(parents)
            raise row_count_error(self.name, self.file, found, optional=True)
        return self._first(records)

    def result_of(self, rows: list[T]) -> T | None:
        if not rows:
            return None
        if len(rows) > 1:
            raise row_count_error(self.name, self.file, len(rows), optional=True)
        return rows[0]


class CompiledMany(CompiledQuery[T, list[T]]):
    """A compiled query that returns a list of rows, or of single values."""

    kind = "many"

    def result(self, records: Sequence[Record]) -> list[T]:
        return self.build(records)

    def result_of(self, rows: list[T]) -> list[T]:
        return rows


class CompiledCount(CompiledQuery[Any, int]):
    """A compiled query that returns the number of rows it affected."""

    kind = "count"

    def result(self, records: Sequence[Record]) -> int:
        return len(records)

    def result_of(self, rows: list[Any]) -> int:
        return len(rows)


def _shortened(build: Build, width: int) -> Build:
    """Make rows of the first ``width`` columns of each record."""
    return lambda records: build([record[:width] for record in records])
