"""The check of the compiled part, which is optional: it never fails."""

from __future__ import annotations

from plainsql import speed
from plainsql.health.results import Check, State

__all__ = ["check_speed"]


def check_speed() -> Check:
    """Return the state of the compiled part; one that was built and cannot be used is a warning."""
    status = speed.status()
    unusable = status.built_for and not status.switched_off
    state: State = "ok" if status.running else "warning" if unusable else "skipped"
    found = {"asyncpg": status.asyncpg, "built_for": status.built_for or None, "python": status.python}
    return Check("compiled part", state, str(status), status.hint or None, found)
