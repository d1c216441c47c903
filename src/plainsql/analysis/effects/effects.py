"""The effects of a statement, as they are collected."""

from __future__ import annotations

from dataclasses import dataclass, field

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.model import TableUse, Volatility
from plainsql.analysis.nodes import Node

__all__ = ["Effects", "Evaluated"]

_ORDER: dict[Volatility, int] = {"immutable": 0, "stable": 1, "volatile": 2}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A node whose value may differ from call to call, and where it stands."""

    node: Node | None
    """None for a name of the clock's in a body that is not parsed."""
    function: Function | None
    via: str
    """The view, policy or function that it stands in; empty if the statement itself has it."""


@dataclass(slots=True)
class Effects:
    """All that a statement does beyond its result."""

    reads: list[TableUse] = field(default_factory=list)
    writes: list[TableUse] = field(default_factory=list)
    triggers: set[str] = field(default_factory=set)
    row_security: set[str] = field(default_factory=set)
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By table: settings without which row-level security lets nothing of it through."""
    settings_read: set[str] = field(default_factory=set)
    """The settings that anything evaluated reads; ``*`` for those whose names are not known."""
    evaluated: list[Evaluated] = field(default_factory=list)
    """The nodes whose values may differ from call to call."""
    opaque: set[str] = field(default_factory=set)
    hidden_writes: set[str] = field(default_factory=set)
    """Those of the opaque that may write: which tables is not known."""
    volatility: Volatility = "immutable"
    not_read_only: str = ""
    """Why it is not proved to change nothing; empty where it is."""
    not_session_safe: str = ""
    """Why it is not proved to leave nothing behind; empty where it is."""

    def may_use_hidden_tables(self, what: str, writes: bool = True) -> None:
        """Something may read tables that are not listed, and write them too."""
        self.opaque.add(what)
        if writes:
            self.hidden_writes.add(what)

    def at_least(self, volatility: Volatility) -> None:
        """Something has this volatility."""
        if _ORDER[volatility] > _ORDER[self.volatility]:
            self.volatility = volatility

    def may_change(self, because: str) -> None:
        """Something may change the database."""
        self.not_read_only = self.not_read_only or because

    def may_leave_state(self, because: str) -> None:
        """Something may leave a trace in the session."""
        self.not_session_safe = self.not_session_safe or because

    def may_do_anything(self, what: str) -> None:
        """Something may do anything."""
        self.may_change(what)
        self.may_leave_state(what)
        self.at_least("volatile")
        self.settings_read.add("*")
        self.may_use_hidden_tables(what)
