"""The folder ``stats/``: ``production.toml``, and one TOML file for each schema below ``schemas/``.

A text has the same order each time, one fact a line, so that a difference between two files is one in
production. All files are written before the first one is moved to its place.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from plainsql.errors import Place, SettingsError
from plainsql.files import read_file, remove_leftovers, replace_file
from plainsql.plans.statistics.fact_forms import wrong_fact, wrong_setting
from plainsql.plans.statistics.production_statistics import (
    FORMAT,
    ColumnStatistics,
    ExtendedStatistics,
    IndexStatistics,
    Production,
    ProductionStatistics,
    TableStatistics,
)

__all__ = ["read_statistics", "write_statistics"]

_PRODUCTION: Final = "production.toml"
_SCHEMAS: Final = "schemas"
_WRITTEN_BY: Final = "Written by: plainsql stats pull"
_HEADER_BYTES: Final = 1024
"""The most bytes of the first line, which names plainsql as the writer."""
_AGAIN: Final = "write the files again: plainsql stats pull"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_NAME: Final = re.compile(r"[a-z0-9_]", re.ASCII)
_KINDS: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_PARTS: Final = ("columns", "inherited", "indexes", "extended")
_T = TypeVar("_T")


# -- Writing


def write_statistics(folder: Path, statistics: ProductionStatistics) -> list[Path]:
    """Write the files of a folder, all or none, and return the files that changed.

    Files of schemas that production does not have any more are removed, if plainsql wrote them.

    Raises ``SettingsError`` if the folder holds files of another kind or is a file, and the errors of
    ``replace_file``.
    """
    schemas = folder / _SCHEMAS
    _refuse_foreign(folder)
    try:
        schemas.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SettingsError(
            f"{folder}: expected a folder, got a file", hint="name a folder of its own: -o stats/"
        ) from None
    texts = {folder / _PRODUCTION: _production_text(statistics.production)}
    for schema, tables in sorted(statistics.schemas.items()):
        texts[schemas / f"{_file_name(schema)}.toml"] = _schema_text(schema, tables)
    changed = [path for path, text in texts.items() if _content(path) != text.encode()]
    with ExitStack() as stack:
        for path in changed:  # the first is moved last: it says that the others are whole
            remove_leftovers(path)
            stack.enter_context(replace_file(path)).write(texts[path].encode())
    for path in schemas.glob("*.toml"):
        if path not in texts:
            path.unlink()
            changed.append(path)
    return changed


def _refuse_foreign(folder: Path) -> None:
    """Refuse files that plainsql did not write: they would be replaced or removed."""
    for path in (folder / _PRODUCTION, *sorted((folder / _SCHEMAS).glob("*.toml"))):
        if path.is_file() and not _is_written(path):
            raise SettingsError(
                f"{_shown(path)}: another program wrote this file, and it is kept",
                hint="move it, or name a folder of its own: -o stats/",
            )
    if folder.is_dir() and not (folder / _PRODUCTION).exists() and any(folder.glob("*.*")):
        raise SettingsError(
            f"{_shown(folder)} holds other files, and no {_PRODUCTION}",
            hint="name a folder of its own: -o stats/",
        )


def _is_written(path: Path) -> bool:
    """Return True if the first line of a file says that plainsql wrote it."""
    with path.open("rb") as file:
        line = file.readline(_HEADER_BYTES).decode(errors="replace").strip()
    return line.startswith("#") and line.endswith(_WRITTEN_BY)


def _content(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return read_file(path)
    return None


def _file_name(schema: str) -> str:
    """Return the name of a schema's file: the same on file systems that do not know upper case."""
    return "".join(c if _PLAIN_NAME.match(c) else "".join(f"%{b:02x}" for b in c.encode()) for c in schema)


def _production_text(production: Production) -> str:
    lines = [f"# A production database as PostgreSQL's planner sees it. {_WRITTEN_BY}"]
    facts = msgspec.structs.asdict(production)
    settings, roles = facts.pop("settings"), facts.pop("roles")
    lines += _facts(facts, Production)
    lines += ["", "[settings]", *_facts(settings)]
    for role, own in sorted(roles.items()):
        lines += ["", f"[roles.{_key(role)}]", *_facts(own)]
    return "\n".join([*lines, ""])


def _schema_text(schema: str, tables: Mapping[str, TableStatistics]) -> str:
    lines = [f"# Statistics of the schema {_one_line(schema)}. {_WRITTEN_BY}"]
    lines += [f"format = {FORMAT}", f"schema = {_string(schema)}"]
    for name, table in sorted(tables.items()):
        lines += _table_lines(f"tables.{_key(name)}", table)
    return "\n".join([*lines, ""])


