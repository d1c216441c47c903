"""The differences between the objects of a backup and those that came back from it.

Definitions are not compared: pg_restore runs the text that the manifest has the digest of, and the server
writes an expression back in another form than it was given. What can be lost is an object that was not
dumped, or what the catalog says of it elsewhere: its owner, its privileges, whether it is enabled.
"""

from __future__ import annotations

from typing import Final

from plainsql.backup.database_objects import Fact, Objects

__all__ = ["object_differences", "version_differences"]

_FACTS_OF_OWNERS: Final = frozenset(["owner", "privileges"])
"""The facts that a restore without owners and privileges leaves out."""
_DIGESTED: Final = frozenset(["comment", "source"])
_PUBLIC: Final = "schema public"
"""Every new database has it, and no dump drops it."""
_RELATIONS: Final = ("table ", "view ", "materialized view ", "foreign table ", "composite type ")
_EXTENSION: Final = "extension "
_DEFAULT_PRIVILEGES: Final = "default acl "


def object_differences(expected: Objects, found: Objects, *, owners: bool = True) -> list[str]:
    """Return the differences between the objects of a backup and those of a database, one line each.

    ``owners``: compare owners and privileges as well.
    """
    lines = []
    differing = [
        name.removeprefix(kind)
        for name in expected.keys() ^ found.keys()
        for kind in _RELATIONS
        if name.startswith(kind)
    ]
    columns = tuple(f"column {relation}." for relation in differing)
    for name in sorted(expected.keys() | found.keys()):
        if name.startswith(columns) or (name.startswith(_DEFAULT_PRIVILEGES) and not owners):
            continue
        if name not in found:
            lines.append(f"{name}: it is missing")
        elif name in expected:
            lines += _fact_differences(name, expected[name], found[name], owners)
        elif name != _PUBLIC:
            lines.append(f"{name}: it is not in the backup")
    return lines


def version_differences(expected: Objects, found: Objects) -> list[str]:
    """Return the extensions that came back in another version, one line each.

    A dump names no version: the server creates the one that is installed there.
    """
    return [
        f"{name}: the backup has version {facts['version']}, the server {found[name]['version']}"
        for name, facts in expected.items()
        if name.startswith(_EXTENSION) and name in found and facts["version"] != found[name]["version"]
    ]


def _fact_differences(
    name: str, expected: dict[str, Fact], found: dict[str, Fact], owners: bool
) -> list[str]:
    lines = []
    for fact in sorted(expected.keys() | found.keys()):
        one, other = expected.get(fact), found.get(fact)
        if one == other or (fact in _FACTS_OF_OWNERS and not owners) or fact == "version":
            continue
        if fact in _DIGESTED:
            lines.append(f"{name}: the {fact} differs")
        elif isinstance(one, list) and isinstance(other, list) and set(one) != set(other):
            lines += [f"{name}: {fact}: {each} is missing" for each in one if each not in other]
            lines += [f"{name}: {fact}: {each} is not in the backup" for each in other if each not in one]
        else:
            lines.append(f"{name}: {fact}: expected {_shown(one)}, got {_shown(other)}")
    return lines


def _shown(fact: Fact) -> str:
    if isinstance(fact, list):
        return ", ".join(fact) or "none"
    if fact is None or isinstance(fact, bool):
        return {None: "none", True: "yes", False: "no"}[fact]
    return str(fact)
