"""The sample data of the layers, as rows of their tables.

The same arguments give the same rows. People, numbers and messages are invented.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Final, NamedTuple

__all__ = ["SAMPLES", "Sample", "SampleTable", "sample_tables"]


@dataclass(frozen=True, slots=True)
class SampleTable:
    """The rows of one table."""

    schema: str
    name: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]] = field(repr=False)
    """Values in the order of ``columns``; values of ``json`` columns are texts."""


class Sample(NamedTuple):
    """The source of a layer's sample data."""

    module: str
    """The module with the function ``tables(now=, rows=, seed=)``."""
    rows_of: str
    """The table of which ``rows`` is the number of rows."""
    tenant: str | None = None
    """The tenant that the rows are of, if none is named; None for a layer without tenants."""
    max_rows: int = 200_000


SAMPLES: Final = {
    "assistant": Sample("plainsql.layers.assistant.sample_desk", "message_history", "sample"),
    "marketplace": Sample("plainsql.layers.marketplace.sample_stall", "messages"),
    # An embedding is 49 kB in Python.
    "realty": Sample("plainsql.layers.realty.sample", "properties", max_rows=20_000),
    "whatsapp": Sample(
        "plainsql.layers.whatsapp.sample_business", "messages", "00000000-0000-4000-8000-000000000001"
    ),
}
"""The layers that have sample data."""


def sample_tables(layer: str, *, now: datetime, rows: int, seed: int) -> tuple[SampleTable, ...]:
    """Return the sample data of a layer, each table after those it refers to.

    Ids of identity columns begin at 1 in each table. Rows of tenants have no ``tenant_id``: the database
    fills it in.

    Args:
        layer: one of ``SAMPLES``.
        now: aware. The past is before it, what is planned is after it.
        rows: at least 1: the number of rows of the largest table.
        seed: another seed gives other data of the same kind.
    """
    if layer == "realty":
        from plainsql.layers.realty.sample import tables as realty_tables

        made = realty_tables(now=now, properties=rows, leads=max(rows // 8, 1), seed=seed)
        return tuple(SampleTable(each.schema, each.name, each.columns, each.rows) for each in made)
    tables: Callable[..., tuple[SampleTable, ...]] = import_module(SAMPLES[layer].module).tables
    return tables(now=now, rows=rows, seed=seed)
