"""The effects of a statement, as they are collected."""

from __future__ import annotations

from dataclasses import dataclass, field

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.model import TableUse, Volatility
from plainsql.analysis.nodes import Node

__all__ = ["Effects", "Evaluated"]

_VOLATILITY_ORDER: dict[Volatility, int] = {"immutable": 0, "stable": 1, "volatile": 2}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A node whose value may differ from call to call, and its place."""

    node: Node | None
    """The node; ``None`` for the name of a clock function in a body that is not parsed."""
    function: Function | None
    via: str
    """The view, policy or function that contains it; empty if the statement itself does."""


@dataclass(slots=True)
class Effects:
    """Everything that a statement does in addition to its result."""

    reads: list[TableUse] = field(default_factory=list)
    writes: list[TableUse] = field(default_factory=list)
    triggers: set[str] = field(default_factory=set)
    row_security: set[str] = field(default_factory=set)
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each table, the settings without which row-level security shows none of its rows."""
    settings_read: set[str] = field(default_factory=set)
    """The settings that any evaluated expression reads; ``*`` if a name is not known."""
    evaluated: list[Evaluated] = field(default_factory=list)
    """The nodes whose values may differ from call to call."""
    opaque: set[str] = field(default_factory=set)
    hidden_writes: set[str] = field(default_factory=set)
    """Those of ``opaque`` that may write tables that are not known."""
    volatility: Volatility = "immutable"
    not_read_only: str = ""
    """The reason why the statement is not proved to change nothing; empty if it is."""
    not_session_safe: str = ""
    """The reason why the statement is not proved to leave nothing behind; empty if it is."""

    def may_use_hidden_tables(self, what: str, writes: bool = True) -> None:
        """Record something that may read tables that are not listed, and write them too."""
        self.opaque.add(what)
        if writes:
            self.hidden_writes.add(what)

    def at_least(self, volatility: Volatility) -> None:
        """Record something that has this volatility."""
        if _VOLATILITY_ORDER[volatility] > _VOLATILITY_ORDER[self.volatility]:
            self.volatility = volatility

    def may_change(self, because: str) -> None:
        """Record something that may change the database."""
        self.not_read_only = self.not_read_only or because

    def may_leave_state(self, because: str) -> None:
        """Record something that may leave state in the session."""
        self.not_session_safe = self.not_session_safe or because

    def may_do_anything(self, what: str) -> None:
        """Record something that may do anything."""
        self.may_change(what)
        self.may_leave_state(what)
        self.at_least("volatile")
        self.settings_read.add("*")
        self.may_use_hidden_tables(what)
