"""ConnectorX: a reader in Rust, straight into Arrow's columns. It offers nothing else.

It connects for each call and takes no parameters, which is how it is meant: for large results. It has no
asynchronous calls.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import connectorx

from benchmarks.contenders.base import Contender
from benchmarks.data import LIST_LEADS
from benchmarks.database import Place

__all__ = ["ConnectorxColumns"]


class ConnectorxColumns(Contender):
    name = "ConnectorX, Arrow"
    distributions = ("connectorx",)

    async def open(self, place: Place) -> None:
        # The folder of a socket is a host to it, with the slashes quoted.
        self.url = f"postgresql://{place.user}@{quote(place.host, safe='')}:{place.port}/{place.database}"

    async def close(self) -> None:
        pass

    async def list_columns(self, after: int, limit: int) -> Any:
        query = LIST_LEADS.replace("$1", str(after)).replace("$2", str(limit))
        return connectorx.read_sql(self.url, query, return_type="arrow", protocol="binary")