def _table_lines(place: str, table: TableStatistics) -> Iterator[str]:
    facts = msgspec.structs.asdict(table)
    columns, inherited = facts.pop("columns"), facts.pop("inherited")
    indexes: dict[str, IndexStatistics] = facts.pop("indexes")
    extended: dict[str, ExtendedStatistics] = facts.pop("extended")
    yield from ("", f"[{place}]", *_facts(facts, TableStatistics))
    for part, own in (("columns", columns), ("inherited", inherited)):
        yield from _columns_lines(f"{place}.{part}", own)
    for name, index in sorted(indexes.items()):
        here = f"{place}.indexes.{_key(name)}"
        facts = msgspec.structs.asdict(index)
        columns, gin = facts.pop("columns"), facts.pop("gin")
        yield from ("", f"[{here}]", *_facts(facts, IndexStatistics))
        if gin is not None:
            yield from ("", f"[{here}.gin]", *_facts(msgspec.structs.asdict(gin), type(gin)))
        yield from _columns_lines(f"{here}.columns", columns)
    for name, statistics in sorted(extended.items()):
        facts = msgspec.structs.asdict(statistics)
        yield from ("", f"[{place}.extended.{_key(name)}]", *_facts(facts, ExtendedStatistics))


def _columns_lines(place: str, columns: Mapping[str, ColumnStatistics]) -> Iterator[str]:
    for name, column in sorted(columns.items()):
        yield from ("", f"[{place}.{_key(name)}]", *_facts(msgspec.structs.asdict(column), ColumnStatistics))


def _facts(facts: Mapping[str, Any], kind: type[msgspec.Struct] | None = None) -> Iterator[str]:
    """Yield a line for each fact that is not its default; required ones always."""
    defaults = _defaults(kind) if kind else {}
    for key, value in facts.items() if kind else sorted(facts.items()):
        if value not in (None, defaults.get(key, msgspec.NODEFAULT), []):
            yield f"{_key(key)} = {_value(value)}"


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {each.name: each.default for each in msgspec.structs.fields(kind)}


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case int():
            return str(value)
        case datetime():
            return value.isoformat(timespec="seconds")
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return _string(str(value))


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else _quoted(name)


def _string(text: str) -> str:
    """Return a TOML string: as it is if it can be, which is also read much faster."""
    return f"'{text}'" if text.isprintable() and "'" not in text else _quoted(text)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for one character.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return text if text.isprintable() else _quoted(text)


# -- Reading


def read_statistics(folder: Path) -> ProductionStatistics:
    """Return the statistics in a folder.

    Raises ``SettingsError``, with the file and its line, if a file is missing or is not as it was written.
    """
    file = folder / _PRODUCTION
    source = _Source.read(file)
    version = source.document.get("format")
    if version != FORMAT:
        raise source.error(f"format: expected {FORMAT}, got {version!r}", ("format",), hint=_newer(version))
    production = source.convert((), Production)
    if production.taken.tzinfo is None or not re.match(r"\d+", production.server):
        key = "server" if production.taken.tzinfo else "taken"
        raise source.error(f"{key}: expected {_EXPECTED[key]}", (key,))
    owners: list[tuple[tuple[str, ...], dict[str, str]]] = [(("settings",), production.settings)]
    owners += [(("roles", role), own) for role, own in production.roles.items()]
    for place, own in owners:
        if wrong := wrong_setting(own):
            raise source.error(f"{wrong[0]}: {wrong[1]}", (*place, wrong[0]))
    schemas: dict[str, dict[str, TableStatistics]] = {}
    for path in sorted((folder / _SCHEMAS).glob("*.toml")):
        schema, tables = _read_schema(_Source.read(path))
        schemas[schema] = tables
    return ProductionStatistics(production=production, schemas=schemas)


_EXPECTED: Final = {"server": "a version such as 15.8", "taken": "a time with its zone"}


def _newer(version: object) -> str | None:
    if isinstance(version, int) and version > FORMAT:
        return "a later version of plainsql wrote it: upgrade, or write it again with this one"
    return None


def _read_schema(source: _Source) -> tuple[str, dict[str, TableStatistics]]:
    schema = source.document.get("schema")
    if not isinstance(schema, str):
        raise source.error("schema: expected the name of the schema", ("schema",))
    tables = {name: _read_table(source, ("tables", name)) for name in source.names(("tables",))}
    return schema, tables


