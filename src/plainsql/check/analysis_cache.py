"""The cache of analyses: a statement is analysed again only if its text or a definition that it uses has
changed.

The definitions are those in the database on which its analysis depends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

import plainsql.analysis
from plainsql.analysis import Analysis, PgType
from plainsql.analysis.assumptions import NO_ASSUMPTIONS, Assumptions
from plainsql.analysis.catalog.definitions import FIRST_USER_OID, Definitions
from plainsql.analysis.model import Shape
from plainsql.files import make_ignored_folder, read_file, remove_leftovers, replace_file

__all__ = ["AnalysisCache"]

# The name of the query at the end of each text: its words name nothing in the database.
_NAME_COMMENT = re.compile(r"/\* [\w.]+ \*/\s*\Z")


class AnalysisCache:
    """Analyses by the digest of everything that they depend on, in a file that may be removed at any time."""

    def __init__(
        self,
        file: Path,
        *,
        definitions: Definitions,
        assumptions: Assumptions = NO_ASSUMPTIONS,
        no_cache: bool = False,
    ) -> None:
        """Read the file; ``definitions`` are those of the database on which statements are analysed.

        ``assumptions`` are those of the settings. With ``no_cache`` the file is not read.
        """
        self._file = file
        self._definitions = definitions
        self._salt = f"{_analysis_version()}{assumptions}".encode()
        self._known: dict[str, list[Analysis]] = {}
        self._used: dict[str, list[Analysis]] = {}
        self._unsaved = no_cache
        # The file is missing, or from another version: everything is analysed.
        with suppress(OSError, ValueError, RecursionError):
            self._known = (
                {} if no_cache else msgspec.msgpack.decode(read_file(file), type=dict[str, list[Analysis]])
            )

    def key(self, variants: Iterable[tuple[str, tuple[str, ...]]]) -> str:
        """Return the key of a statement.

        It covers the text of each variant and the names of its parameters, which are not part of the text. It
        also covers the definitions in the database that the texts depend on.
        """
        digest = hashlib.blake2b(self._salt, digest_size=16)
        texts = []
        for text, parameters in variants:
            texts.append(_NAME_COMMENT.sub("", text))
            digest.update("\0".join((text, *parameters, "")).encode() + b"\0")
        digest.update(self._definitions.digest_for(texts).encode())
        return digest.hexdigest()

    def get(self, key: str) -> list[Analysis] | None:
        """Return the cached analyses in the order of the variants, or ``None``."""
        known = self._known.get(key)
        if known is None:
            return None
        self._used[key] = known
        try:
            return [self._renumbered(analysis) for analysis in known]
        except KeyError:
            return None  # a type that does not exist: the file is damaged

    def _renumbered(self, analysis: Analysis) -> Analysis:
        """Return the analysis with the oids that types have in this database: each new database has its
        own.
        """
        return replace(
            analysis,
            parameters=tuple(replace(each, type=self._type(each.type)) for each in analysis.parameters),
            columns=tuple(
                replace(each, type=self._type(each.type), shape=self._shape(each.shape))
                for each in analysis.columns
            ),
        )

    def _shape(self, shape: Shape | None) -> Shape | None:
        if shape is None:
            return None
        parts = (self._shape(part) for part in shape.parts)
        return replace(
            shape,
            type=self._type(shape.type) if shape.type is not None else None,
            parts=tuple(part for part in parts if part is not None),
        )

    def _type(self, type_: PgType) -> PgType:
        if type_.element is None and not type_.attributes and type_.oid < FIRST_USER_OID:
            return type_
        return replace(
            type_,
            oid=type_.oid
            if type_.oid < FIRST_USER_OID
            else self._definitions.type_oids[type_.schema, type_.name],
            element=self._type(type_.element) if type_.element is not None else None,
            attributes=tuple(replace(each, type=self._type(each.type)) for each in type_.attributes),
        )

    def put(self, key: str, analyses: list[Analysis]) -> None:
        """Add the analyses of a statement."""
        self._used[key] = analyses
        self._unsaved = True

    def save(self, *, keep_others: bool = False) -> None:
        """Write the analyses that this check used.

        With ``keep_others``, as after a check of some files only, the other analyses are kept too.
        """
        wanted = {**self._known, **self._used} if keep_others else self._used
        if not self._unsaved and wanted.keys() == self._known.keys():
            return
        try:
            make_ignored_folder(self._file.parent)
            remove_leftovers(self._file)
            with replace_file(self._file) as file:
                file.write(msgspec.msgpack.encode(wanted))
        except OSError:
            pass  # a read-only checkout, or a link in its place: the next check is slower, and correct


def _analysis_version() -> str:
    """Return a digest that changes with every change of the analysis itself."""
    digest = hashlib.blake2b(digest_size=16)
    for file in _modules_in(files(plainsql.analysis)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _modules_in(folder: Traversable) -> Iterator[Traversable]:
    """Yield the modules and data of a package and of the packages in it, in the order of their names."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _modules_in(entry)
        elif entry.name.endswith((".py", ".tsv")):
            yield entry
