"""The tables of settings in ``pyproject.toml``: their keys, the kinds of their values, what excludes what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from plainsql.errors import Place, SettingsError

__all__ = ["SCHEMA_SETTINGS", "SettingsFile", "kind_of", "project_names", "read_table"]

_KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": ("a number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "int | str": (
        "a number or a string",
        lambda value: isinstance(value, (int, str)) and not isinstance(value, bool),
    ),
    "tuple[str, ...]": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    ),
    "Mapping[str, Any]": ("a table", lambda value: isinstance(value, dict)),
}
"""The kinds of the settings, by the annotations of the fields of ``Project``: a name, and a test."""


SCHEMA_SETTINGS: Final = ("migrations", "schema", "schema_command", "schema_from")
"""The settings that say what makes the schema; at most one of them is given."""
_SCHEMA_DETAILS: Final[Mapping[str, str]] = {
    "schema_watch": "schema_command",
    "schema_variables": "schema_command",
    "schema_timeout": "schema_command",
    "schema_file": "schema_from",
}
"""Settings that need another one."""


def _refuse_two_schemas(settings: Mapping[str, Any], file: Path, table: str) -> None:
    given = [name for name in SCHEMA_SETTINGS if settings.get(name)]
    if len(given) > 1:
        raise SettingsError(
            f"{' and '.join(given)} in [{table}]: expected one of them, got {len(given)}",
            place=Place(str(file)),
            hint="keep the one that makes the schema",
        )
    for name, needed in _SCHEMA_DETAILS.items():
        if name in settings and needed not in settings:
            raise SettingsError(
                f"{name} in [{table}]: expected {needed} with it, got none",
                place=Place(str(file)),
                hint=f"remove {name}, or set {needed}",
            )


def read_table(file: Path, place: str, table: object, known: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a table, checked.

    ``place`` is the table's name, and ``known`` has the annotation of each key. Raises ``SettingsError``.
    """
    if not isinstance(table, dict):
        raise SettingsError(
            f"{place}: expected a table, got {type(table).__name__}",
            place=Place(str(file)),
            hint=f"write [{place}], and the settings below it",
        )
    settings: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise SettingsError(
                f"unknown key {key!r} in [{place}]",
                place=Place(str(file)),
                hint=f"the keys are {', '.join(sorted(known))}",
            )
        expected, accepts = _KINDS[known[key]]
        if not accepts(value):
            raise SettingsError(
                f"{key} in [{place}]: expected {expected}, got {kind_of(value)}", place=Place(str(file))
            )
        settings[key] = tuple(value) if isinstance(value, list) else value
    _refuse_two_schemas(settings, file, place)
    return settings


def project_names(document: Mapping[str, Any]) -> Iterator[object]:
    """Yield what a ``pyproject.toml`` has as the name of the project."""
    tool = document.get("tool")
    for table in (document.get("project"), tool.get("poetry") if isinstance(tool, dict) else None):
        if isinstance(table, dict):
            yield table.get("name")


def kind_of(value: object) -> str:
    """Return the kind of a value, as messages name it."""
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return "a list with other values"
    return next((name for name, accepts in _KINDS.values() if accepts(value)), type(value).__name__)


class SettingsFile:
    """The lines of ``pyproject.toml``, in which a setting is found by its text."""

    def __init__(self, file: Path) -> None:
        self._shown = os.path.relpath(file)
        self._lines: list[str] = []
        with suppress(OSError, UnicodeDecodeError):
            self._lines = file.read_text(encoding="utf-8").splitlines()

    def place(self, key: str, entry: str = "") -> Place:
        """Return the place of an entry of a key, else of the key, else the file."""
        of_key = self._find(1, f'"{key}"') or self._find(1, f"'{key}'")
        if of_key is None:
            return Place(self._shown)
        of_entry = self._find(of_key.line, entry) if entry else None
        return of_entry or of_key

    def _find(self, start: int, text: str) -> Place | None:
        for number, line in enumerate(self._lines[start - 1 :], start):
            if text in line:
                return Place(self._shown, number, line.index(text) + 1, line)
        return None
