"""The facts about a statement and the tables of a database that is distributed by one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CALLED_KINDS", "DistributedTable", "Distribution", "Kind", "TableFault"]

Kind = Literal["tenant", "policy", "unseen", "joined", "across", "unknown", "reference", "none"]

CALLED_KINDS: Final[dict[Kind, str]] = {
    "tenant": "one tenant",
    "policy": "one tenant, by policy",
    "unseen": "one tenant, unseen by planners",
    "joined": "every tenant, joined on the column",
    "across": "across tenants",
    "unknown": "unknown",
    "reference": "reference tables",
    "none": "no tables",
}
"""The kinds, with the texts for people.

``policy``: no equality of the statement binds it, and row-level security does. A role that no policy
restricts reads all tenants with it."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """The tenants whose rows a statement reads or writes."""

    kind: Kind
    because: str
    """The reason, in one phrase."""
    by: str = ""
    """The value of its one tenant: ``:tenant_id``, ``the setting app.jwt_tenant``."""
    hint: str = ""
    position: int = 0
    """1-based, in characters of the analysed text; 0 if the reason is about the whole statement."""
    tables: tuple[str, ...] = ()
    """The distributed tables that it names or reaches by a view, sorted."""
    others: tuple[str, ...] = ()
    """The other tables that it reads or writes, those of functions and triggers too, sorted."""
    citus: tuple[str, ...] = ()
    """Notes on a statement of one tenant that Citus refuses or does not send to one node, in phrases."""

    @property
    def fits(self) -> bool:
        """Return whether one server has all rows of a call."""
        return self.kind in ("tenant", "policy", "reference", "none")


@dataclass(frozen=True, slots=True)
class TableFault:
    """A key, a foreign key or a column of a table that prevents its distribution."""

    name: str
    """The name of the finding."""
    message: str
    hint: str
    object: str
    """The constraint or index; empty for the table itself."""


@dataclass(frozen=True, slots=True)
class DistributedTable:
    """A table of the database, as it would be distributed."""

    name: str
    """The name as ``schema.table``, quoted where SQL needs it."""
    schema: str
    relation: str
    """The name alone."""
    place: Literal["distributed", "reference", "undecided"]
    column_type: str = ""
    faults: tuple[TableFault, ...] = ()
    citus: tuple[str, ...] = ()
    """The parts that Citus refuses on a distributed table, in phrases: its policies, its triggers."""
