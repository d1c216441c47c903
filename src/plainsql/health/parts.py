"""The parts of ``db.check()`` that both drivers share: what is checked, and which errors end a check."""

from __future__ import annotations

from typing import Final

from plainsql.health.server_checks import Place, server_checks
from plainsql.health.steps import Steps
from plainsql.layer_folders import Layer, known_layers

__all__ = ["DATABASE", "all_steps", "ends_checks", "known"]

DATABASE: Final = "postgresql"
"""The name of the check that fails if the others cannot run."""


def known(*, migrations: bool) -> list[Layer]:
    """Return the layers whose migrations are checked if no layer is named."""
    layers = known_layers() if migrations else {}
    return [layers[name] for name in sorted(layers)]


def all_steps(place: Place, layers: list[Layer], *, in_depth: bool, migrations: bool) -> Steps:
    """Yield the steps of the checks of a database. ``in_depth``: ``layers`` is the one that was named."""
    return server_checks(place, layers, only_present=not in_depth, migrations=migrations, in_depth=in_depth)


def ends_checks(sqlstate: str | None) -> bool:
    """Return whether an error is the connection's or the server's end, and no refusal of one step."""
    return not sqlstate or sqlstate[:2] in ("08", "57")
