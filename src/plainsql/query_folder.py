"""``plainsql.load``: the query objects of a folder at run time, without generated code."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from plainsql.crypto import Encrypted
from plainsql.dependencies import EVERYTHING
from plainsql.errors import ContractError
from plainsql.options import check
from plainsql.query import Args, Binder, CopyQuery, CountQuery, ManyQuery, OneQuery, OptionalQuery, Query
from plainsql.query.compiled import QueryFacts
from plainsql.statements import Statement
from plainsql.statements import load as load_statements
from plainsql.statements.header_settings import is_known_setting
from plainsql.types import UNSET

__all__ = ["Queries", "load"]

_CLASSES: dict[str, type[Query[..., Any, Any]]] = {
    "one": OneQuery,
    "optional": OptionalQuery,
    "many": ManyQuery,
    "count": CountQuery,
}


class Queries(Collection[str]):
    """The queries of a folder, by attribute (``q.realty.leads.get_by_id``) or by name
    (``q["realty.leads.get_by_id"]``).

    It has no methods, whose names queries may have; iterating gives the names.
    """

    def __init__(self, queries: Mapping[str, Query[..., Any, Any]], prefix: str = "") -> None:
        self._queries = queries
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith(
            "_"
        ):  # no query has such a name, and `copy` looks them up before `_queries` exists
            raise AttributeError(name)
        full = self._prefix + name
        if full in self._queries:
            return self._queries[full]
        if any(known.startswith(full + ".") for known in self._queries):
            return Queries(self._queries, full + ".")
        raise AttributeError(f"no query or folder {full!r}; here are: {', '.join(dir(self))}")

    def __getitem__(self, name: str) -> Query[..., Any, Any]:
        return self._queries[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._prefix + name in self._queries

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._queries if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __dir__(self) -> list[str]:
        return sorted({name.split(".")[0] for name in self})

    def __repr__(self) -> str:
        return f"<Queries {self._prefix.rstrip('.') or 'all'}: {len(self)}>"


def load(folder: str | os.PathLike[str]) -> Queries:
    """Load every ``.sql`` file below ``folder`` as a query object.

    Row types are made from the server's description, at a query's first call. The type checker does not know
    them: ``plainsql generate`` writes modules with types. Without the analysis, a ``cache:`` line has no
    effect, and each call makes every cached result stale.

    Raises ``SqlFileError`` or ``SqlFolderError``, with every error in the folder, and ``ContractError`` for
    a setting of a query that only the server could say to be harmless.
    """
    check("load", folder=folder)
    statements = load_statements(folder)
    for statement in statements.values():
        _refuse_unknown_settings(statement)
    return Queries({name: make_query(statement) for name, statement in statements.items()})


def _refuse_unknown_settings(statement: Statement) -> None:
    """Raise ``ContractError`` for a setting that is not known to be harmless: it may be a tenant's."""
    for setting in statement.settings:
        if not is_known_setting(setting.name):
            raise ContractError(
                f"{statement.name}: {setting.name} is not known to change plans and resources only",
                place=setting.place,
                hint="generate its module: the server is needed",
            )


class _Encrypting(Binder):
    """A binder for a statement with encrypted or searched parameters, or encrypted columns."""

    def __init__(
        self,
        statement: Statement,
        names: list[str],
        defaults: dict[str, object],
        bounds: dict[str, tuple[Any, Any]],
    ) -> None:
        super().__init__(names, defaults, bounds, statement.returns.row, _warning(statement))
        self.encrypted = {
            parameter.name: Encrypted(
                parameter.encryption.column,
                *parameter.encryption.marks,
                form=parameter.encryption.form,
                scope=parameter.encryption.scope,
            )
            for parameter in statement.parameters
            if parameter.encryption is not None
        }
        self.searched = {
            parameter.name
            for parameter in statement.parameters
            if parameter.encryption is not None and parameter.encryption.is_search
        }
        self.marks = {
            hint.name: Encrypted(hint.encryption.column, *hint.encryption.marks)
            for hint in statement.columns
            if hint.encryption is not None
        }
        """By column of the result."""

    def __call__(self, /, **kwargs: object) -> Args:
        values = dict(zip(self.names, super().__call__(**kwargs), strict=True))
        encrypted = {
            name: (mark.digests if name in self.searched else mark.encrypt)(
                name, values[name], [values[key] for key in mark.names]
            )
            for name, mark in self.encrypted.items()
        }
        return tuple({**values, **encrypted}.values())


def _warning(statement: Statement) -> tuple[str, str] | None:
    return (statement.name, statement.deprecated) if statement.deprecated else None


def make_query(statement: Statement) -> Query[..., Any, Any]:
    """Make the query object of one statement."""
    defaults: dict[str, object] = {}
    bounds: dict[str, tuple[Any, Any]] = {}
    for parameter in (*statement.parameters, *statement.setting_parameters):
        if parameter.optional:
            defaults[parameter.name] = UNSET
        if parameter.bounds is not None:
            if parameter.bounds.has_default:
                defaults[parameter.name] = parameter.bounds.default
            bounds[parameter.name] = (parameter.bounds.low, parameter.bounds.high)
    for choice in statement.choices:
        if choice.default is not None:
            defaults[choice.name] = choice.default
    names = [
        *(parameter.name for parameter in statement.parameters),
        *(choice.name for choice in statement.choices),
        *(parameter.name for parameter in statement.setting_parameters),
    ]
    if statement.encryptions:
        binder: Binder = _Encrypting(statement, names, defaults, bounds)
    else:
        binder = Binder(names, defaults, bounds, statement.returns.row, _warning(statement))
    binder.__doc__ = statement.description
    made: Any = CopyQuery if statement.returns.copied else _CLASSES[statement.returns.kind]
    return made(  # type: ignore[no-any-return]
        statement.name,
        statement.path,
        statement.body_line,
        statement.body,
        binder,
        None,
        QueryFacts(
            changes=EVERYTHING,
            not_null=tuple(name for hint in statement.columns for name in hint.not_null),
            settings={each.name: each.value for each in statement.settings if each.value is not None},
            setting_parameters={
                each.name: each.parameter for each in statement.settings if each.parameter is not None
            },
        ),
    )
