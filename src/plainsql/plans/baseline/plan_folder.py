"""The folder of plan files: one for each query, in the folders of the SQL."""

from __future__ import annotations

from pathlib import Path

from plainsql.files_by_query import QueryFiles
from plainsql.plans.baseline.plan_file import MARK, SUFFIX

__all__ = ["PlanFolder"]


class PlanFolder(QueryFiles):
    """The plan files below one folder."""

    suffix = SUFFIX
    setting = "plans"
    written = "no plan is"

    def is_ours(self, file: Path) -> bool:
        """Return whether a file begins with the mark of plan files."""
        with file.open("rb") as opened:
            return opened.read(len(MARK)) == MARK.encode()
