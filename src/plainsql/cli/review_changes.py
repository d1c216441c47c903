"""The changes since a git ref, as ``plainsql review --since`` prints them."""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

from plainsql.review.changes.changes_markdown import changes_markdown
from plainsql.review.changes.changes_since import changes_since
from plainsql.settings import Project

__all__ = ["print_changes"]


def print_changes(
    project: Project, since: str, format: Literal["markdown", "json"], scratch: str | None = None
) -> None:
    """Print the changes of a project since a git ref: for a comment on a pull request, or for tools.

    Raises what ``changes_since`` raises.
    """
    changes = changes_since(project, since, scratch)
    if format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(changes)).decode() + "\n")
    else:
        sys.stdout.write(changes_markdown(changes))
