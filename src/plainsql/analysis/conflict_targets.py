"""The unique index of ``on conflict``: PostgreSQL looks for it when it plans a statement, not before.

A statement whose target no unique index or exclusion constraint has can be prepared, and fails in each call.
"""

from __future__ import annotations

import re
from typing import Any, Final

from psycopg import Connection, RawCursor, errors

from plainsql.analysis.describer import RefusedError

__all__ = ["refuse_conflict_targets"]

_CLAUSE: Final = re.compile(r"\bon\s+conflict\b", re.IGNORECASE)


def refuse_conflict_targets(connection: Connection[Any], sql: str) -> None:
    """Raise ``RefusedError`` if no unique index has the target of an ``on conflict`` of a statement.

    The statement is planned, not executed. The connection is idle.
    """
    found = list(_CLAUSE.finditer(sql))
    if not found:
        return
    try:
        with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
            # In the simple protocol, `$n` may appear without values.
            cursor.execute(f"explain (generic_plan, costs off)\n{sql}".encode())
    except errors.InvalidColumnReference as error:
        raise RefusedError(
            error.diag.message_primary or "no unique index has the target of on conflict",
            position=found[0].start() + 1 if len(found) == 1 else None,
            sqlstate=error.sqlstate,
            hint="name the columns of a unique index, with its predicate if it has one",
        ) from None
    except errors.Error:
        return  # of the plan alone, such as a division of constants by zero
