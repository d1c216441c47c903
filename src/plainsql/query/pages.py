"""Pages by key: the rows behind a row, whose position a token holds.

A token has the values of the order's columns of the last row, and a fingerprint of the text that made it. It
is refused by another query, another order, other optional lines, and a statement that has changed since.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from plainsql.conversions import conversion_of, dumper
from plainsql.errors import BindError, ContractError, OptionError, PageTokenError
from plainsql.query.texts import QueryText, QueryTexts
from plainsql.rows import Row
from plainsql.statements.page_text import PageKey, PageOrder, page_sql, total_sql
from plainsql.types import Args

if TYPE_CHECKING:
    from plainsql.query.compiled import CompiledQuery
    from plainsql.statements import Variant

__all__ = ["Page", "PageArgs", "PageCalls", "PageRequest", "TotalTexts"]

T = TypeVar("T")

_FINGERPRINT_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 16
_MIN_KEY_BYTES: Final = 16
_MAX_NUMERIC_DIGITS: Final = 131_072
"""The digits of a ``numeric`` before its point."""
_UNCHANGED: Final = "pass a token of the page before, unchanged"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for one page of a query."""

    size: int = 20
    """The most rows of the page."""
    after: str | None = None
    """The token of the page before; None for the first page."""
    key: bytes | None = field(default=None, repr=False)
    """The secret that signs tokens; None for tokens without a signature."""
    total: bool = False
    """True to count the rows of all pages, by a statement of its own."""

    def __post_init__(self) -> None:
        size: Any = self.size
        key: Any = self.key
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise OptionError(
                "PageRequest(): size: expected a number from 1", hint="pass, for example, size=20"
            )
        if key is not None and (not isinstance(key, bytes) or len(key) < _MIN_KEY_BYTES):
            raise OptionError(
                f"PageRequest(): key: expected at least {_MIN_KEY_BYTES} bytes",
                hint="make one with secrets.token_bytes(32)",
            )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of one page."""

    rows: list[T]
    next: str | None
    """The token of the next page; None on the last one."""
    total: int | None = None
    """The number of rows of all pages, if the request has ``total``."""


class PageArgs(NamedTuple):
    """The arguments of a page as executors pass them on."""

    values: Args
    after: tuple[object, ...] | None
    limit: int


class _AppendedVariant:
    """A variant's text with parameters of the page behind its own."""

    def __init__(self, variant: Variant, sql: str, parameters: tuple[str, ...]) -> None:
        self.sql = sql
        self.parameters = (*variant.parameters, *parameters)
        self.own = len(variant.parameters)
        """The number of the query's own parameters."""
        self.choices = variant.choices
        self.given = variant.given


class _DerivedTexts:
    """The texts that are made from those of a query."""

    def __init__(self, texts: QueryTexts) -> None:
        self._texts = texts
        self.name = texts.name
        self.path = texts.path
        self.line = texts.line
        self.body = texts.body
        self._made: dict[tuple[int, bool], QueryText] = {}
        """By the identity of the query's variant, which its cache keeps alive."""

    @property
    def parameters(self) -> tuple[str, ...]:
        return self._texts.parameters

    def error_note(self, text: QueryText, _: str | None, **__: object) -> str:
        # The server's position counts in the text around the query.
        return self._texts.error_note(text, None)

    def encode_error(self, text: QueryText, index: int, *args: Any, **options: Any) -> Any:
        return self._texts.encode_error(text, index, *args, **options)

    def _derive(self, text: QueryText, sql: str, parameters: tuple[str, ...], *, after: bool) -> QueryText:
        variant: Any = _AppendedVariant(text.variant, sql, parameters)
        made = self._made[id(text.variant), after] = QueryText(sql, None, variant, text.settings)
        return made


