"""The module's database is the shop, so that ``sync_db``, ``connection`` and ``database_url`` share it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def database_url(shop_url: str) -> str:
    """The module's shop: here all fixtures use one database."""
    return shop_url
