"""Pools in a forked child: their connections are the parent's, and nothing may be sent on them.

A child has a copy of every socket. What it sent there would reach the parent's session, and be answered to
whichever of the two reads first.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["watch"]


class _Pool(Protocol):
    def abandon_to_parent(self) -> None: ...


_pools: WeakSet[_Pool] = WeakSet()
_registered: list[bool] = []


def watch(pool: _Pool) -> None:
    """Have a pool abandon its connections in every child of this process."""
    if not _registered and hasattr(os, "register_at_fork"):
        _registered.append(True)
        os.register_at_fork(after_in_child=_abandon_all)
    _pools.add(pool)


def _abandon_all() -> None:
    for pool in list(_pools):
        pool.abandon_to_parent()
