"""The copies of fragments in a folder of queries: their problems, and the files that ``generate`` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from plainsql.check.problems import Problem, problem_of
from plainsql.errors import Place, SqlFileError
from plainsql.files import replace_file
from plainsql.statements.discovery import find_files, read_text
from plainsql.statements.fragment_files import FragmentFolders
from plainsql.statements.fragments import Drift, expand

__all__ = ["FragmentCopies", "read_copies", "write_copies"]

_NO_TEXTS: Final[Mapping[Path, str]] = MappingProxyType({})


@dataclass(slots=True)
class FragmentCopies:
    """The files of a folder that use fragments."""

    texts: dict[Path, str] = field(default_factory=dict)
    """The texts of the files that have drifted, as their fragments make them."""
    drifts: list[Drift] = field(default_factory=list)
    errors: list[SqlFileError] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    """The paths of fragments that no file uses."""

    def problems(self) -> list[Problem]:
        """Return the errors, and a problem for each copy that has drifted."""
        found = [problem_of(each, "fragment") for each in self.errors]
        for each in self.drifts:
            place = each.place
            message = f"the copy of the fragment {each.fragment} is not what the fragment makes"
            detail = f"expected {each.expected or 'no line'!r}, got {each.got or 'no line'!r}"
            found.append(
                Problem(
                    "fragment",
                    place.path,
                    place.line,
                    place.column,
                    message,
                    detail,
                    "run `plainsql generate`",
                    place.excerpt,
                )
            )
        return sorted(set(found), key=lambda problem: problem.order)


def read_copies(folder: Path, unsaved: Mapping[Path, str] | None = None) -> FragmentCopies:
    """Return the copies of fragments in a folder of queries, and in its fragments.

    A file without tokens is left out: its own error says why. ``unsaved`` are the texts of files that an
    editor has not saved, by their resolved paths.
    """
    folder = Path(os.path.relpath(folder))
    found, folders = FragmentCopies(), FragmentFolders(folder)
    fragments = folders.files()
    used: set[str] = set()
    queries = [each.path for each in find_files(folder)[0]]
    for file in (*fragments, *queries):
        try:
            text = unsaved.get(file.resolve()) if unsaved else None
            text = read_text(file) if text is None else text
            expansion = expand(text, file, folders)
        except SqlFileError:
            continue
        if expansion.text != text:
            found.texts[file] = expansion.text
        found.drifts += expansion.drifts
        found.errors += expansion.errors
        used |= expansion.uses
    found.unused = [str(file) for file in fragments if str(file) not in used]
    return found


def write_copies(folder: Path, texts: Mapping[Path, str]) -> list[Path]:
    """Write the files that have drifted; return their paths.

    The line ends of each file stay as they are. Raises ``SqlFileError`` for a link that leads out of the
    folder, before anything is written.
    """
    targets = {file: file.resolve() for file in texts}
    for file, target in targets.items():
        if not target.is_relative_to(folder.resolve()):
            raise SqlFileError(
                f"it is a link out of the SQL folder, and is not written: {target}",
                place=Place(str(file)),
                hint="expand the fragment in that file by hand, or replace the link by a file",
            )
    for file, target in targets.items():
        has_returns = b"\r\n" in target.read_bytes()
        text = texts[file].replace("\n", "\r\n") if has_returns else texts[file]
        with replace_file(target, mode=target.stat().st_mode & 0o777) as out:
            out.write(text.encode())
    return sorted(texts)
