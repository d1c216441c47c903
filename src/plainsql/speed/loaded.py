"""The compiled part, if it can be used: the one place that imports it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

import asyncpg

from plainsql.speed.availability import REBUILD, Status, availability
from plainsql.speed.connect import connect_with

__all__ = [
    "CONNECT",
    "COPY_ENCODER",
    "MAKE_READER",
    "NUMBERED_READER",
    "PORTAL",
    "PROTOCOL",
    "SEND_BLOCKS",
    "STATUS",
    "STEP",
]

PROTOCOL: Any = None
"""The class of the protocol of the pool's connections; None without the compiled part."""

STEP: Any = None
"""The class of a Bind and Execute within a round trip; None without the compiled part."""

CONNECT: Any = None
"""``asyncpg.connect`` for connections of that protocol; None without the compiled part."""

NUMBERED_READER: Any = None
"""The class of readers for statements that answer several calls; None without the compiled part."""

MAKE_READER: Any = None
"""Makes the reader of a row plan for a prepared statement; None without the compiled part."""

PORTAL: Any = None
"""The class of a statement's rows in blocks; None without the compiled part."""

COPY_ENCODER: Any = None
"""The class of the encoder of a copy's rows; None without the compiled part."""

SEND_BLOCKS: Any = None
"""Runs a COPY with the blocks of an encoder; None without the compiled part."""


def _loses_references(protocol_class: Any) -> bool:
    """Return whether the end of an object changes the number of references to its class.

    It does if this extension and asyncpg were compiled with different kinds of classes. The class would be
    freed while it is in use.
    """
    references = sys.getrefcount(protocol_class)
    protocol_class.__new__(protocol_class)
    return sys.getrefcount(protocol_class) != references


STATUS: Status = availability(asyncpg.__version__)  # type: ignore[attr-defined]
"""The state of the compiled part."""

if STATUS.running:
    try:
        _wire: Any = import_module("plainsql.speed._wire")
        _stream: Any = import_module("plainsql.speed._stream")
        PROTOCOL = type("Protocol", (_stream.StreamProtocol, asyncio.Protocol), {})
        if _loses_references(PROTOCOL):
            raise TypeError("objects of its classes and of asyncpg's end in different ways")
        _copy: Any = import_module("plainsql.speed._copy")
        COPY_ENCODER, SEND_BLOCKS = _copy.CopyEncoder, _copy.send_blocks
        PORTAL = _stream.Portal
        MAKE_READER = import_module("plainsql.speed._rows").reader_of
        STEP, CONNECT = _wire.Step, connect_with(PROTOCOL)
        NUMBERED_READER = _wire.NumberedReader
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        # Modules of another system, or an asyncpg of this version with other classes than its release.
        PROTOCOL = STEP = CONNECT = MAKE_READER = NUMBERED_READER = None
        PORTAL = COPY_ENCODER = SEND_BLOCKS = None
        STATUS = replace(
            STATUS,
            running=False,
            reason=f"it cannot be imported: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            hint=f"{REBUILD} asyncpg",
        )
