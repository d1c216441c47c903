"""The changes since a git ref, as ``plainsql review --since`` prints them."""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

from plainsql.review.changes.change_sheets import Changes
from plainsql.review.changes.changes_markdown import changes_markdown
from plainsql.review.changes.changes_since import changes_since
from plainsql.settings import Project

__all__ = ["changes_text", "print_changes"]


def print_changes(
    project: Project, since: str, format: Literal["markdown", "json"], scratch: str | None = None
) -> None:
    """Print the changes of a project since a git ref: for a comment on a pull request, or for tools.

    Raises what ``changes_since`` raises.
    """
    sys.stdout.write(changes_text(changes_since(project, since, scratch), format))


def changes_text(changes: Changes, format: Literal["markdown", "json"]) -> str:
    """Return changes in one of the formats."""
    if format == "json":
        return msgspec.json.format(msgspec.json.encode(changes)).decode() + "\n"
    return changes_markdown(changes)
