"""The changes of a layer's files that a setting of its copy makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plainsql.errors import PlainsqlError

__all__ = ["Edit", "NewFile", "apply_edits"]


class Edit(NamedTuple):
    """One change of a text, which must be in one of the files."""

    files: str
    """A pattern of paths below the repository: ``sql/realty/*/set_embedding.sql``."""
    old: str
    new: str


class NewFile(NamedTuple):
    """A file that the layer has not."""

    path: str
    """Its path below the repository."""
    text: str


def apply_edits(edits: Sequence[Edit | NewFile], texts: dict[Path, str]) -> None:
    """Apply changes in their order to the texts of a layer by path.

    Raises ``PlainsqlError`` if the text that one changes is in no file.
    """
    for edit in edits:
        if isinstance(edit, NewFile):
            texts[Path(edit.path)] = edit.text
            continue
        places = [path for path, text in texts.items() if path.match(edit.files) and edit.old in text]
        if not places:
            raise PlainsqlError(
                f"{edit.files}: a text that a setting changes is not there",
                hint="the files of the installed plainsql were changed: install it again",
            )
        for path in places:
            texts[path] = texts[path].replace(edit.old, edit.new)
