"""The generated files of a project, made from its checked statements, and the errors that prevent them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainsql import codegen
from plainsql.check.statement_errors import fault_error
from plainsql.codegen import Checked
from plainsql.codegen.source_places import statement_place
from plainsql.errors import Place, PlainsqlError
from plainsql.settings import Project

__all__ = ["GeneratedModules", "generate_modules"]


@dataclass(frozen=True, slots=True)
class GeneratedModules:
    """The modules of a project as the SQL makes them."""

    files: dict[Path, str]
    """The sources by path relative to the output folder; not usable if there are errors."""
    modules: int
    errors: tuple[PlainsqlError, ...]


def generate_modules(checked: Sequence[Checked], project: Project, *, verify: bool) -> GeneratedModules:
    """Make the modules of a project. Errors are returned, not raised.

    With ``verify``, the sources are compiled and verified, unless there are errors already.
    """
    try:
        return _generated(checked, project, verify=verify)
    except Exception as unforeseen:  # noqa: BLE001 (named with its file, and the others are checked)
        faults: list[PlainsqlError] = []
        sound: list[Checked] = []
        for item in checked:
            try:
                _generated([item], project, verify=verify)
            except Exception as error:  # noqa: BLE001 (a fault of ours, named with its file)
                faults.append(fault_error(error, statement_place(item.statement)))
            else:
                sound.append(item)
        if not faults:  # no statement alone is the cause
            return GeneratedModules({}, 0, (fault_error(unforeseen, Place(project.sql)),))
        rest = _generated(sound, project, verify=False)
        return GeneratedModules(rest.files, rest.modules, (*faults, *rest.errors))


def _generated(checked: Sequence[Checked], project: Project, *, verify: bool) -> GeneratedModules:
    modules, errors = codegen.plan_modules(checked, project.import_name, project.output_folder)
    files = codegen.sources(modules, project.sql)
    if verify and not errors:
        errors = list(codegen.verify(files))
    return GeneratedModules(files, len(modules), tuple(errors))
