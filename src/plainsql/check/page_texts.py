"""The texts of a query's pages, prepared by the server before a module is generated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plainsql.analysis import Analysis, RefusedError
from plainsql.analysis.preparation import prepare_all
from plainsql.codegen.source_places import key_place
from plainsql.errors import ContractError
from plainsql.statements import Statement, Variant
from plainsql.statements.page_text import page_sql, total_sql

__all__ = ["check_page_texts"]


def check_page_texts(
    connection: Any, statement: Statement, variants: Iterable[tuple[Variant, Analysis]]
) -> None:
    """Prepare the first page, the pages behind it and the total of each variant.

    Raises ``ContractError`` for a text that the server refuses.
    """
    texts: list[str] = []
    for variant, analysis in variants:
        if keys := analysis.page_keys:
            count = len(variant.parameters)
            pages = [
                page_sql(variant.sql, keys, count, statement.name, after=after) for after in (False, True)
            ]
            texts += [*pages, total_sql(variant.sql, statement.name)]
    for answer in prepare_all(connection, texts):
        if isinstance(answer, RefusedError):
            raise ContractError(
                f"{statement.name}: PostgreSQL refuses its pages: {answer.message}",
                sqlstate=answer.sqlstate,
                place=key_place(statement, "page"),
                detail=answer.detail,
                hint="simplify the query, or remove the line",
            )
