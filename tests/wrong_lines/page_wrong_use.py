"""A page of a query without pages, an order that is not on the list, and a page without a request."""

from __future__ import annotations

from plainsql import Database, PageRequest
from plainsql.layers.realty import leads


async def read_pages(db: Database) -> None:
    # refused by mypy: has no attribute "page"
    # refused by pyright: Cannot access attribute "page" for class "ManyQuery
    await leads.list.page(db, PageRequest())
    # refused by mypy: No overload variant of "page" of "PagedQuery" matches
    # refused by pyright: No overloads for "page" match
    await leads.browse.page(db, PageRequest(), order="cheapest")
    # refused by mypy: No overload variant of "page" of "PagedQuery" matches
    # refused by pyright: No overloads for "page" match
    await leads.browse.page(db, size=20)
