"""The SQL files of a schema, in the order in which they run: one file, or the folder of a migration tool.

The tool is recognised by the content of its folder. Only the part of a file that makes the schema is kept:
the part that undoes it is blanked, so that every place in the text stays true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from plainsql.errors import Place, SettingsError, SqlFileError
from plainsql.migrate.discovery import display_path
from plainsql.migrate.script import place_at

__all__ = ["SchemaFile", "SchemaFiles", "natural_order", "read_schema_files", "refuse_python", "tool_of"]


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file of a schema."""

    path: str
    """The path for messages."""
    text: str
    """The text, with blanks in the place of what does not run."""


@dataclass(frozen=True, slots=True)
class SchemaFiles:
    """The files of a schema, in order."""

    tool: str
    """The name of the tool that keeps them; the empty text for plain files."""
    files: tuple[SchemaFile, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    """The keys in ``omissions.NAMES`` of files that are left out, with their numbers."""


_UNDO: Final = re.compile(r"(?:^|[._-])(?:down|rollback|undo|revert)\.sql$", re.IGNORECASE)
_UNDO_FOLDERS: Final = frozenset({"down", "rollback", "rollbacks", "revert", "undo", "verify"})
_FLYWAY: Final = re.compile(r"(?P<kind>[VUBR])(?P<version>[0-9][0-9._]*)?__(?P<what>.*)\.sql")
_FLYWAY_CALLBACK: Final = re.compile(r"(?:before|after)[A-Z]\w*?(?:__.*)?\.sql")
_FLYWAY_PLACEHOLDER: Final = re.compile(r"\$\{[^}\s]*\}")
_DBMATE: Final = re.compile(r"^--[ \t]*migrate:(?P<part>up|down)\b.*$", re.MULTILINE)
_GOOSE: Final = re.compile(
    r"^--[ \t]*\+(?P<tool>goose|migrate)[ \t]+(?P<part>up|down)\b.*$", re.MULTILINE | re.IGNORECASE
)
_GOOSE_VARIABLES: Final = re.compile(
    r"^--[ \t]*\+goose[ \t]+ENVSUB[ \t]+ON\b.*$", re.MULTILINE | re.IGNORECASE
)
_INCLUDE: Final = re.compile(
    r"^\\(?P<command>ir?|include(?:_relative)?)[ \t]+(?P<name>\S.*?)[ \t]*$", re.MULTILINE
)
_MAX_INCLUDES: Final = 20


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return the key that sorts ``2_x`` before ``10_x``."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", name)
        if part
    ]


def read_schema_files(path: Path) -> SchemaFiles:
    """Return the files of a schema.

    Raises ``SettingsError`` if there is no such file or folder, or no SQL in it, and ``SqlFileError`` if a
    file cannot be read.
    """
    if path.is_file():
        return SchemaFiles("", tuple(_included(path, path.parent, _read(path), 0)))
    if not path.is_dir():
        raise SettingsError(
            f"schema in [tool.plainsql]: there is no file or folder {display_path(path)}",
            hint="name the file or the folder that makes the schema, relative to pyproject.toml",
        )
    tool = tool_of(path)
    found = _READERS[tool](path)
    if not found.files:
        raise _no_sql(path)
    return found


def tool_of(folder: Path) -> str:
    """Return the name of the tool whose migrations are in a folder; the empty text for plain SQL files."""
    if (folder / "sqitch.plan").is_file() or (
        folder.name == "deploy" and (folder.parent / "sqitch.plan").is_file()
    ):
        return "Sqitch"
    files = _sql_files(folder)
    if any(_FLYWAY.fullmatch(file.name) for file in files):
        return "Flyway"
    if folder.name == "migrations" and folder.parent.name == "supabase":
        return "Supabase"
    for file in files[:3]:
        text = file.read_bytes().decode("utf-8", "replace")
        if _DBMATE.search(text):
            return "dbmate"
        if found := _GOOSE.search(text):
            return "goose" if found["tool"].lower() == "goose" else "sql-migrate"
    return ""


def _sql_files(folder: Path) -> list[Path]:
    """Return the SQL files of a folder and those below, in natural order, without what undoes them."""
    found = []
    for file in folder.rglob("*.sql"):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        undo = _UNDO.search(file.name) or _UNDO_FOLDERS & {part.lower() for part in parts[:-1]}
        if file.is_file() and not hidden and not undo:
            found.append(file)
    return sorted(found, key=lambda file: natural_order(file.relative_to(folder).as_posix()))


