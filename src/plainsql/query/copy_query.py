"""The query object of a COPY: it takes all its rows in one call, and returns their number."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from inspect import Parameter
from inspect import Signature as CallSignature
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from plainsql.errors import BindError
from plainsql.executors import AsyncExecutor, SyncExecutor
from plainsql.query.compiled import CompiledCount
from plainsql.query.query import QueryFile
from plainsql.query.sent_rows import sent_rows

if TYPE_CHECKING:
    from plainsql.statements.copy_statement import CopyStatement

__all__ = ["CompiledCopy", "CopyQuery"]

P = ParamSpec("P")
C = TypeVar("C")
"""A row: an object with the fields, a ``TypedDict`` or a tuple."""


class CompiledCopy(CompiledCount):
    """A compiled COPY. Its text is the equivalent insert of one row."""

    @property
    def statement(self) -> CopyStatement:
        """The copy, with its table and columns."""
        statement: Any = self.texts.compiled
        return statement  # type: ignore[no-any-return]

    @property
    def note(self) -> str:
        """The note for an error of the server."""
        return f"query: {self.name} ({self.file})"


class CopyQuery(QueryFile[P, Any, int, Any], Generic[P, C]):
    """A COPY into a table. Calling it with an executor and rows stores all of them, or none."""

    kind = "copied"
    _compiled_class = CompiledCopy
    compiled: CompiledCopy  # pyright: ignore[reportIncompatibleVariableOverride]

    @overload
    def __call__(
        self,
        db: AsyncExecutor,
        rows: Iterable[C] | AsyncIterable[C],
        /,
        *,
        progress: Callable[[int], object] | None = None,
        analyze: bool = False,
    ) -> Coroutine[Any, Any, int]: ...
    @overload
    def __call__(
        self,
        db: SyncExecutor,
        rows: Iterable[C],
        /,
        *,
        progress: Callable[[int], object] | None = None,
        analyze: bool = False,
    ) -> int: ...
    def __call__(
        self,
        db: Any,
        rows: Any,
        /,
        *,
        progress: Callable[[int], object] | None = None,
        analyze: Any = False,
    ) -> Any:
        """Copy the rows, and return their number. Awaitable if the executor is asynchronous.

        A row is an object with a field for each column, a mapping with these keys, or a tuple of the values.
        A data frame, or another table in Arrow's format, has a column of that name for each.
        ``progress`` is called with the number of rows so far, every 1,000 and at the end. With ``analyze``
        the table is analyzed afterwards, in the same transaction: the role must own it, or hold the
        privilege MAINTAIN.
        Raises ``BindError``, with the number of the row, if one does not fit.
        """
        if not isinstance(analyze, bool):
            raise BindError(f"{self.name}: analyze: expected True or False, got {type(analyze).__name__}")
        try:
            copy = db.copy_rows
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "copy") from None
        if hasattr(type(rows), "__arrow_c_stream__"):
            from plainsql.columns.arrow_rows import rows_of_arrow

            statement = self.compiled.statement
            rows, _ = rows_of_arrow(statement.table, rows, statement.columns, exact=True)
        elif not isinstance(rows, Iterable | AsyncIterable) or isinstance(rows, str | bytes):
            raise BindError(
                f"{self.name}: expected an iterable of rows, got {type(rows).__name__}",
                hint=f"call {self.compiled.signature.text('copy')}",
            )
        if self.compiled.facts.sent:
            rows = sent_rows(self.name, rows, self.compiled.statement.columns, self.compiled.facts.sent)
        return copy(self.compiled, rows, progress, analyze)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("batch", "columns", "execute_many", "fresh", "stream", "stream_columns"):
                call = self.compiled.signature.text("copy")
                raise AttributeError(f"{self.name} has no {name}: it takes all its rows in one call, {call}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def signature(self) -> CallSignature:
        """The signature of a call."""
        return CallSignature(
            [
                Parameter("db", Parameter.POSITIONAL_ONLY),
                Parameter("rows", Parameter.POSITIONAL_ONLY),
                Parameter("progress", Parameter.KEYWORD_ONLY, default=None),
                Parameter("analyze", Parameter.KEYWORD_ONLY, default=False),
            ],
            return_annotation=int,
        )
