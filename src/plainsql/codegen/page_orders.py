"""``page: key``: the orders of a query's pages, one for each combination of the choices that decide it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final

from plainsql.analysis.model import Analysis
from plainsql.codegen.source_names import is_field_name, normalized, string_literal
from plainsql.codegen.source_places import key_place
from plainsql.errors import ContractError
from plainsql.statements import Statement, Variant
from plainsql.statements.page_text import PageKey, PageOrder

__all__ = ["orders_text", "page_orders"]

_TYPES: Final = frozenset(
    (
        *("bool", "int2", "int4", "int8", "numeric", "float4", "float8"),
        *("text", "varchar", "bpchar", "citext", "name", "uuid"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "bytea"),
    )
)
"""The types whose values a token holds; enums too."""


def page_orders(
    statement: Statement, variants: Sequence[Analysis], texts: Sequence[Variant]
) -> tuple[PageOrder, ...]:
    """Return the orders of a query with ``page: key``; none for another query.

    Raises ``ContractError`` if the order is not total, or a token cannot hold its columns.
    """
    if not statement.paged:
        return ()
    hidden = {hint.name for hint in statement.columns if hint.encryption is not None}
    for analysis in variants:
        if analysis.not_paged_because:
            raise _error(
                statement,
                f"has no order for pages: {analysis.not_paged_because}",
                "select the columns of the order, and end it in a unique key",
            )
        types = {column.name: column.type for column in analysis.columns}
        for key in analysis.page_keys:
            base = types[key.column]
            while base.kind == "domain" and base.element is not None:
                base = base.element
            if base.kind != "enum" and base.name not in _TYPES:
                raise _error(
                    statement,
                    f"a page's token cannot hold {key.column}, a value of the type {types[key.column]}",
                    "order by a number, a text, a time, a uuid or a boolean",
                )
            if key.column in hidden:
                raise _error(
                    statement,
                    f"a page's token cannot hold {key.column}: it is encrypted",
                    "order by a column that is not",
                )
            if not is_field_name(key.column) or normalized(key.column) != key.column:
                raise _error(
                    statement,
                    f"the order has {key.column!r}, which is no field of the row itself",
                    "select it again under a plain name, and order by that",
                )
    return _by_choices(statement, variants, texts)


def orders_text(orders: Sequence[PageOrder], name: Callable[[str], str]) -> str:
    """Return orders as source; ``name`` returns the module's name for an import."""
    written = []
    for order in orders:
        keys = ", ".join(_key(key, name("PageKey")) for key in order.keys)
        choices = ", ".join(f"({string_literal(choice)}, {_value(value)})" for choice, value in order.choices)
        more = f", ({choices},)" if choices else ""
        written.append(f"{name('PageOrder')}(({keys},){more})")
    return f"({', '.join(written)},)"


def _value(value: str | bool) -> str:
    return str(value) if isinstance(value, bool) else string_literal(value)


def _key(key: PageKey, name: str) -> str:
    flags = [name for name in ("descending", "nullable", "nulls_first") if getattr(key, name)]
    return f"{name}({', '.join([string_literal(key.column), *(f'{flag}=True' for flag in flags)])})"


def _by_choices(
    statement: Statement, variants: Sequence[Analysis], texts: Sequence[Variant]
) -> tuple[PageOrder, ...]:
    """Find the fewest choices that decide the order."""
    names = [choice.name for choice in statement.choices]
    for count in range(len(names) + 1):
        for deciding in combinations(names, count):
            found: dict[tuple[tuple[str, str | bool], ...], tuple[PageKey, ...]] = {}
            for analysis, text in zip(variants, texts, strict=True):
                chosen = tuple((name, text.choices[name]) for name in deciding)
                if found.setdefault(chosen, analysis.page_keys) != analysis.page_keys:
                    break
            else:
                return tuple(PageOrder(keys, chosen) for chosen, keys in found.items())
    raise _error(
        statement,
        "its order depends on an optional line",
        "let a choice decide the order: --? order=newest",
    )


def _error(statement: Statement, message: str, hint: str) -> ContractError:
    return ContractError(f"{statement.name}: {message}", place=key_place(statement, "page"), hint=hint)
