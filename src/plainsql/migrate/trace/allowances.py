"""The hazards that comments in a migration allow, each with its reason.

::

    -- allow: create-index: the table has a hundred rows
    create index orders_due_idx on orders (due_at);
"""

from __future__ import annotations

import re
from typing import Final

from plainsql.migrate.script import Script

__all__ = ["allowances_of"]

_ALLOW: Final = re.compile(
    r"^[ \t]*--[ \t]*allow[ \t]*:[ \t]*([a-z][a-z0-9-]*)[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE
)


def allowances_of(script: Script) -> list[dict[str, str]]:
    """Return the hazards that are allowed for each statement of a script, by name, with their reasons.

    A comment counts for the statement below it. One without a reason allows nothing.
    """
    found, begins = [], 0
    for statement in script.statements:
        found.append({each[1]: each[2] for each in _ALLOW.finditer(script.source, begins, statement.start)})
        begins = statement.start + len(statement.text)
    return found
