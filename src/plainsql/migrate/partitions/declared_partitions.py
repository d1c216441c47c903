"""The partitioned tables of a project: ``[tool.plainsql.partitions]``.

::

    [tool.plainsql.partitions]
    "shop.events" = { every = "month", ahead = 3, keep = 24 }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from plainsql.errors import Place, SettingsError
from plainsql.migrate.partitions.time_ranges import INTERVALS, Interval
from plainsql.setting_tables import SettingsFile, kind_of
from plainsql.settings import Project

__all__ = ["DeclaredPartitions", "declared_partitions"]

_EXAMPLE: Final = '"shop.events" = { every = "month", ahead = 3, keep = 24 }'
_KEYS: Final = ("every", "ahead", "keep")
_MAX_PARTITIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class DeclaredPartitions:
    """A table that is partitioned by time, and the partitions that it has at any time."""

    schema: str
    table: str
    every: Interval
    """The time of one partition."""
    ahead: int = 3
    """The number of partitions after the current one."""
    keep: int | None = None
    """The number of partitions before the current one that are kept attached; ``None`` for all."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


def declared_partitions(project: Project) -> list[DeclaredPartitions]:
    """Return the partitioned tables of a project, in the order of the file.

    Raises ``SettingsError`` for a value of another form.
    """
    file = SettingsFile(project.root / "pyproject.toml")
    return [_declared(name, value, file.place(name)) for name, value in project.partitions.items()]


def _declared(name: str, value: object, place: Place) -> DeclaredPartitions:
    schema, _, table = name.rpartition(".")
    if not schema or not table or "." in schema:
        raise SettingsError(
            f"{name!r} in [tool.plainsql.partitions]: expected schema.table",
            place=place,
            hint=f"write, for example, {_EXAMPLE}",
        )
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{name} in [tool.plainsql.partitions]: expected a table, got {kind_of(value)}",
            place=place,
            hint=f"write, for example, {_EXAMPLE}",
        )
    for key in value:
        if key not in _KEYS:
            raise SettingsError(
                f"unknown key {key!r} of {name} in [tool.plainsql.partitions]",
                place=place,
                hint=f"the keys are {', '.join(_KEYS)}",
            )
    every = value.get("every")
    if every not in INTERVALS:
        raise SettingsError(
            f"every of {name} in [tool.plainsql.partitions]: expected {' or '.join(INTERVALS)},"
            f" got {every!r}",
            place=place,
            hint=f"write, for example, {_EXAMPLE}",
        )
    keep = _count(name, "keep", value, place) if "keep" in value else None
    ahead = _count(name, "ahead", value, place) if "ahead" in value else 3
    return DeclaredPartitions(schema, table, every, ahead, keep)


def _count(name: str, key: str, table: Mapping[str, Any], place: Place) -> int:
    value = table[key]
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_PARTITIONS:
        return value
    raise SettingsError(
        f"{key} of {name} in [tool.plainsql.partitions]: expected a number of partitions from 1 to"
        f" {_MAX_PARTITIONS}, got {value!r}",
        place=place,
    )
