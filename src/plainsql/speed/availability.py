"""The decision on the compiled part, before any module of it is imported."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plainsql.errors import SettingsError
from plainsql.speed.build_record import BuildRecord, read_record, source_digest

__all__ = ["REBUILD", "VARIABLE", "Status", "availability"]

VARIABLE = "PLAINSQL_SPEED"
"""The environment variable that switches the compiled part off."""

REBUILD = "pip install --force-reinstall --no-cache-dir --no-binary plainsql plainsql"
"""Builds it for the installed Python, if there is a C compiler."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the compiled part in this process."""

    running: bool
    """True if connections of `plainsql.connect` use it."""
    reason: str
    """The reason for not using it, in one line; empty if it is in use."""
    hint: str
    """One thing to do about it; empty if it is in use."""
    asyncpg: str
    """The version of asyncpg that is installed."""
    built_for: str
    """The version of asyncpg that it was built for; empty if it was not built."""
    python: str
    """The version of Python."""
    switched_off: bool
    """True if ``PLAINSQL_SPEED=0`` says not to use it."""

    def __str__(self) -> str:
        if self.running:
            return f"in use, built for asyncpg {self.built_for}"
        return f"not in use: {self.reason}"


def availability(installed: str, environ: Mapping[str, str] | None = None, folder: Path = _FOLDER) -> Status:
    """Return the status for an installed asyncpg, as far as it is known without importing the compiled part.

    Raises ``SettingsError`` for a value of ``PLAINSQL_SPEED`` that is neither 0 nor 1.
    """
    environ = os.environ if environ is None else environ
    record = read_record(folder)
    built_for = record.asyncpg if record is not None and not record.failure else ""
    reason, hint = _obstacle(installed, record, environ, folder)
    off = environ.get(VARIABLE) == "0"
    return Status(not reason, reason, hint, installed, built_for, platform.python_version(), off)


def _obstacle(
    installed: str, record: BuildRecord | None, environ: Mapping[str, str], folder: Path
) -> tuple[str, str]:
    """Return why it must not be used, and what to do about it; empty texts if it may."""
    switch = environ.get(VARIABLE, "")
    if switch == "0":
        return f"{VARIABLE}=0 switches it off", f"unset {VARIABLE}"
    if switch not in ("", "1"):
        raise SettingsError(
            f"{VARIABLE} is {switch!r}, expected 0 or 1", hint=f"unset {VARIABLE}, or set it to 0"
        )
    if sys.implementation.name != "cpython":
        return f"it is for CPython, and this is {platform.python_implementation()}", "use CPython"
    if "t" in getattr(sys, "abiflags", ""):
        return "it is not for free-threaded builds of Python", "use a build of Python with the GIL"
    sources = source_digest(folder)
    again = "make speed" if sources else REBUILD
    if record is None:
        return f"it was not built for Python {platform.python_version()}", again
    if record.failure:
        return f"it was not built: {record.failure}", again
    if sources and record.sources != sources:
        return "its sources have changed since it was built", again
    if record.asyncpg != installed:
        return (
            f"it was built for asyncpg {record.asyncpg}, and {installed} is installed",
            f"pip install asyncpg=={record.asyncpg}",
        )
    return "", ""