def _plain(folder: Path) -> SchemaFiles:
    files = _sql_files(folder)
    return SchemaFiles("", tuple(one for file in files for one in _included(file, folder, _read(file), 0)))


def _supabase(folder: Path) -> SchemaFiles:
    return SchemaFiles("Supabase", tuple(SchemaFile(display_path(f), _read(f)) for f in _sql_files(folder)))


def _sections(folder: Path, tool: str, mark: re.Pattern[str]) -> SchemaFiles:
    files = []
    for file in _sql_files(folder):
        text = _read(file)
        if found := _GOOSE_VARIABLES.search(text):
            raise _refused(file, text, found.start(), "goose would put variables into the text")
        files.append(SchemaFile(display_path(file), _up_part(file, text, mark)))
    _refuse_programs(folder, tool, ".go")
    return SchemaFiles(tool, tuple(files))


def _up_part(file: Path, text: str, mark: re.Pattern[str]) -> str:
    marks = list(mark.finditer(text))
    if not marks:
        raise SqlFileError(
            "expected a mark of the part to run, got none",
            place=Place(display_path(file)),
            hint="give it the mark that the other files of its folder have",
        )
    kept, at, running = [], 0, False
    for found in [*marks, None]:
        end = found.start() if found else len(text)
        kept.append(text[at:end] if running else _blanked(text[at:end]))
        at = end
        running = found is not None and found["part"].lower() == "up"
    return "".join(kept)


def _blanked(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)


def _flyway(folder: Path) -> SchemaFiles:
    versions: dict[tuple[int, ...], Path] = {}
    baselines: dict[tuple[int, ...], Path] = {}
    repeated: list[tuple[str, Path]] = []
    left_out: Counter[str] = Counter()
    for file in _sql_files(folder):
        found = _FLYWAY.fullmatch(file.name)
        if found is None:
            left_out["callback"] += bool(_FLYWAY_CALLBACK.fullmatch(file.name))
            continue
        if found["kind"] == "R":
            repeated.append((found["what"], file))
            continue
        if found["kind"] == "U" or not found["version"]:
            continue
        version = tuple(int(part) for part in re.split(r"[._]", found["version"].strip("._")) if part)
        while version[-1:] == (0,):
            version = version[:-1]
        known = baselines if found["kind"] == "B" else versions
        if version in known:
            raise SqlFileError(
                f"has the same version as {display_path(known[version])}",
                place=Place(display_path(file)),
                hint="give one of them another version",
            )
        known[version] = file
    _refuse_programs(folder, "Flyway", ".java")
    ordered = [versions[version] for version in sorted(versions)]
    if baselines:
        last = max(baselines)
        ordered = [baselines[last], *(versions[version] for version in sorted(versions) if version > last)]
    ordered += [file for _, file in sorted(repeated)]
    files = []
    for file in ordered:
        text = _read(file)
        if placeholder := _FLYWAY_PLACEHOLDER.search(text):
            raise _refused(
                file, text, placeholder.start(), f"Flyway would replace the placeholder {placeholder[0]}"
            )
        files.append(SchemaFile(display_path(file), text))
    return SchemaFiles("Flyway", tuple(files), left_out)


def _sqitch(folder: Path) -> SchemaFiles:
    top = folder if (folder / "sqitch.plan").is_file() else folder.parent
    plan = top / "sqitch.plan"
    files = []
    for name in _planned(_read(plan)):
        file = top / "deploy" / f"{name}.sql"
        if not file.is_file():
            raise SqlFileError(
                f"the change {name!r} is planned, and there is no {display_path(file)}",
                place=Place(display_path(plan)),
                hint="check the plan with 'sqitch status'",
            )
        files.append(SchemaFile(display_path(file), _read(file)))
    return SchemaFiles("Sqitch", tuple(files))


