"""The signature of a query: its parameters' names, and the errors of calls and results that do not fit."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from plainsql.encoding import why_unfit
from plainsql.errors import BindError, NoRowError, TooManyRowsError
from plainsql.query.binding import Binder, NullError
from plainsql.types import UNSET, Args

__all__ = ["Signature", "encode_error_detail", "row_count_error"]

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')

_WITH_CONNECTIONS = frozenset({"asyncpg", "psycopg", "psycopg_pool", "sqlalchemy"})


class Signature:
    """The signature of one query, made when a call does not fit it."""

    def __init__(self, name: str, bind: Callable[..., Args]) -> None:
        self._name = name
        self._bind: Any = bind
        self._hints: dict[str, str] = getattr(bind, "__annotations__", {})

    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of all parameters, and of those that must be given."""
        bind = self._bind
        if isinstance(bind, Binder):
            defaults = {name.partition(".")[0] for name in bind.defaults}
            return bind.called(), [name for name in bind.called() if name not in defaults]
        names = list(bind.__code__.co_varnames[: bind.__code__.co_kwonlyargcount])
        return names, [name for name in names if name not in (bind.__kwdefaults__ or {})]

    def text(self, method: str = "") -> str:
        """Return the signature as a call is written: ``get_by_id(db, id: UUID)``, or a call of a method."""
        expected, required = self.names()
        if method == "copy":
            return f"{self._name.rpartition('.')[2]}(db, rows)"
        called = self._name.rpartition(".")[2] + (f".{method}" if method else "")
        if method in ("batch", "execute_many"):
            keys = ", ".join(f"{name!r}: …" for name in required or expected)
            return f"{called}(db, [{{{keys}}}, …])"
        parts = [f"{name}: {self._hints[name]}" if name in self._hints else name for name in expected]
        shown = [
            part if name in required else f"[{part}]" for name, part in zip(expected, parts, strict=True)
        ]
        return f"{called}({', '.join(['db', *shown])})"

    def inspected(self, kind: str, item: Any) -> inspect.Signature:
        """Return the signature as ``inspect.signature`` and completion show it."""
        expected, required = self.names()
        defaults = self._bind.defaults if isinstance(self._bind, Binder) else self._bind.__kwdefaults__ or {}
        parameters = [inspect.Parameter("db", inspect.Parameter.POSITIONAL_ONLY)]
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if name in required else defaults.get(name, UNSET),
                annotation=self._hints.get(name, inspect.Parameter.empty),
            )
            for name in expected
        ]
        return inspect.Signature(parameters, return_annotation=_returned(kind, item))

    def executor_error(self, db: object, method: str = "") -> BindError:
        """Return the error of a call whose first argument runs no queries."""
        hint = f"call {self.text(method)}"
        library = type(db).__module__.partition(".")[0]
        if library in _WITH_CONNECTIONS:
            over = "plainsql.over" if library == "asyncpg" or _is_async(db) else "plainsql.sync.over"
            hint = f"make an executor of it: '{over}(…)'"
        elif hasattr(db, "__await__"):
            hint = "await it first, or enter it with 'async with … as db'"
        elif hasattr(db, "__aenter__") or hasattr(db, "__enter__"):
            hint = "enter it first, with 'async with … as db' or 'with … as db'"
        return BindError(
            f"{self._name}: the first argument is an executor (a Database, a Transaction, plainsql.over(…)), "
            f"got {type(db).__name__}",
            hint=hint,
        )

    def refusal(self, error: TypeError, given: Mapping[str, Any]) -> BindError:
        """Return the error of a call that the query's function did not take."""
        if isinstance(error, NullError):
            return self._null_given(given)
        if isinstance(error, BindError):
            return BindError(f"{self._name}: {error.message}", detail=error.detail, hint=error.hint)
        expected, required = self.names()
        unknown = [name for name in given if name not in expected]
        missing = [name for name in required if name not in given]
        wrong = []
        if missing:
            wrong.append(f"missing {', '.join(missing)}")
        if unknown:
            wrong.append(f"unknown {', '.join(unknown)}")
        if not wrong:  # an error inside the function itself: pass its text on
            return BindError(f"{self._name}: {error}")
        return BindError(f"{self._name}: {'; '.join(wrong)}", hint=f"call {self.text()}")

    def _null_given(self, given: Mapping[str, Any]) -> BindError:
        types = {name: self._hints.get(name, "a value") for name, value in given.items() if value is None}
        # The labels of an enum may hold anything.
        bare = {name: _TEXT.sub("", type).split(" | ") for name, type in types.items()}
        refused = [
            f"{name}: expected {type.removesuffix(' | UnsetType')}, got None"
            for name, type in types.items()
            if "None" not in bare[name]
        ]
        return BindError(
            f"{self._name}: {'; '.join(refused)}",
            hint=f"plainsql describe {self._name} says why it cannot be null",
        )


def _returned(kind: str, item: Any) -> Any:
    if kind == "count":
        return int
    if item is None:  # loaded, and not run yet: its row type is made at the first call
        return inspect.Signature.empty
    if kind == "many":
        return list[item]
    return item | None if kind == "optional" else item


def row_count_error(name: str, file: str, found: int, *, optional: bool) -> NoRowError | TooManyRowsError:
    """Return the error of a query that found another number of rows than its header says."""
    at_most = "at most one row" if optional else "exactly one row"
    if found == 0:
        return NoRowError(
            f"{name}: expected {at_most}, got none",
            hint=f"if no row is an answer, declare 'returns: optional …' in {file}",
        )
    return TooManyRowsError(
        f"{name}: expected {at_most}, got {found}",
        hint=f"if several rows are an answer, declare 'returns: many …' in {file}",
    )


def encode_error_detail(expected: str, value: object, cause: BaseException | None) -> str | None:
    """Return why a value is not of the type ``expected``, as far as the driver's error shows it."""
    if (why := why_unfit(cause)) is not None:
        return why
    if isinstance(cause, OverflowError):
        return "the value is out of range"
    if isinstance(cause, ValueError | ArithmeticError) and isinstance(value, str):
        return f"the text is not a valid {expected}"
    return None


def _is_async(db: object) -> bool:
    return any(kind.__name__.lower().startswith("async") for kind in type(db).__mro__)
