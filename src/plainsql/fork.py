"""Connections in a forked child: they are the parent's, and nothing may be sent on them.

A child has a copy of every socket. A message that it sent there would reach the parent's session, and the
answer would go to the process that reads first.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["watch"]


class _Owner(Protocol):
    def abandon_to_parent(self) -> None: ...


_owners: WeakSet[_Owner] = WeakSet()
_registered: list[bool] = []


def watch(owner: _Owner) -> None:
    """Have an owner of connections abandon them in every child of this process."""
    if not _registered and hasattr(os, "register_at_fork"):
        _registered.append(True)
        os.register_at_fork(after_in_child=_abandon_all)
    _owners.add(owner)


def _abandon_all() -> None:
    for owner in list(_owners):
        owner.abandon_to_parent()