class _PageTexts(_DerivedTexts):
    """The texts of pages."""

    def __init__(self, texts: QueryTexts, orders: tuple[PageOrder, ...]) -> None:
        super().__init__(texts)
        self._orders = orders

    def select(self, args: Any) -> tuple[QueryText, Args]:
        values, after, limit = args
        text, given = self._texts.select(values)
        made = self._made.get((id(text.variant), after is not None))
        if made is None:
            made = self._page(text, after=after is not None)
        if made.settings is not text.settings:
            made = made._replace(settings=text.settings)
        return made, (*given, *(after or ()), limit)

    def encode_error(self, text: QueryText, index: int, *args: Any, **options: Any) -> Any:
        variant: Any = text.variant
        if variant.own <= index < len(variant.parameters) - 1:  # the last one is the number of rows
            return unreadable(self.name)
        return super().encode_error(text, index, *args, **options)

    def order(self, text: QueryText) -> PageOrder:
        """Return the order that a text of the query has."""
        chosen = text.variant.choices
        for order in self._orders:
            if all(chosen[name] == value for name, value in order.choices):
                return order
        raise BindError(f"{self.name}: no order is known for these choices", hint="generate again")

    def fingerprint(self, values: Args) -> bytes:
        """Return the fingerprint of the text that a call's pages have."""
        text, _ = self.select(PageArgs(values, (), 1))
        digest = hashlib.blake2b(f"{self.name}\0{text.sql}".encode(), digest_size=_FINGERPRINT_BYTES)
        return digest.digest()

    def _page(self, text: QueryText, *, after: bool) -> QueryText:
        keys = self.order(text).keys
        sql = page_sql(text.sql, keys, len(text.variant.parameters), self.name, after=after)
        names = tuple(key.column for key in keys) if after else ()
        return self._derive(text, sql, (*names, "limit"), after=after)


class TotalTexts(_DerivedTexts):
    """The texts that count the rows of all pages."""

    def select(self, values: Args) -> tuple[QueryText, Args]:
        text, given = self._texts.select(values)
        made = self._made.get((id(text.variant), False))
        if made is None:
            made = self._derive(text, total_sql(text.sql, self.name), (), after=False)
        if made.settings is not text.settings:
            made = made._replace(settings=text.settings)
        return made, given


class _TokenValues(NamedTuple):
    """The values that a token holds for an order."""

    types: Any
    """The type of all of them, a tuple."""
    dumps: tuple[Callable[[Any], Any] | None, ...]
    """For each: the function that makes it of the row's value; None if it is that value."""


