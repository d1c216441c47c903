"""The source of a schema, as the scratch database reads it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SchemaSource"]


class SchemaSource(Protocol):
    """A source that creates a project's schema in an empty database."""

    @property
    def identity(self) -> bytes:
        """The location of the source: two projects that share a server have different ones."""
        ...

    def digest(self) -> str:
        """Return a digest of the source's content, as hexadecimal digits."""
        ...

    def apply(self, url: str) -> None:
        """Create the schema in the empty database of a URL.

        Raises ``PlainsqlError`` if the source or a statement in it is refused.
        """