def _planned(plan: str) -> list[str]:
    """Return the names of the files of a plan's changes, in order.

    A change that was reworked is planned again: its earlier text has the name of the next tag, ``users@v1``.
    """
    names: list[str] = []
    for line in plan.splitlines():
        # A change is `name [requirements] time planner # note`; a tag is `@name …`, a pragma `%name=…`.
        found = re.match(r"\s*(?P<sign>[+-]?)\s*(?P<name>@?[^\s%#@\[]+)(?=\s|$)", line.partition("#")[0])
        if found and found["sign"] != "-":
            names.append(found["name"])
    changes = []
    for at, name in enumerate(names):
        if name.startswith("@"):
            continue
        later = names[at + 1 :]
        tag = next((each for each in later if each.startswith("@")), "")
        changes.append(f"{name}{tag}" if name in later else name)
    return changes


_READERS: Final[dict[str, Callable[[Path], SchemaFiles]]] = {
    "": _plain,
    "Flyway": _flyway,
    "dbmate": lambda folder: _sections(folder, "dbmate", _DBMATE),
    "goose": lambda folder: _sections(folder, "goose", _GOOSE),
    "sql-migrate": lambda folder: _sections(folder, "sql-migrate", _GOOSE),
    "Sqitch": _sqitch,
    "Supabase": _supabase,
}


def _read(file: Path) -> str:
    raw = file.read_bytes()
    where = Place(display_path(file))
    if raw.startswith(b"PGDMP"):
        raise SqlFileError(
            "expected SQL, got pg_dump's own format",
            place=where,
            hint=f"write it as SQL: pg_restore --schema-only --file schema.sql {display_path(file)}",
        )
    # PowerShell writes what a program prints as UTF-16.
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SqlFileError(
            f"expected UTF-8, got byte 0x{raw[error.start]:02x}",
            place=Place(where.path, line),
            hint="save the file as UTF-8; pg_dump writes it with --encoding=UTF8",
        ) from None
    if "\0" in text:
        raise SqlFileError(
            "holds a NUL character, which PostgreSQL does not accept", place=where, hint="remove it"
        )
    return text


def _included(file: Path, root: Path, text: str, depth: int) -> Iterator[SchemaFile]:
    """Yield a file cut at its lines that include another, with the files that they name between the parts."""
    at = 0
    for found in _INCLUDE.finditer(text):
        name = found["name"].strip("'")
        places = [file.parent / name]
        if found["command"] in ("i", "include"):
            places += [root / name, Path.cwd() / name]
        target = next((place for place in places if place.is_file()), None)
        if target is None or depth == _MAX_INCLUDES:
            raise SqlFileError(
                f"{name} cannot be included: "
                + ("there is no such file" if target is None else "the files include each other"),
                place=place_at(display_path(file), text, found.start()),
                hint="name a file relative to this one",
            )
        yield SchemaFile(display_path(file), _blanked(text[:at]) + text[at : found.start()])
        yield from _included(target, root, _read(target), depth + 1)
        at = found.end()
    yield SchemaFile(display_path(file), _blanked(text[:at]) + text[at:] if at else text)


def _refuse_programs(folder: Path, tool: str, suffix: str) -> None:
    programs = sorted(
        file for file in folder.rglob(f"*{suffix}") if re.match(r"[VR]?\d[\d._]*_|R__", file.name)
    )
    if programs:
        raise SettingsError(
            f"{display_path(programs[0])} is a program, which only {tool} can run",
            hint="set schema_command to its command, or schema to a pg_dump --schema-only of its database",
        )


def _refused(file: Path, text: str, offset: int, message: str) -> SqlFileError:
    return SqlFileError(
        message,
        place=place_at(display_path(file), text, offset),
        hint="set schema_command to the tool's own command, or schema to a pg_dump --schema-only",
    )


def refuse_python(folder: Path) -> None:
    """Raise ``SettingsError`` if a folder has no SQL files, and Python ones: Alembic's or Django's."""
    if next(folder.rglob("*.sql"), None) is None and any(
        file.name != "__init__.py" for file in folder.rglob("*.py")
    ):
        raise SettingsError(
            f"{display_path(folder)} has no SQL files, only Python",
            hint='run them: schema_command = "alembic upgrade head", or "python manage.py migrate"',
        )


def _no_sql(folder: Path) -> SettingsError:
    refuse_python(folder)
    return SettingsError(
        f"schema in [tool.plainsql]: there are no SQL files in {display_path(folder)}",
        hint="name the file or the folder that makes the schema",
    )
