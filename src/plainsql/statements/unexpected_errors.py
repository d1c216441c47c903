"""Unexpected exceptions as errors of the file that raised them."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb

__all__ = ["FAULT_HINT", "fault_detail"]

FAULT_HINT = "report it to the project, with this file: it is a fault of plainsql"
"""The hint of such an error."""


def fault_detail(error: BaseException) -> str:
    """Return the kind of an exception, and the line of the package that raised it.

    Its text is left out: it may hold anything.
    """
    package = Path(__file__).parents[1]
    raised = ""
    for frame, line in walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(package):
            raised = f" in {file.relative_to(package).as_posix()}:{line}"
    return f"{type(error).__name__}{raised}"
