"""What earlier reviews found: a statement whose text and schema have not changed is not analysed again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import msgspec

import plainsql.analysis
from plainsql.analysis import Analysis

__all__ = ["Memory"]


class Memory:
    """Analyses by the digest of what they depend on, in a file that may be removed at any time."""

    def __init__(self, file: Path, *, schema: str, anew: bool = False) -> None:
        """``schema`` identifies the database: its migrations and its server. With ``anew`` nothing is
        known.
        """
        self._file = file
        self._salt = _digest(schema, _analysis_version()).encode()
        self._known: dict[str, list[Analysis]] = {}
        self._used: dict[str, list[Analysis]] = {}
        self._unsaved = anew
        # Absent, or of another version: everything is analysed.
        with suppress(OSError, ValueError, RecursionError):
            self._known = (
                {} if anew else msgspec.msgpack.decode(file.read_bytes(), type=dict[str, list[Analysis]])
            )

    def key(self, variants: Iterable[tuple[str, tuple[str, ...]]]) -> str:
        """The key of a statement: by the text of each variant, and the names of its parameters, which are
        no part of it.
        """
        digest = hashlib.blake2b(self._salt, digest_size=16)
        for text, parameters in variants:
            digest.update("\0".join((text, *parameters, "")).encode() + b"\0")
        return digest.hexdigest()

    def get(self, key: str) -> list[Analysis] | None:
        """Return what is known, in the order of the variants, or None."""
        known = self._known.get(key)
        if known is not None:
            self._used[key] = known
        return known

    def put(self, key: str, analyses: list[Analysis]) -> None:
        """Remember."""
        self._used[key] = analyses
        self._unsaved = True

    def save(self, *, keep_others: bool = False) -> None:
        """Write what this review used; with ``keep_others``, as for a part of the files, what was there
        before too.
        """
        wanted = {**self._known, **self._used} if keep_others else self._used
        if not self._unsaved and wanted.keys() == self._known.keys():
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if not (ignore := self._file.parent / ".gitignore").exists():
                ignore.write_text("*\n")
            # Under a name of its own: two reviews at once do not write into each other's file.
            part = self._file.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(msgspec.msgpack.encode(wanted))
            part.replace(self._file)
        except OSError:
            pass  # a read-only checkout: the next review is slower, and right


def _analysis_version() -> str:
    """Changes with every change of the analysis itself."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files(plainsql.analysis).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
