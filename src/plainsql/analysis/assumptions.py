"""The facts that a project's settings state, and the database does not know."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_ASSUMPTIONS", "Assumptions"]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The settings of a project that analyses depend on."""

    oldest_server: int = 0
    """The major of the oldest server that runs the statements; 0 if it is the one that types them."""
    not_null: tuple[str, ...] = ()
    """The columns that are never null in practice: ``schema.table.column`` or ``table.column``."""


NO_ASSUMPTIONS = Assumptions()
