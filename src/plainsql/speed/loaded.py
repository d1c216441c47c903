"""The compiled part, if it can be used: the one place that imports it."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["CONNECT", "COPY_ENCODER", "MAKE_READER", "PROTOCOL", "SEND_BLOCKS", "STEP"]

PROTOCOL: Any = None
"""The class of the protocol of the pool's connections; None without the compiled part."""

STEP: Any = None
"""The class of a Bind and Execute within a round trip; None without the compiled part."""

CONNECT: Any = None
"""``asyncpg.connect`` for connections of that protocol; None without the compiled part."""

MAKE_READER: Any = None
"""Makes the reader of a row plan for a prepared statement; None without the compiled part."""

COPY_ENCODER: Any = None
"""The class of the encoder of a copy's rows; None without the compiled part."""

SEND_BLOCKS: Any = None
"""Runs a COPY with the blocks of an encoder; None without the compiled part."""

try:
    from plainsql.speed import _copy, _wire
except ImportError:
    pass
else:
    from plainsql.speed.connect import connect_with

    class _Protocol(_wire.WireProtocol, asyncio.Protocol):  # type: ignore[misc]
        pass

    PROTOCOL, STEP, CONNECT = _Protocol, _wire.Step, connect_with(_Protocol)
    COPY_ENCODER, SEND_BLOCKS = _copy.CopyEncoder, _copy.send_blocks
