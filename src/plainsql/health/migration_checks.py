"""The checks of migrations: whether those of each layer are applied, with the content of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plainsql.errors import PlainsqlError
from plainsql.health.results import Check, failure
from plainsql.health.steps import Steps
from plainsql.layer_folders import Layer
from plainsql.settings import Project

if TYPE_CHECKING:
    from plainsql.migrate import Status

__all__ = ["migration_checks"]


def migration_checks(layers: Sequence[Layer]) -> Steps:
    """Yield the steps of the check of each layer."""
    try:
        from plainsql.migrate import read_folder
        from plainsql.migrate.records import UnreadableRecordsError, read_status
    except ModuleNotFoundError as error:
        text, hint = f"{error.name} is not installed", "pip install 'plainsql[migrate]'"
        yield Check("migrations", "skipped", text, hint)
        return
    for layer in layers:
        name = "migrations" if layer.is_flat else f"migrations of {layer.name}"
        try:
            files = read_folder(layer.migrations).only(None if layer.is_flat else [layer.name])
            status = yield from read_status(files)
        except PlainsqlError as error:
            yield failure(name, error)
        except UnreadableRecordsError as error:
            yield Check(
                name,
                "warning",
                "the role may not read the records of migrations",
                f"grant select on {', '.join(error.tables)} to the role",
            )
        else:
            yield _result(name, layer, status)


def _result(name: str, layer: Layer, status: Status) -> Check:
    own = [item for item in status.migrations if item.layer == layer.ledger]
    counts = {
        state: sum(item.state == state for item in own)
        for state in ("applied", "pending", "edited", "missing", "interrupted")
    }
    found: dict[str, Any] = {**counts, "last": max((item.id for item in own if item.marked), default=None)}
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    if counts["pending"] == len(own) - counts["applied"] and counts["pending"]:
        option = "" if layer.is_flat else f" --layer {layer.name}"
        folder = (
            "" if layer.migrations == Project.load().migrations_folder else f" --folder {layer.migrations}"
        )
        return Check(name, "failed", text, f"plainsql migrate{option}{folder}", found)
    if counts["applied"] != len(own):
        return Check(name, "failed", text, "plainsql migrate status shows which", found)
    return Check(name, "ok", text, None, found)
