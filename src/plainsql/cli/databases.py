"""The databases that a command works on, in a project with several: ``--db NAME``, or all of them in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.cli.exit_codes import COULD_NOT_RUN
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.settings import Project, use_database

__all__ = ["run_on_databases", "take_database"]

_OF_A_DATABASE: Final = (
    ("check",),
    ("generate",),
    ("describe",),
    ("explain",),
    ("grants",),
    ("plans",),
    ("recall",),
    ("review",),
    ("run",),
    ("test",),
    ("migrate",),
    ("db",),
    ("schema",),
    ("import",),
    ("new",),
    ("stats",),
    ("slow",),
    ("activity",),
    ("layers", "copy"),
    *(("cache", "triggers"), ("cache", "drain"), ("crypto", "rotate")),
)
"""The commands that work on one database."""
_GROUPS: Final = frozenset({"cache", "crypto", "db", "layers", "migrate", "new", "schema", "stats"})
"""The commands whose second word is a command; that of any other is an argument."""
_OF_ALL: Final = (
    *(
        ("check",),
        ("generate",),
        ("plans",),
        ("test",),
        ("migrate",),
        ("migrate", "status"),
        ("db", "doctor"),
        ("db", "backup"),
    ),
)
"""Those that work on each database in turn, if none is named."""
_OF_NO_PROJECT: Final = (("db", "restore"),)
"""Those of a group of ``_OF_A_DATABASE`` that work on a database of none of the project's tables."""
_NAMED_OPTIONS: Final = frozenset({"--accept", "--baseline", "--database", "--folder", "--layer", "--stats"})
"""Options for one database."""
_DOCUMENTS: Final = frozenset({"json", "sarif"})
_OF_NONE: Final = frozenset({"--help", "-h", "--jsonl", "--explain"})
"""Options with which a command works on no database."""


class _Run(NamedTuple):
    database: str | None
    arguments: list[str]


def take_database(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return a command line without ``--db NAME``, and the name.

    Raises ``SettingsError`` if the name is missing.
    """
    rest, name = list(arguments), None
    for at, word in enumerate(rest):
        option, equals, value = word.partition("=")
        if word == "--":
            break
        if option != "--db":
            continue
        end = at + (1 if equals else 2)
        if not equals:
            value = rest[at + 1] if at + 1 < len(rest) else ""
        if not value or value.startswith("-"):
            raise SettingsError(
                "--db: expected the name of a database, got nothing", hint="for example: --db reports"
            )
        del rest[at:end]
        name = value
        break
    return rest, name


def run_on_databases(
    arguments: Sequence[str], name: str | None, run: Callable[[list[str]], object]
) -> object:
    """Run a command on the named database, or on all databases that it concerns; return the worst exit code.

    A command that fails on one database runs on the others all the same, except ``migrate``.

    Raises ``SettingsError`` if a database has to be named, or if there is none of the name.
    """
    runs = _runs(list(arguments), name)
    if len(runs) == 1:
        with use_database(runs[0].database):
            return run(runs[0].arguments)
    worst = 0
    for each in runs:
        # The output of some formats is for programs.
        print(f"[{each.database}]", file=sys.stderr if "--format" in " ".join(arguments) else sys.stdout)
        sys.stdout.flush()
        try:
            with use_database(each.database):
                code = run(each.arguments)
        except PlainsqlError as error:
            print(error, file=sys.stderr)
            code = COULD_NOT_RUN
        worst = max(worst, code if isinstance(code, int) else 0)
        if worst and arguments[0] == "migrate":
            break
    return worst


def _runs(arguments: list[str], name: str | None) -> list[_Run]:
    command = _command(arguments)
    concerns = command not in _OF_NO_PROJECT and any(command[: len(each)] == each for each in _OF_A_DATABASE)
    if not concerns or not _OF_NONE.isdisjoint(each.partition("=")[0] for each in arguments):
        return [_Run(name, arguments)]
    projects = Project.load_all()
    if name is not None:
        if name not in [each.name for each in projects]:
            raise SettingsError(
                f"--db: there is no database {name!r}",
                hint=_names(projects)
                if projects[0].name
                else "name databases in [tool.plainsql.databases.NAME]",
            )
        return [_Run(name, arguments)]
    if len(projects) == 1:
        return [_Run(None, arguments)]
    owned = [*_owned(command, arguments, projects)]
    if owned:
        return owned
    if command not in _OF_ALL or not _NAMED_OPTIONS.isdisjoint(each.partition("=")[0] for each in arguments):
        raise SettingsError(f"{' '.join(command)} works on one database: name it", hint=_names(projects))
    if _prints_document(arguments):
        raise SettingsError(
            "one JSON document is of one database: name it, or use another format", hint=_names(projects)
        )
    if command[0] == "migrate":  # it leaves alone what another tool migrates
        projects = [each for each in projects if each.owns_schema] or projects
    return [_Run(each.name, arguments) for each in projects]


def _command(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command: two of a group of commands, one of any other."""
    words = tuple(arguments[:2])
    return words if words[:1] and words[0] in _GROUPS and not words[-1].startswith("-") else words[:1]


def _owned(command: tuple[str, ...], arguments: list[str], projects: list[Project]) -> Iterator[_Run]:
    """Yield a run for each database whose files or queries the arguments name."""
    if command in (("check",), ("test",)):
        files = [word for word in arguments[1:] if not word.startswith("-")]
        if command == ("check",):
            files = [word for word in files if word.endswith(".sql")]
        owners = {file: [each for each in projects if _names_part(each, file)] for file in files}
        for project in projects:
            others = {file for file, own in owners.items() if own and project not in own}
            if any(project in own for own in owners.values()):
                yield _Run(project.name, [word for word in arguments if word not in others])
    elif command in (("run",), ("describe",), ("explain",), ("recall",)):
        name = next((word for word in arguments[1:] if not word.startswith("-")), "")
        found = [each for each in projects if name and (_has_file(each, Path(name)) or _has(each, name))]
        if len(found) == 1:
            yield _Run(found[0].name, arguments)


def _names_part(project: Project, word: str) -> bool:
    return _has_file(project, Path(word)) or _has(project, word)


def _has_file(project: Project, file: Path) -> bool:
    folders = (project.sql_folder.resolve(), project.schema_path.resolve())
    return file.is_file() and any(file.resolve().is_relative_to(folder) for folder in folders)


def _has(project: Project, query: str) -> bool:
    parts = query.split(".")
    return all(part.isidentifier() for part in parts) and (
        project.sql_folder.joinpath(*parts[:-1], f"{parts[-1]}.sql").is_file()
    )


def _prints_document(arguments: Sequence[str]) -> bool:
    text = " ".join(arguments).replace("=", " ").split()
    return "--json" in text or any(
        option == "--format" and value in _DOCUMENTS for option, value in pairwise(text)
    )


def _names(projects: Sequence[Project]) -> str:
    return f"the databases are {', '.join(each.name for each in projects)}: pass --db {projects[-1].name}"
