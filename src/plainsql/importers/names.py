"""The names of files, folders, parameters and rows, made from the names of other tools."""

from __future__ import annotations

import re
from collections.abc import Collection
from keyword import iskeyword

from plainsql.statements.suggestions import row_name

__all__ = ["file_name", "name_of_row", "parameter_name"]


def file_name(name: str) -> str:
    """Return the name as a query or folder has it: ``GetUserByID``, get_user_by_id; empty if none remains."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    name = re.sub(r"^[0-9_]+", "", name)
    return f"{name}_" if iskeyword(name) else name


def parameter_name(name: str, taken: Collection[str] = ()) -> str:
    """Return the name as a parameter may have it, and none of ``taken``."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", name)
    name = f"p{name}" if not name or name[0].isdigit() else name
    name = f"{name}_" if iskeyword(name) else name
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name.rstrip('_')}_{number}"
    return found


def name_of_row(record: str, query: str) -> str:
    """Return the name of a row: that of the tool's class, else one made from the query's name."""
    return row_name(record) or f"{row_name(query) or 'Query'}Row"
