"""``sql`` of the executors: a statement that is in no file."""

from __future__ import annotations

from collections.abc import Coroutine
from types import UnionType
from typing import Any, Literal, LiteralString, TypeVar, overload

from plainsql.query.compiled import CompiledQuery
from plainsql.types import Args

__all__ = ["AsyncSql", "SyncSql"]

T = TypeVar("T")


class AsyncSql:
    """``sql`` of an executor that is awaited."""

    __slots__ = ()

    def run(self, query: CompiledQuery[Any, Any], args: Args, /) -> Coroutine[Any, Any, Any]:
        """Run a query."""
        raise NotImplementedError

    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["many"] = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, list[T]]: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["one"],
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["optional"],
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, T | None]: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: UnionType,  # ``int | None``, as mypy sees it
        returns: Literal["many", "one", "optional"] = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: None = None,
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, int]: ...
    def sql(
        self,
        text: str,
        /,
        *,
        type: Any = None,
        returns: str = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Run a statement that is in no file, with ``:name`` parameters.

        Args:
            text: the statement, as a file would have it; values are parameters, never part of the text.
            type: the type of a row (a Struct, a dataclass, a ``TypedDict``, a tuple, ``dict``), or of the
                single column. Without it, the number of rows affected is returned.
            returns: ``many``, ``one`` or ``optional``.
            query_name: its name in errors and telemetry; by default a fingerprint of the text.
            parameters: the values of the parameters.

        A value that is not of its type raises ``DecodeError``. Each call makes every cached result stale, as
        nothing is known about the statement.
        """
        # Most programs call files only.
        from plainsql.query.inline_statement import bind_sql

        query, args = bind_sql(text, type, returns, query_name, parameters)
        return self.run(query, args)


class SyncSql:
    """``sql`` of an executor that returns its results."""

    __slots__ = ()

    def run(self, query: CompiledQuery[Any, Any], args: Args, /) -> Any:
        """Run a query."""
        raise NotImplementedError

    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["many"] = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> list[T]: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["one"],
        query_name: str | None = None,
        **parameters: Any,
    ) -> T: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: type[T],
        returns: Literal["optional"],
        query_name: str | None = None,
        **parameters: Any,
    ) -> T | None: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: UnionType,  # ``int | None``, as mypy sees it
        returns: Literal["many", "one", "optional"] = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> Any: ...
    @overload
    def sql(
        self,
        text: LiteralString,
        /,
        *,
        type: None = None,
        query_name: str | None = None,
        **parameters: Any,
    ) -> int: ...
    def sql(
        self,
        text: str,
        /,
        *,
        type: Any = None,
        returns: str = "many",
        query_name: str | None = None,
        **parameters: Any,
    ) -> Any:
        """Run a statement that is in no file, with ``:name`` parameters. See ``plainsql.Database.sql``."""
        # Most programs call files only.
        from plainsql.query.inline_statement import bind_sql

        query, args = bind_sql(text, type, returns, query_name, parameters)
        return self.run(query, args)