def _read_table(source: _Source, place: tuple[str, ...]) -> TableStatistics:
    found = source.convert(place, TableStatistics, without=_PARTS)
    for part in ("columns", "inherited"):
        names = source.names((*place, part))
        columns = {name: source.convert((*place, part, name), ColumnStatistics) for name in names}
        setattr(found, part, columns)
    found.extended = {
        name: source.convert((*place, "extended", name), ExtendedStatistics)
        for name in source.names((*place, "extended"))
    }
    for name in source.names((*place, "indexes")):
        here = (*place, "indexes", name)
        index = source.convert(here, IndexStatistics, without=("columns",))
        index.columns = {
            each: source.convert((*here, "columns", each), ColumnStatistics)
            for each in source.names((*here, "columns"))
        }
        found.indexes[name] = index
    return found


class _Source:
    """A TOML file, and the lines of what is in it."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self.path = path
        self.text = text
        self.document = document

    @classmethod
    def read(cls, path: Path) -> _Source:
        try:
            text = read_file(path).decode()
        except FileNotFoundError:
            raise SettingsError(f"{_shown(path)}: there is no such file", hint=_AGAIN) from None
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"expected UTF-8, got {error.object[error.start]:#04x} at byte {error.start}",
                place=Place(_shown(path)),
                hint=_AGAIN,
            ) from None
        text = text.replace("\r\n", "\n")
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
            message = (
                str(error)[: found.start()] if found else str(error).removesuffix(" (at end of document)")
            )
            line = int(found[1]) if found else len(text.splitlines())
            place = Place(_shown(path), line, int(found[2]) if found else 0)
            raise SettingsError(message[:1].lower() + message[1:], place=place, hint=_AGAIN) from None
        return cls(path, text, document)

    def error(self, message: str, key: tuple[str, ...], hint: str | None = None) -> SettingsError:
        return SettingsError(message, place=Place(_shown(self.path), self._line(key)), hint=hint or _AGAIN)

    def names(self, place: tuple[str, ...]) -> list[str]:
        """Return the names in a table of tables, which may be missing."""
        found = self._at(place)
        if found is None:
            return []
        for name in found if isinstance(found, dict) else [""]:
            if not isinstance(found, dict) or not isinstance(found[name], dict):
                key = (*place, name) if name else place
                raise self.error(f"{'.'.join(key)}: expected a table", key)
        return list(found)

    def convert(self, place: tuple[str, ...], kind: type[_T], without: tuple[str, ...] = ()) -> _T:
        table = {key: value for key, value in self._at(place).items() if key not in without}
        try:
            found = msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            key = path.strip("`").lstrip(".").partition(".")[0].partition("[")[0]
            if field := re.search(r"(unknown|required) field `(.*)`$", message):
                missing = field[1] == "required"
                key, name = ("", field[2]) if missing else (field[2], field[2])
                message = f"the key {name} is missing" if missing else f"unknown key {name!r}"
            else:
                message = re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[1]), message)
                message = f"{key}: {message[:1].lower()}{message[1:]}"
            raise self.error(message, (*place, *([key] if key else ()))) from None
        if isinstance(found, msgspec.Struct) and (wrong := wrong_fact(found)):
            raise self.error(f"{wrong[0]}: {wrong[1]}", (*place, wrong[0]))
        return found

    def _at(self, place: tuple[str, ...]) -> Any:
        found: Any = self.document
        for name in place:
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        return found

    def _line(self, wanted: tuple[str, ...]) -> int:
        """Return the line of a key; that of the table around it, if it has none."""
        best, line = 0, 0
        here: tuple[str, ...] = ()
        for number, text in enumerate(self.text.splitlines(), 1):
            path: tuple[str, ...] = ()
            if text.startswith("["):
                path = here = _path(text)
            elif "=" in text:
                path = (*here, *_path(text))
            if path and wanted[: len(path)] == path and len(path) > best:
                best, line = len(path), number
        return line


def _path(line: str) -> tuple[str, ...]:
    """Return the names that a line of TOML begins: the header of a table, or a key."""
    found: Any = {}
    with suppress(tomllib.TOMLDecodeError):
        found = tomllib.loads(line)
    names = []
    while isinstance(found, dict) and found:
        name, found = next(iter(found.items()))
        names.append(name)
    return tuple(names)


def _shown(path: Path) -> str:
    return os.path.relpath(path)
