"""ADBC's driver for PostgreSQL: libpq and COPY, straight into Arrow's columns. It offers nothing else.

It has no asynchronous calls. Here it blocks the loop, which costs least; a server would need a thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from adbc_driver_postgresql import dbapi

from benchmarks.contenders.base import Contender
from benchmarks.data import DIMENSIONS, LIST_LEADS, LIST_VECTORS
from benchmarks.database import Place

__all__ = ["AdbcColumns"]


class AdbcColumns(Contender):
    name = "ADBC, Arrow"
    distributions = ("adbc-driver-postgresql",)

    async def open(self, place: Place) -> None:
        self.connection: Any = dbapi.connect(place.url, autocommit=True)

    async def close(self) -> None:
        self.connection.close()

    async def list_columns(self, after: int, limit: int) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(LIST_LEADS, (after, limit))
            return cursor.fetch_arrow_table()

    async def read_matrix(self, count: int) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(LIST_VECTORS, (count,))
            column = cursor.fetch_arrow_table()["embedding"].combine_chunks()
        # It has no type for vectors, and returns their bytes: one stretch of memory, read as one array.
        storage = getattr(column, "storage", column)
        offset = storage.offset
        bounds = np.frombuffer(storage.buffers()[1], np.int32)[offset : offset + count + 1]
        data = np.frombuffer(storage.buffers()[2], np.uint8)[bounds[0] : bounds[-1]]
        return data.reshape(count, -1)[:, 4:].copy().view(">f4").astype(np.float32).reshape(count, DIMENSIONS)