class PageCalls(Generic[T]):
    """The calls that a query's pages are made of."""

    def __init__(
        self,
        query: CompiledQuery[T, Any],
        orders: tuple[PageOrder, ...],
        derive: Callable[[Any, str], CompiledQuery[Any, Any]],
    ) -> None:
        """``derive`` makes a compiled query of texts: of rows (``many``), or of one value (``one``)."""
        self._query = query
        self._texts = _PageTexts(query.texts, orders)
        self._rows = derive(self._texts, "many")
        self._total = derive(TotalTexts(query.texts), "one")
        self._known: dict[PageOrder, _TokenValues] = {}

    def page(self, run: Callable[[Any, Any], Any], request: PageRequest, values: Args) -> Any:
        """Run the calls of a page; awaitable if the executor's calls are.

        Raises ``PageTokenError`` for a token that is not one of these pages.
        """
        fingerprint = self._texts.fingerprint(values)
        text, _ = self._query.texts.select(values)
        order = self._texts.order(text)
        after = None if request.after is None else self._read(request, fingerprint, order)
        first = run(self._rows, PageArgs(values, after, request.size + 1))
        if hasattr(first, "__await__"):
            return self._awaited(run, first, request, values, fingerprint, order)
        total = run(self._total, values) if request.total else None
        return self._made(first, total, request, fingerprint, order)

    async def _awaited(
        self,
        run: Callable[[Any, Any], Any],
        first: Any,
        request: PageRequest,
        values: Args,
        fingerprint: bytes,
        order: PageOrder,
    ) -> Page[T]:
        rows = await first
        total = await run(self._total, values) if request.total else None
        return self._made(rows, total, request, fingerprint, order)

    def _made(
        self, rows: list[T], total: int | None, request: PageRequest, fingerprint: bytes, order: PageOrder
    ) -> Page[T]:
        if len(rows) <= request.size:
            return Page(rows, None, total)
        del rows[request.size :]
        return Page(rows, self._token(request, fingerprint, order, rows[-1]), total)

    def _token(self, request: PageRequest, fingerprint: bytes, order: PageOrder, last: Any) -> str:
        values = [
            value if dump is None else dump(value)
            for value, dump in zip(_of_row(last, order), self._values(order).dumps, strict=True)
        ]
        try:
            content = fingerprint + msgspec.msgpack.encode(values)
        except TypeError:
            kinds = ", ".join(sorted({type(value).__name__ for value in values}))
            raise ContractError(
                f"{self._query.name}: a page's token cannot hold the values of its order: {kinds}",
                hint="order by columns that have numbers, texts and times in Python",
            ) from None
        if request.key is not None:
            content = _signature(request.key, content) + content
        return urlsafe_b64encode(content).rstrip(b"=").decode()

    def _read(self, request: PageRequest, fingerprint: bytes, order: PageOrder) -> tuple[object, ...]:
        content = _decoded(request.after)
        if request.key is not None:
            signature, content = content[:_SIGNATURE_BYTES], content[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, _signature(request.key, content)):
                raise refusal(self._query.name, "its signature is wrong", _UNCHANGED)
        if content[:_FINGERPRINT_BYTES] != fingerprint:
            raise refusal(
                self._query.name,
                "it is of another query, another order or another version of the statement",
                "begin at the first page: after=None",
            )
        try:
            found: tuple[object, ...] = msgspec.msgpack.decode(
                content[_FINGERPRINT_BYTES:], type=self._values(order).types
            )
        except msgspec.MsgspecError:
            raise unreadable(self._query.name) from None
        if any(isinstance(value, Decimal) and not _fits(value) for value in found):
            raise unreadable(self._query.name)
        return found

    def _values(self, order: PageOrder) -> _TokenValues:
        """Return how a token holds the values of an order."""
        known = self._known.get(order)
        if known is None:
            item: Any = self._query.item
            annotations = [item]
            if isinstance(item, type) and issubclass(item, Row):
                hints = get_type_hints(item, include_extras=True)
                annotations = [hints[key.column] for key in order.keys]
            kinds = [_kind(annotation, key) for annotation, key in zip(annotations, order.keys, strict=True)]
            types = tuple.__class_getitem__(tuple(type_ for type_, _ in kinds))
            known = self._known[order] = _TokenValues(types, tuple(dump for _, dump in kinds))
        return known


def _of_row(last: Any, order: PageOrder) -> list[Any]:
    return [getattr(last, key.column) if isinstance(last, Row) else last for key in order.keys]


def _kind(annotation: Any, key: PageKey) -> tuple[Any, Callable[[Any], Any] | None]:
    """Return the type that a column's values have in a token, and the function that makes them of the row's.

    A type of the project's own has the database's values in a token, as the next page sends them.
    """
    arms = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for arm in arms:
        if (conversion := conversion_of(arm)) is not None:
            base: Any = conversion.base
            dump = None if conversion.to_db is None else dumper(conversion.to_db, key.column)
            return Union[base, None] if len(arms) > 1 else base, dump  # noqa: UP007 (run time)
    return annotation, None


def unreadable(name: str) -> PageTokenError:
    """Return the error of a token whose values are not those of the query's order."""
    return refusal(name, "it cannot be read", _UNCHANGED)


def refusal(name: str, message: str, hint: str) -> PageTokenError:
    """Return the error of a token that the query ``name`` refuses."""
    return PageTokenError(f"{name}: the page's token is refused: {message}", hint=hint)


def _fits(value: Decimal) -> bool:
    """Return whether a number is one of PostgreSQL's: a made token may hold ``1e999999999``."""
    return not value.is_finite() or abs(value.adjusted()) <= _MAX_NUMERIC_DIGITS


def _decoded(token: object) -> bytes:
    """Return the bytes of a token; empty if it is none."""
    if not isinstance(token, str):
        return b""
    try:
        return urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:  # also letters that are not ASCII
        return b""


def _signature(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")[:_SIGNATURE_BYTES]
