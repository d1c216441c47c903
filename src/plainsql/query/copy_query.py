"""The query object of a COPY: it takes all its rows in one call, and returns their number."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from inspect import Parameter
from inspect import Signature as CallSignature
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from plainsql.errors import BindError
from plainsql.executors import AsyncExecutor, SyncExecutor
from plainsql.query.binding import NullError
from plainsql.query.compiled import CompiledCount
from plainsql.query.query import QueryFile
from plainsql.query.row_columns import values_of_row
from plainsql.types import Args

if TYPE_CHECKING:
    from plainsql.statements.copy_statement import CopyStatement

__all__ = ["CompiledCopy", "CopyQuery"]

P = ParamSpec("P")
C = TypeVar("C")
"""A row: an object with the fields, a ``TypedDict`` or a tuple."""


class CompiledCopy(CompiledCount):
    """A compiled COPY. Its text is the equivalent insert of one row."""

    converts = False
    """True if the query's function converts values of own types."""

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
    compiled: CompiledCopy

    @overload
    def __call__(
        self,
        db: AsyncExecutor,
        rows: Iterable[C] | AsyncIterable[C],
        /,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Coroutine[Any, Any, int]: ...
    @overload
    def __call__(
        self, db: SyncExecutor, rows: Iterable[C], /, *, progress: Callable[[int], object] | None = None
    ) -> int: ...
    def __call__(self, db: Any, rows: Any, /, *, progress: Callable[[int], object] | None = None) -> Any:
        """Copy the rows, and return their number. Awaitable if the executor is asynchronous.

        A row is an object with a field for each column, a mapping with these keys, or a tuple of the values.
        ``progress`` is called with the number of rows so far, every 1,000 and at the end.
        Raises ``BindError``, with the number of the row, if one does not fit.
        """
        try:
            copy = db.copy_rows
        except AttributeError:
            raise self.compiled.signature.executor_error(db, "copy") from None
        if not isinstance(rows, Iterable | AsyncIterable) or isinstance(rows, str | bytes):
            raise BindError(
                f"{self.name}: expected an iterable of rows, got {type(rows).__name__}",
                hint=f"call {self.compiled.signature.text('copy')}",
            )
        if self.compiled.converts:
            if isinstance(rows, AsyncIterable):
                rows = self._converted_as_they_come(rows)
            else:
                rows = self._converted(rows)
        return copy(self.compiled, rows, progress)

    def _converted(self, rows: Iterable[Any]) -> Iterator[Args]:
        """Convert the values of own types with their functions, as the query's function does."""
        for number, row in enumerate(rows, 1):
            yield self._convert(number, row)

    async def _converted_as_they_come(self, rows: AsyncIterable[Any]) -> AsyncIterator[Args]:
        number = 0
        async for row in rows:
            number += 1
            yield self._convert(number, row)

    def _convert(self, number: int, row: Any) -> Args:
        fields = self.compiled.statement.columns
        values = values_of_row(self.name, number, row, fields)
        bind: Any = self._bind
        try:
            return bind(**dict(zip(fields, values, strict=True)))  # type: ignore[no-any-return]
        except NullError:
            nulls = ", ".join(field for field, value in zip(fields, values, strict=True) if value is None)
            raise BindError(f"{self.name}: row {number}: one of {nulls} cannot be null") from None
        except BindError as error:
            raise BindError(f"{self.name}: row {number}: {error.message}", hint=error.hint) from None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("batch", "execute_many", "fresh", "stream"):
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
            ],
            return_annotation=int,
        )
