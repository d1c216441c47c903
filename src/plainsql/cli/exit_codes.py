"""The exit codes of every command."""

from __future__ import annotations

from typing import Final

__all__ = ["COULD_NOT_RUN", "FINDINGS", "FINE"]

FINE: Final = 0
FINDINGS: Final = 1
"""It ran, and found something to act on."""
COULD_NOT_RUN: Final = 2
"""Bad usage, no database, files that cannot be read."""
