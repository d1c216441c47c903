"""The types of the kitchen's JSON columns, written by hand next to the generated modules."""

from __future__ import annotations

import msgspec


class Payload(msgspec.Struct):
    source: str
    version: int = 1


class Item(msgspec.Struct):
    name: str
    grams: float
