"""The least grants with which a role can run all queries of a project, as data and as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from plainsql.grants.catalog_objects import RelationObject
from plainsql.grants.needed_privileges import ColumnNeeds, Needs

__all__ = [
    "Grant",
    "LeastGrants",
    "UnknownGrant",
    "grant_statements",
    "least_grants",
    "shown_object",
    "shown_privilege",
    "unknown_comment",
]

ObjectKind = Literal["schema", "table", "sequence", "function"]

_ORDER: Final = ("usage", "execute", "select", "insert", "update", "delete", "truncate")


class Grant(Struct, frozen=True):
    """One privilege on one object."""

    kind: ObjectKind
    name: str
    """The object as SQL writes it; a function with its arguments."""
    privilege: str
    columns: tuple[str, ...] = ()
    """The columns as SQL writes them, in the table's order; empty for the whole table."""
    queries: tuple[str, ...] = ()
    """The queries that need it, in the order of their names."""
    is_any: bool = False
    """True if any other column would do as well, as for row locks and ``count(*)``."""


class UnknownGrant(Struct, frozen=True):
    """A part of the queries whose privileges are not known."""

    what: str
    tables: tuple[str, ...]
    """The relations that it names, as SQL writes them; with none, it may use any."""
    privileges: tuple[str, ...]
    """The privileges that it may need on them."""
    queries: tuple[str, ...]


class LeastGrants(Struct, frozen=True):
    """The grants that all queries of a project need together."""

    role: str
    """The role as SQL writes it."""
    grants: tuple[Grant, ...]
    """Schemas first, then functions, sequences and tables, in the order of their names."""
    unknown: tuple[UnknownGrant, ...] = ()


def least_grants(needs: Needs, role: str) -> LeastGrants:
    """Return the least grants for needs; ``role`` is a name as SQL writes it.

    A need of all columns, or of whole rows, is one of the table. A need of any one column, as of a row
    lock, is covered by a column that is needed anyway. Without one, it is that of a column to which no value
    can be given, or of the key. Privileges that every role has are left out.
    """
    objects, grants = needs.objects, list[Grant]()
    grants += [
        Grant("schema", objects.schemas[oid].shown, "usage", (), tuple(queries))
        for oid, queries in needs.schemas.items()
    ]
    grants += [
        Grant("function", objects.functions[oid].shown, "execute", (), tuple(queries))
        for oid, queries in needs.functions.items()
    ]
    for (oid, privilege), queries in needs.sequences.items():
        # The privilege of an update allows nextval, too.
        more = needs.sequences.get((oid, "usage"), {}) if privilege == "update" else {}
        if oid in objects.relations and not (privilege == "usage" and (oid, "update") in needs.sequences):
            name = objects.relations[oid].shown
            grants.append(Grant("sequence", name, privilege, (), tuple(sorted({**queries, **more}))))
    for oid, by_privilege in needs.tables.items():
        grants += _of_table(objects.relations[oid], by_privilege)
    return LeastGrants(
        role,
        tuple(sorted(grants, key=_order)),
        tuple(
            UnknownGrant(need.what, need.tables, need.privileges, tuple(queries))
            for need, queries in sorted(needs.unknown.items())
        ),
    )


def _of_table(relation: RelationObject, by_privilege: dict[str, ColumnNeeds]) -> Iterator[Grant]:
    for privilege, need in by_privilege.items():
        numbers = set(need.columns)
        if not numbers:
            # A column to which no statement gives a value can be granted without harm.
            numbers = {_harmless(relation)} if need.any_column else set()
        everything = {column.number for column in relation.own_columns} <= numbers
        columns = [column for column in relation.columns if column.number in numbers]
        shown = () if need.whole or everything else tuple(column.shown for column in columns)
        is_any = bool(shown) and not need.columns
        yield Grant("table", relation.shown, privilege, shown, tuple(sorted(need.queries)), is_any)


def _harmless(relation: RelationObject) -> int:
    """Return the column with which a role can do the least: a fixed one, one of the key, the first."""
    columns = sorted(relation.own_columns, key=lambda each: (not each.is_fixed, not each.is_key, each.number))
    return columns[0].number if columns else 0


def _order(grant: Grant) -> tuple[int, str, int]:
    kinds = ("schema", "function", "sequence", "table")
    return kinds.index(grant.kind), grant.name, _ORDER.index(grant.privilege)


def grant_statements(least: LeastGrants, *, queries: bool = False) -> Iterator[str]:
    """Yield the least grants as SQL, one statement for each object; then what is not known, as comments.

    With ``queries``, a comment before each statement lists the queries that need each privilege.
    """
    by_object: dict[tuple[ObjectKind, str], list[Grant]] = {}
    for grant in least.grants:
        by_object.setdefault((grant.kind, grant.name), []).append(grant)
    for grants in by_object.values():
        comments = [f"-- {shown_privilege(grant)}: {', '.join(grant.queries)}" for grant in grants if queries]
        listed = ", ".join(map(shown_privilege, grants))
        yield "\n".join([*comments, f"grant {listed} on {shown_object(grants[0])} to {least.role};"])
    for unknown in least.unknown:
        yield unknown_comment(unknown, least.role, queries=queries)


def unknown_comment(unknown: UnknownGrant, role: str, *, queries: bool = False) -> str:
    """Return a part whose privileges are not known, with those that it may need, as comments in SQL."""
    lines = [f"-- not known: {_one_line(unknown.what)}, with the rights of the role"]
    lines += [f"--   {', '.join(unknown.queries)}"] if queries else []
    lines += [
        f"-- perhaps: grant {', '.join(unknown.privileges)} on {_one_line(table)} to {role};"
        for table in unknown.tables
    ]
    return "\n".join(lines)


def shown_object(grant: Grant) -> str:
    """Return the object of a grant as ``grant … on`` names it."""
    return grant.name if grant.kind == "table" else f"{grant.kind} {grant.name}"


def shown_privilege(grant: Grant) -> str:
    """Return the privilege of a grant with its columns, as SQL writes it."""
    return f"{grant.privilege} ({', '.join(grant.columns)})" if grant.columns else grant.privilege


def _one_line(text: str) -> str:
    return " ".join(text.split())
