"""The names of the project's own types and functions in a generated module, all different."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Collection, Iterator
from typing import Final

from plainsql.codegen.modules import Module
from plainsql.codegen.python_types import imported_paths

__all__ = ["ImportedNames"]

_OF_PLAINSQL: Final = (
    *(
        "Args",
        "CachedRead",
        "Change",
        "Composite",
        "Decimal",
        "Dependency",
        "NullError",
        "Row",
        "annotations",
    ),
    *("bits", "bounded", "composite", "count", "dumped", "dumped_bounds", "dumped_elements", "elements"),
    *("copied", "columns", "encrypt", "encrypt_searchable", "many", "one", "optional", "paged"),
    *("search_digests", "sending", "tuples"),
)
"""The names that any module may import from plainsql."""


class ImportedNames:
    """The names of a module's imports from the project."""

    def __init__(self, module: Module, taken: Collection[str]) -> None:
        paths = sorted(set(_paths(module)))
        imported = {name for annotation in _imports(module) for _, name in annotation}
        used = {*taken, *imported, *_OF_PLAINSQL, *dir(builtins), *keyword.kwlist}
        self._names: dict[str, str] = {}
        for path in paths:
            name = next(
                (each for each in _candidates(path) if each not in used and _is_alone(each, path, paths)),
                path.replace(".", "_"),
            )
            while name in used:
                name += "_"
            used.add(name)
            self._names[path] = name

    @property
    def paths(self) -> Collection[str]:
        """The paths of all imports from the project."""
        return self._names.keys()

    def name(self, path: str) -> str:
        """Return the module's name for an import."""
        return self._names[path]

    def written(self, module: str, name: str) -> str | None:
        """Return the module's name for an import; ``None`` if it is not one from the project."""
        return self._names.get(f"{module}.{name}")


def _candidates(path: str) -> Iterator[str]:
    """Yield the names that an import may have, the shortest first: ``load``, ``money_load``."""
    parts = path.split(".")
    for start in range(len(parts) - 1, -1, -1):
        yield "_".join(parts[start:])


def _is_alone(name: str, path: str, paths: Collection[str]) -> bool:
    return not any(name in _candidates(other) for other in paths if other != path)


def _paths(module: Module) -> Iterator[str]:
    for row in module.classes:
        for field in row.fields:
            yield from imported_paths(field.annotation.text)
    for function in module.functions:
        for planned in function.parameters:
            yield from imported_paths(planned.annotation.text + planned.to_db + planned.default)
            for each in planned.fields:
                yield from imported_paths(each.annotation.text + each.to_db)
        if function.item is not None:
            yield from imported_paths(function.item.text)


def _imports(module: Module) -> Iterator[frozenset[tuple[str, str]]]:
    for row in module.classes:
        yield from (field.annotation.imports for field in row.fields)
    for function in module.functions:
        yield from (planned.annotation.imports for planned in function.parameters)
        yield from (each.annotation.imports for p in function.parameters for each in p.fields)
        if function.item is not None:
            yield function.item.imports
