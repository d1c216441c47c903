"""The generated files of a project, made from its checked statements, and the errors that prevent them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainsql import codegen
from plainsql.check.statement_errors import fault_error
from plainsql.codegen import Checked
from plainsql.codegen.codec_types import CodecTypes
from plainsql.codegen.own_types import NO_OWN_TYPES, OwnTypes
from plainsql.codegen.source_places import statement_place
from plainsql.errors import ContractError, Place, PlainsqlError, SettingsError
from plainsql.settings import Project

__all__ = ["GeneratedModules", "SoundModules", "generate_modules", "generate_sound_modules"]


@dataclass(frozen=True, slots=True)
class GeneratedModules:
    """The modules of a project as the SQL makes them."""

    files: dict[Path, str]
    """The sources by path relative to the output folder; not usable if there are errors."""
    modules: int
    errors: tuple[PlainsqlError, ...]


def generate_modules(
    checked: Sequence[Checked], project: Project, *, verify: bool, own_types: OwnTypes = NO_OWN_TYPES
) -> GeneratedModules:
    """Make the modules of a project. Errors are returned, not raised.

    With ``verify``, the sources are compiled and verified, unless there are errors already.
    """
    try:
        return _generated(checked, project, own_types, verify=verify)
    except SettingsError:
        raise
    except Exception as unforeseen:  # noqa: BLE001 (named with its file, and the others are checked)
        faults: list[PlainsqlError] = []
        sound: list[Checked] = []
        for item in checked:
            try:
                _generated([item], project, own_types, verify=verify)
            except Exception as error:  # noqa: BLE001 (a fault of ours, named with its file)
                faults.append(fault_error(error, statement_place(item.statement)))
            else:
                sound.append(item)
        if not faults:  # no statement alone is the cause
            return GeneratedModules({}, 0, (fault_error(unforeseen, Place(project.sql)),))
        rest = _generated(sound, project, own_types, verify=False)
        return GeneratedModules(rest.files, rest.modules, (*faults, *rest.errors))


def _generated(
    checked: Sequence[Checked], project: Project, own_types: OwnTypes, *, verify: bool
) -> GeneratedModules:
    modules, errors = _planned(checked, project, own_types)
    files = codegen.sources(modules, project.sql)
    if verify and not errors:
        errors = list(codegen.verify(files))
    return GeneratedModules(files, len(modules), tuple(errors))


def _planned(
    checked: Sequence[Checked], project: Project, own_types: OwnTypes
) -> tuple[list[codegen.Module], list[ContractError]]:
    if project.enums not in codegen.ENUM_STYLES:
        raise SettingsError(
            f"enums in [tool.plainsql]: expected {' or '.join(codegen.ENUM_STYLES)}, got {project.enums!r}",
            place=Place(str(project.root / "pyproject.toml")),
            hint='write, for example, enums = "strenum"',
        )
    return codegen.plan_modules(
        checked,
        project.import_name,
        project.output_folder,
        own_types,
        enums=project.enums,
        codecs=CodecTypes(project.codecs, project.root),
    )


@dataclass(frozen=True, slots=True)
class SoundModules:
    """The modules of a project, some of whose files have errors."""

    files: dict[Path, str]
    """The sources by path relative to the output folder, the kept ones as they are."""
    kept: Mapping[Path, codegen.Kept]
    """The files that are left as they are, because they hold queries that are refused now."""
    queries: int
    """The number of queries without an error, in modules that are not kept."""
    modules: int
    left_out: tuple[str, ...]
    """The queries with an error that no module holds."""
    errors: tuple[PlainsqlError, ...]
    """The errors of the queries that contradict each other, or of whatever prevents that a module is made."""


def generate_sound_modules(
    checked: Sequence[Checked],
    project: Project,
    refused: Collection[str],
    own_types: OwnTypes = NO_OWN_TYPES,
) -> SoundModules | None:
    """Make the modules of the statements without an error; ``None`` if errors without a file prevent it.

    ``refused`` are the paths of files and folders with errors. A module that holds a query of such a file is
    kept as it is: without the query, programs that import it would fail.
    """
    paths = set(refused)
    errors: list[PlainsqlError] = []
    while True:
        sound = [item for item in checked if item.statement.path not in paths]
        made = generate_modules(sound, project, verify=True, own_types=own_types)
        if not made.errors:
            break
        wrong = {error.place.path for error in made.errors if error.place} & {i.statement.path for i in sound}
        if not wrong:
            return None
        paths |= wrong
        errors += made.errors
    names = {_name(path, project) for path in paths}
    kept = codegen.modules_of_queries(names, project.output_folder)
    modules, _ = _planned(sound, project, own_types)
    held = {each.module for each in kept.values()}
    written = [module for module in modules if module.name not in held]
    files = codegen.keep(codegen.sources(written, project.sql, others=held), kept)
    files = codegen.keep_enums(files, kept, project.output_folder)
    found = {query for each in kept.values() for query in each.queries}
    return SoundModules(
        files,
        kept,
        sum(len(module.functions) for module in written),
        len(written),
        tuple(sorted(names - found)),
        tuple(errors),
    )


def _name(path: str, project: Project) -> str:
    """Return the name of the query in a file, or of the queries below a folder without its last part."""
    inside = os.path.relpath(path, project.sql_folder)
    return ".".join(Path(inside).with_suffix("").parts)
