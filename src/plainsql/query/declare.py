"""The decorators of generated modules, which declare queries.

``one[Lead, "CreateParameters"](name, path, line, sql)`` is a class to the type checker. It takes the item's
type and that of a set of parameters from the brackets. At run time the brackets pass the item's type as a
value; the name of the parameters is for type checkers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack

from plainsql.dependencies import CachedRead, Change
from plainsql.deprecation import warn_of_old_module
from plainsql.query.compiled import QueryFacts
from plainsql.query.copy_query import CopyQuery
from plainsql.query.query import CountQuery, ManyQuery, OneQuery, OptionalQuery, PagedQuery
from plainsql.sqlstate_errors import ServerError
from plainsql.statements.page_text import PageOrder
from plainsql.types import Args

__all__ = ["copied", "count", "many", "one", "optional", "paged"]

P = ParamSpec("P")
T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    S = TypeVarWithDefault("S", bound=Mapping[str, Any], default=Any)
    C = TypeVarWithDefault("C", default=Any)
else:
    S = C = Any


class _FormerFacts(TypedDict, total=False):
    """The facts by the names that an earlier version wrote."""

    effect: Literal["reads", "writes"]
    joins: bool
    pipelines: bool


class _Declared:
    __slots__ = ("facts", "source")

    def __init__(
        self,
        name: str,
        path: str,
        line: int,
        body: str,
        /,
        read_only: bool = False,
        session_clean: bool = False,
        by_key: bool = False,
        row_security: Mapping[str, tuple[str, ...]] | None = None,
        cache: CachedRead | None = None,
        changes: tuple[Change, ...] = (),
        autobatch: bool = True,
        more_columns: bool = False,
        not_null: tuple[str, ...] = (),
        list_keys: Mapping[str, tuple[str, ...]] | None = None,
        contiguous: bool = False,
        errors: Mapping[str, type[ServerError]] | None = None,
        pages: tuple[PageOrder, ...] = (),
        sent: Mapping[str, Callable[[Any], Any]] | None = None,
        settings: Mapping[str, str] | None = None,
        setting_parameters: Mapping[str, str] | None = None,
        replica: float | None = None,
        **former: Unpack[_FormerFacts],
    ) -> None:
        if former:
            if unknown := former.keys() - _FormerFacts.__annotations__.keys():
                raise TypeError(f"unknown facts of a query: {', '.join(sorted(unknown))}")
            warn_of_old_module(__name__)
            if (effect := former.get("effect")) is not None:
                read_only, session_clean = effect == "reads", True
            by_key, autobatch = former.get("joins", by_key), former.get("pipelines", autobatch)
        self.source = (name, path, line, body)
        self.facts = QueryFacts(
            read_only,
            session_clean,
            by_key,
            row_security,
            cache,
            changes,
            autobatch,
            more_columns,
            not_null,
            list_keys,
            contiguous,
            errors,
            pages,
            sent,
            settings,
            setting_parameters,
            replica,
        )


if TYPE_CHECKING:

    class _Declare(_Declared, Generic[T, S]):
        item: Any

    class _DeclareCount(_Declared, Generic[S]): ...

    class _DeclareCopied(_Declared, Generic[C]): ...

else:

    class _Declare(_Declared):
        __slots__ = ("item",)

        def __class_getitem__(cls, types):
            item = types[0] if type(types) is tuple else types
            if item is T:  # a subclass below
                return cls

            def declare(*source, **facts):
                declared = cls(*source, **facts)
                declared.item = type(None) if item is None else item
                return declared

            return declare

    class _DeclareCount(_Declared):
        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls

    _DeclareCopied = _DeclareCount


class one(_Declare[T, S]):  # noqa: N801 (reads as a decorator)
    """Declare a query that returns exactly one row, or its single value."""

    def __call__(self, bind: Callable[P, Args]) -> OneQuery[P, T, S]:
        return OneQuery(*self.source, bind, self.item, self.facts)


class optional(_Declare[T, S]):  # noqa: N801
    """Declare a query that returns a row, or its single value, or None."""

    def __call__(self, bind: Callable[P, Args]) -> OptionalQuery[P, T, S]:
        return OptionalQuery(*self.source, bind, self.item, self.facts)


class many(_Declare[T, S]):  # noqa: N801
    """Declare a query that returns a list of rows, or of single values."""

    def __call__(self, bind: Callable[P, Args]) -> ManyQuery[P, T, S]:
        return ManyQuery(*self.source, bind, self.item, self.facts)


class paged(_Declare[T, S]):  # noqa: N801
    """Declare a query that returns a list of rows, and pages of them by their key."""

    def __call__(self, bind: Callable[P, Args]) -> PagedQuery[P, T, S]:
        return PagedQuery(*self.source, bind, self.item, self.facts)


class count(_DeclareCount[S]):  # noqa: N801
    """Declare a query that returns the number of rows it affected."""

    __slots__ = ()

    def __call__(self, bind: Callable[P, Args]) -> CountQuery[P, S]:
        return CountQuery(*self.source, bind, int, self.facts)


class copied(_DeclareCopied[C]):  # noqa: N801
    """Declare a COPY into a table, which takes rows and returns their number."""

    __slots__ = ()

    def __call__(self, bind: Callable[P, Args]) -> CopyQuery[P, C]:
        return CopyQuery(*self.source, bind, int, self.facts)
