"""The types of pages: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

import plainsql
from plainsql.layers.realty import leads
from plainsql.sync import Database as SyncDatabase


async def a_page_has_the_rows_of_its_query(db: plainsql.Database, sync: SyncDatabase) -> None:
    page = await leads.browse.page(db, plainsql.PageRequest(size=5), order="oldest")
    assert_type(page, plainsql.Page[leads.Lead])
    assert_type(page.rows, list[leads.Lead])
    assert_type(page.next, str | None)
    assert_type(leads.browse.page(sync, plainsql.PageRequest()), plainsql.Page[leads.Lead])
    assert_type(await leads.browse(db), list[leads.Lead])
