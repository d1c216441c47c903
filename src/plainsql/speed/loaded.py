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
    "ARROW",
    "COLUMNS",
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


def _parts() -> dict[str, Any]:
    """Import the modules, and return what the rest of plainsql uses of them."""
    wire: Any = import_module("plainsql.speed._wire")
    stream: Any = import_module("plainsql.speed._stream")
    rows: Any = import_module("plainsql.speed._rows")
    copy: Any = import_module("plainsql.speed._copy")
    protocol: Any = type("Protocol", (stream.StreamProtocol, asyncio.Protocol), {})
    if _loses_references(protocol):
        raise TypeError("objects of its classes and of asyncpg's end in different ways")
    return {
        "PROTOCOL": protocol,
        "STEP": wire.Step,
        "CONNECT": connect_with(protocol),
        "MAKE_READER": rows.reader_of,
        "NUMBERED_READER": wire.NumberedReader,
        "PORTAL": stream.Portal,
        "COPY_ENCODER": copy.CopyEncoder,
        "SEND_BLOCKS": copy.send_blocks,
        "ARROW": import_module("plainsql.speed._arrow"),
        "COLUMNS": import_module("plainsql.speed._columns"),
    }


def _loses_references(protocol_class: Any) -> bool:
    """Return whether the end of an object changes the number of references to its class.

    It does if this extension and asyncpg were compiled with different kinds of classes. The class would be
    freed while it is in use.
    """
    references = sys.getrefcount(protocol_class)
    protocol_class.__new__(protocol_class)
    return sys.getrefcount(protocol_class) != references


def _loaded() -> tuple[Status, dict[str, Any]]:
    """Return the state of the compiled part, and its parts; none unless it is in use."""
    status = availability(asyncpg.__version__)  # type: ignore[attr-defined]
    if not status.running:
        return status, {}
    try:
        return status, _parts()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        # Modules of another system, or an asyncpg of this version with other classes than its release.
        first_line = str(error).partition("\n")[0]
        reason = f"it cannot be imported: {type(error).__name__}: {first_line}"
        return replace(status, running=False, reason=reason, hint=f"{REBUILD} asyncpg"), {}


STATUS, _PARTS = _loaded()

PROTOCOL: Any = _PARTS.get("PROTOCOL")
"""The class of the protocol of the pool's connections; None without the compiled part."""

STEP: Any = _PARTS.get("STEP")
"""The class of a Bind and Execute within a round trip; None without the compiled part."""

CONNECT: Any = _PARTS.get("CONNECT")
"""``asyncpg.connect`` for connections of that protocol; None without the compiled part."""

MAKE_READER: Any = _PARTS.get("MAKE_READER")
"""Makes the reader of a row plan for a prepared statement; None without the compiled part."""

NUMBERED_READER: Any = _PARTS.get("NUMBERED_READER")
"""The class of readers for statements that answer several calls; None without the compiled part."""

PORTAL: Any = _PARTS.get("PORTAL")
"""The class of a statement's rows in blocks; None without the compiled part."""

COPY_ENCODER: Any = _PARTS.get("COPY_ENCODER")
"""The class of the encoder of a copy's rows; None without the compiled part."""

SEND_BLOCKS: Any = _PARTS.get("SEND_BLOCKS")
"""Runs a COPY with the blocks of an encoder; None without the compiled part."""

ARROW: Any = _PARTS.get("ARROW")
"""The module of Arrow's C data interface; None without the compiled part."""

COLUMNS: Any = _PARTS.get("COLUMNS")
"""The module that reads rows into columns; None without the compiled part."""
