"""The folder of expected results: a file for each query, in the folders of the SQL."""

from __future__ import annotations

from pathlib import Path

from plainsql.files_by_query import QueryFiles
from plainsql.result_tests.result_file import SUFFIX, is_result_file

__all__ = ["ResultFolder"]


class ResultFolder(QueryFiles):
    """The files of results below one folder."""

    suffix = SUFFIX
    setting = "results"
    written = "no results are"

    def is_ours(self, file: Path) -> bool:
        """Return whether a file has the mark of results."""
        return is_result_file(self.read(file) or "")
