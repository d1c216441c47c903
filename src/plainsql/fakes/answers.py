"""The answers of a fake, and the calls that it has recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

from plainsql.errors import BindError
from plainsql.query import CompiledCopy, CompiledQuery, Query
from plainsql.query.compiled_columns import StreamedColumns
from plainsql.query.pages import PageArgs, TotalTexts
from plainsql.query.query import QueryFile
from plainsql.rows import Row
from plainsql.tenancy import tenant_of

__all__ = ["Fake", "FakeCall", "Operation", "UnexpectedCallError"]

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from plainsql.columns import Columns

    S = TypeVarWithDefault("S", bound=Mapping[str, Any], default=Any)
else:
    S = TypeVar("S")

Operation = Literal["call", "stream", "batch", "execute_many", "copy"]


class UnexpectedCallError(AssertionError):
    """A query was called that the fake has no answer for."""


@dataclass(frozen=True, slots=True)
class FakeCall:
    """One call of a query; a batch makes one for each set of parameters."""

    query: str
    """The name of the query: ``realty.leads.get_by_id``."""
    parameters: Mapping[str, Any]
    """The parameters as they were given."""
    operation: Operation
    tenant_id: object | None
    """The tenant, if it was called on ``fake.tenant(…)``."""
    in_transaction: bool


class _Record:
    """The answers and the calls that a fake has in common with its tenants and transactions."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[..., Any]] = {}
        self.calls: list[FakeCall] = []


class Fake:
    """The answers and the calls, for both kinds of executor."""

    def __init__(self) -> None:
        self._record = _Record()
        self._tenant_id: object | None = None
        self._in_transaction = False

    def returns(self, query: QueryFile[..., Any, R, Any], value: R) -> None:
        """Answer each call of a query with ``value``: what the call returns.

        A stream yields the rows of it. Raises ``BindError`` if it is no result of the query.
        """
        _check_answer(query.compiled, value)
        self._record.answers[query.name] = lambda **_: value

    def answers(self, query: Query[P, Any, R, Any], function: Callable[P, R]) -> None:
        """Answer each call of a query with what ``function`` returns for the call's parameters."""
        compiled = query.compiled

        def answer(**parameters: Any) -> Any:
            called: Callable[..., R] = function
            value = called(**parameters)
            _check_answer(compiled, value)
            return value

        self._record.answers[query.name] = answer

    def raises(self, query: QueryFile[..., Any, Any, Any], error: BaseException) -> None:
        """Raise ``error`` in each call of a query: ``plainsql.UniqueViolation("…", constraint="…")``."""

        def answer(**_: Any) -> Any:
            raise error

        self._record.answers[query.name] = answer

    def calls(self, query: QueryFile[..., Any, Any, S]) -> list[S]:
        """Return the parameters of each call of a query, in the order of the calls.

        A parameter that was not given has no key. A copy has the key ``rows``.
        """
        found: list[Any] = [call.parameters for call in self._record.calls if call.query == query.name]
        return found

    @property
    def history(self) -> list[FakeCall]:
        """All calls in their order, of all queries."""
        return list(self._record.calls)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._record.answers)} queries>"

    def _view(self, *, tenant_id: object | None = None, in_transaction: bool = False) -> Self:
        """Return the fake as a tenant or a transaction sees it."""
        made = object.__new__(type(self))
        made._record = self._record
        made._tenant_id = self._tenant_id if tenant_id is None else tenant_id
        made._in_transaction = self._in_transaction or in_transaction
        return made

    def _tenant(self, tenant_id: object, user_id: object) -> Self:
        tenant_of(("tenant", "user"), tenant_id, user_id)  # raises the errors of a database
        return self._view(tenant_id=tenant_id)

    def _answer(
        self, query: CompiledQuery[Any, Any], parameters: Mapping[str, Any], operation: Operation = "call"
    ) -> Any:
        self._record.calls.append(
            FakeCall(query.name, parameters, operation, self._tenant_id, self._in_transaction)
        )
        answer = self._record.answers.get(query.name)
        if answer is None:
            names = ", ".join(f"{name}=…" for name in parameters)
            raise UnexpectedCallError(
                f"{query.name}({names}): the fake has no answer for this query\n"
                f"HINT: give one first: fake.returns({query.name}, …)"
            )
        return answer(**parameters)

    def _called(self, query: CompiledQuery[Any, Any], args: Any, parameters: Mapping[str, Any]) -> Any:
        """Return the answer of a call. A page is a part of the answer's rows, and their number the total."""
        texts: Any = query.texts
        if isinstance(texts, TotalTexts):
            return len(self._record.answers[query.name](**parameters))
        value = self._answer(query, parameters)
        if query.is_columnar:
            return _columns(query, value)
        if isinstance(args, PageArgs):
            return _page(query, args, value)
        return list(value) if query.kind == "many" else value

    def _rows(self, query: CompiledQuery[Any, Any], parameters: Mapping[str, Any]) -> list[Any]:
        """Return the rows that a stream yields."""
        value = self._answer(query, parameters, "stream")
        if isinstance(query, StreamedColumns):
            rows = _rows(value)
            starts = range(0, len(rows), query.block_rows)
            return [_columns(query, rows[start : start + query.block_rows]) for start in starts]
        if query.kind == "many":
            return list(value)
        no_row = query.kind == "count" or (query.kind == "optional" and value is None)
        return [] if no_row else [value]

    def _all(
        self, query: CompiledQuery[Any, Any], sets: list[Mapping[str, Any]], operation: Operation
    ) -> list[Any]:
        """Return the answers of many sets of parameters."""
        return [self._answer(query, given, operation) for given in sets]

    def _copied(self, query: CompiledCopy, rows: list[Any], progress: Callable[[int], object] | None) -> int:
        number: int = self._answer(query, {"rows": rows}, "copy")
        if progress is not None:
            progress(len(rows))
        return number


