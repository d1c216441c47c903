"""Errors that a header names for constraints that the query cannot violate."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from plainsql.analysis.model import Finding
from plainsql.codegen import Checked
from plainsql.codegen.error_classes import matching
from plainsql.errors import Place

__all__ = ["unviolated_constraints"]


def unviolated_constraints(checked: Checked) -> Iterator[tuple[Finding, Place]]:
    """Yield a finding for each named constraint that no variant can violate, with its place in the header.

    A trigger or a function that may write any table may violate any constraint.
    """
    analysis = checked.analysis
    if analysis.opaque:
        return
    for named in checked.statement.errors:
        if matching(analysis.violations, named.constraint):
            continue
        known = sorted({violation.name for violation in analysis.violations if violation.name})
        close = difflib.get_close_matches(named.constraint, known, 1, 0.5)
        if close:
            hint = f"did you mean {close[0]}?"
        elif known:
            hint = f"it may violate {', '.join(known)}"
        else:
            hint = "remove the line: the query violates no constraint that has a name"
        message = f"the query cannot violate {named.constraint!r}"
        yield Finding("unviolated-constraint", message, 0, hint), named.place
