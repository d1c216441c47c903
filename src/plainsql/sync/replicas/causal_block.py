"""The block of a session whose reads see its own writes."""

from __future__ import annotations

from typing import Self

from plainsql.sync.replicas.route import Route

__all__ = ["CausalBlock"]


class CausalBlock:
    """The part of a session that is the same for one connection and for a pool. It holds no connection."""

    _route: Route | None

    @property
    def token(self) -> bytes:
        """The position of all that the session has written and seen, for ``db.causal`` of a later request.

        It is 8 bytes long, and holds nothing secret. ``plainsql.connect`` and ``plainsql.sync`` take the
        tokens of each other. It is exact, unless a call of the session has failed: then it means all that the
        primary has when the token is used.
        """
        assert self._route is not None  # each session has one
        return self._route.scope.token()

    @property
    def has_written(self) -> bool:
        """True if the session may have written: by a statement that is not proved to be a read, or in a
        transaction that is not read-only.
        """
        assert self._route is not None  # each session has one
        return self._route.scope.has_written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
