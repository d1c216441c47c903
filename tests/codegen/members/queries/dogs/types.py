"""The types of the dogs' JSON."""

from __future__ import annotations

import msgspec

from tests.codegen.members.queries.enums import Mood


class Document(msgspec.Struct, frozen=True):
    """A document with moods in it."""

    moods: list[Mood]
