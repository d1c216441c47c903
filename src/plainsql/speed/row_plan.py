"""How the rows of a query are read straight from the server's messages."""

from __future__ import annotations

from typing import Any

__all__ = ["row_plan"]


def row_plan(query: Any) -> Any:  # noqa: ARG001
    """Return the plan of a query's rows; None if they are built from records."""
    return None