def _columns(query: CompiledQuery[Any, Any], value: Any) -> Columns:
    """Return the rows of an answer as columns, whose types are those of the values."""
    from plainsql.columns.from_values import columns_of_rows

    item: Any = query.item
    is_row = isinstance(item, type) and issubclass(item, Row)
    return columns_of_rows(_rows(value), item.__struct_fields__ if is_row else ["value"])


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _page(query: CompiledQuery[Any, Any], args: PageArgs, rows: list[Any]) -> list[Any]:
    """Return the rows of one page: those behind the row that the token of the page before names."""
    if args.after is None:
        return rows[: args.limit]
    texts: Any = query.texts
    keys = texts.order(texts.select(args)[0]).keys
    positions = [
        tuple(getattr(row, key.column) if isinstance(row, Row) else row for key in keys) for row in rows
    ]
    start = positions.index(args.after) + 1 if args.after in positions else len(rows)
    return rows[start : start + args.limit]


def _check_answer(query: CompiledQuery[Any, Any], value: Any) -> None:
    """Raise ``BindError`` for an answer that is no result of the query."""
    item = query.item
    if query.kind == "many":
        fits = isinstance(value, list) and all(_fits(each, item) for each in value)
    elif query.kind in ("count", "copied"):
        fits = isinstance(value, int)
    else:
        fits = (query.kind == "optional" and value is None) or _fits(value, item)
    if not fits:
        row = item.__name__ if isinstance(item, type) else "value"
        expected = {"many": f"a list of {row}", "one": row, "optional": f"{row} or None"}
        got = type(value).__name__
        if isinstance(value, list) and query.kind == "many":
            got = "a list of " + ", ".join(sorted({type(each).__name__ for each in value}))
        raise BindError(
            f"{query.name}: the answer of the fake: "
            f"expected {expected.get(query.kind, 'a number')}, got {got}",
            hint="give what a call of the query returns",
        )


def _fits(value: object, item: Any) -> bool:
    """Return whether a value is a row of the type ``item``; the type checker knows about single values."""
    return not (isinstance(item, type) and issubclass(item, Row)) or isinstance(value, item)
