"""The permissions that the server checks for a statement, as it writes them into the rewritten tree.

A statement is prepared, and not executed, as a role without rights of its own. So the tree has the tables
below views, and the policies of row-level security. ``debug_print_rewritten`` shows it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from plainsql.analysis.describer import RefusedError
from plainsql.analysis.nodes import Node, read_tree
from plainsql.errors import PlainsqlError
from plainsql.grants.catalog_objects import CatalogObjects

__all__ = ["PermissionTrees", "StatementPermissions", "TablePermission", "functions_in", "permission_trees"]

_PERMISSION: Final = re.compile(
    r"\{RTEPERMISSIONINFO :relid (\d+) :inh \w+ :requiredPerms (\d+) :checkAsUser (\d+)"
    r" :selectedCols \(b([ \d]*)\) :insertedCols \(b([ \d]*)\) :updatedCols \(b([ \d]*)\)\}"
)
_FUNCTION: Final = re.compile(r":(?:funcid|opfuncid|aggfnoid|winfnoid|hashfuncid|negfuncid) (\d+)")
_FIRST_ATTRIBUTE: Final = -7
"""Bit sets of columns count from the lowest system attribute (``FirstLowInvalidHeapAttributeNumber``)."""
_BITS: Final = {1: "insert", 2: "select", 4: "update", 8: "delete", 16: "truncate"}
_SEQUENCE_FUNCTIONS: Final = {
    1574: "usage",  # nextval
    1575: "usage",  # currval
    1576: "update",  # setval
    1765: "update",  # setval with is_called
}
_SETTINGS: Final = {
    "debug_print_parse": "on",
    "debug_print_rewritten": "on",
    "debug_print_plan": "off",
    "debug_pretty_print": "off",
    "check_function_bodies": "on",
    "client_min_messages": "log",
}


@dataclass(frozen=True, slots=True)
class TablePermission:
    """The permissions on one relation that the server checks for one mention of it."""

    relation: int
    privileges: frozenset[str]
    checked_as: int
    """The oid of the role whose permissions are checked; 0 for the role that runs the statement."""
    columns: dict[str, frozenset[int]]
    """The numbers of the columns by privilege; 0 for the whole row."""


@dataclass(slots=True)
class StatementPermissions:
    """The permissions of one statement, or of the body of one function."""

    tables: list[TablePermission]
    named_tables: frozenset[int]
    """The relations that the text itself names."""
    functions: frozenset[int]
    named_functions: frozenset[int]
    """The functions and operators that the text itself names."""
    sequences: frozenset[tuple[int, str]]
    """Each sequence with the privilege that a call needs."""
    unknown: tuple[str, ...] = ()
    """The parts whose permissions are not known."""


@contextmanager
def permission_trees(connection: Any, objects: CatalogObjects, role: str = "") -> Generator[PermissionTrees]:
    """Yield the reader of permissions, in a transaction that is rolled back.

    ``role`` is the role of the application: if the server has it, its policies count.

    Raises ``PlainsqlError`` if the connection's role may not create a role.
    """
    probe = f"plainsql_probe_{secrets.token_hex(6)}"
    with connection.transaction(force_rollback=True):
        exists = connection.execute("select quote_ident(%s) from pg_roles where rolname = %s", (role, role))
        member = exists.fetchone()
        for name, value in _SETTINGS.items():
            connection.execute("select pg_catalog.set_config(%s, %s, true)", (name, value))
        try:
            if connection.execute("select current_setting('is_superuser')").fetchone() == ("on",):
                connection.execute("set local log_min_messages = fatal")
            connection.execute(f"create role {probe}" + (f" in role {member[0]}" if member else ""))
            if connection.execute("select current_setting('is_superuser')").fetchone() != ("on",):
                connection.execute(f"grant {probe} to current_user with set true")
            for schema in objects.schemas.values():
                connection.execute(f"grant usage on schema {schema.shown} to {probe}")
            for function in objects.functions.values():
                if not function.is_open:  # the server shows the body to roles that may execute it
                    kind = "procedure" if function.is_procedure else "function"
                    connection.execute(f"grant execute on {kind} {function.shown} to {probe}")
            connection.execute(f"set local role {probe}")
        except Exception as error:
            if getattr(error, "sqlstate", None) != "42501":
                raise
            raise PlainsqlError(
                "grants: the role of the scratch server may not create the role that statements are"
                f" prepared as: {error}",
                hint="use the embedded server, or a role that may: alter role NAME createrole",
            ) from None
        reader = PermissionTrees(connection, objects)
        connection.add_notice_handler(reader.on_notice)
        try:
            yield reader
        finally:
            connection.remove_notice_handler(reader.on_notice)


class PermissionTrees:
    """The reader of the permissions of statements and of functions in SQL."""

    def __init__(self, connection: Any, objects: CatalogObjects) -> None:
        self._connection = connection
        self._objects = objects
        self._parsed: list[str] = []
        self._rewritten: list[str] = []

    def on_notice(self, notice: Any) -> None:
        # The server does not translate these messages: `errmsg_internal`.
        if notice.message_primary == "parse tree:":
            self._parsed.append(notice.message_detail or "")
        elif notice.message_primary == "rewritten parse tree:":
            self._rewritten.append(notice.message_detail or "")

    def of_statement(self, sql: str) -> StatementPermissions:
        """Return the permissions of a statement with ``$n`` parameters.

        Raises ``RefusedError`` if the server refuses it.
        """
        self._connection.execute("savepoint plainsql_grants")
        self._parsed.clear()
        self._rewritten.clear()
        result = self._connection.pgconn.prepare(b"", sql.encode())
        parsed, rewritten = "".join(self._parsed), "".join(self._rewritten)
        message = (result.error_message or b"").decode(errors="replace").partition("\n")[0]
        self._connection.execute("rollback to savepoint plainsql_grants")
        self._connection.execute("release savepoint plainsql_grants")
        if message:
            raise RefusedError(message.partition(":  ")[2] or message)
        return self._permissions(parsed, rewritten)

    def of_function(self, oid: int) -> StatementPermissions | None:
        """Return the permissions of the body of a function in SQL.

        ``None`` if the server does not read the body.
        """
        self._connection.execute("savepoint plainsql_grants")
        self._parsed.clear()
        self._rewritten.clear()
        try:
            self._connection.execute(f"select pg_catalog.fmgr_sql_validator({oid:d})", prepare=False)
        except Exception as error:
            if getattr(error, "sqlstate", None) is None:
                raise
            return None
        finally:
            parsed, rewritten = self._parsed[1:], self._rewritten[1:]
            self._connection.execute("rollback to savepoint plainsql_grants")
            self._connection.execute("release savepoint plainsql_grants")
        # The first trees are those of this very query.
        return self._permissions("".join(parsed), "".join(rewritten)) if rewritten else None

    def _permissions(self, parsed: str, rewritten: str) -> StatementPermissions:
        # The server wraps lines at spaces.
        parsed, rewritten = parsed.replace("\n", " "), rewritten.replace("\n", " ")
        unknown: list[str] = []
        tables = _tables(rewritten)
        if len(tables) != rewritten.count("{RTEPERMISSIONINFO "):
            unknown.append("permissions in a form that is not known")
        utility, kinds = self._utility(rewritten)
        unknown += kinds
        sequences, unread = self._sequences(rewritten)
        return StatementPermissions(
            [*tables, *utility],
            frozenset(table.relation for table in (*_tables(parsed), *utility)),
            functions_in(rewritten),
            functions_in(parsed),
            sequences,
            (*unknown, *unread),
        )

    def _sequences(self, text: str) -> tuple[frozenset[tuple[int, str]], list[str]]:
        calls = functions_in(text)
        unknown = ["lastval() of a sequence that is not known"] if 2559 in calls else []
        if not calls & _SEQUENCE_FUNCTIONS.keys():
            return frozenset(), unknown
        found: set[tuple[int, str]] = set()
        for node in _nodes(text):
            privilege = _SEQUENCE_FUNCTIONS.get(node.number("funcid")) if node.kind == "FUNCEXPR" else None
            if privilege is None:
                continue
            first = next(iter(node.nodes("args")), None)
            datum = first.datum("constvalue") if first is not None and first.kind == "CONST" else None
            if datum is None:
                unknown.append("a call of nextval or setval for a sequence that is not a constant")
            else:
                found.add((int.from_bytes(datum[:4], "little"), privilege))
        return frozenset(found), unknown

    def _utility(self, text: str) -> tuple[list[TablePermission], list[str]]:
        """Return the permissions of a statement that has no plan, such as ``truncate``."""
        if ":commandType 6 " not in text:
            return [], []
        found: list[TablePermission] = []
        for query in (node for node in _nodes(text) if node.kind == "QUERY"):
            statement = query.node("utilityStmt")
            if statement is None:
                continue
            if statement.kind != "TRUNCATESTMT":
                return [], [f"the {statement.kind.removesuffix('STMT').lower()} statement"]
            for name in statement.nodes("relations"):
                shown = [part for part in (name.text("schemaname"), name.text("relname")) if part]
                row = self._connection.execute(
                    "select to_regclass(concat_ws('.', variadic array(select quote_ident(p)"
                    " from unnest(%s::text[]) with ordinality as u (p, i) order by u.i)))::oid::bigint",
                    (shown,),
                ).fetchone()
                if row is None or row[0] is None:
                    return [], ["the truncate statement"]
                found.append(TablePermission(row[0], frozenset({"truncate"}), 0, {}))
        return found, []


def functions_in(text: str) -> frozenset[int]:
    """Return the functions that an expression in the server's node format calls."""
    return frozenset(int(oid) for oid in _FUNCTION.findall(text.replace("\n", " "))) - {0}


def _tables(text: str) -> list[TablePermission]:
    found: list[TablePermission] = []
    for relation, bits, checked_as, selected, inserted, updated in _PERMISSION.findall(text):
        privileges = frozenset(name for bit, name in _BITS.items() if int(bits) & bit)
        columns = {
            name: frozenset(int(number) + _FIRST_ATTRIBUTE for number in numbers.split())
            for name, numbers in (("select", selected), ("insert", inserted), ("update", updated))
        }
        if privileges:
            found.append(TablePermission(int(relation), privileges, int(checked_as), columns))
    return found


def _nodes(text: str) -> list[Node]:
    # Several trees follow one another if a function has several statements.
    value = read_tree(f"({text})")
    pending, found = [value], list[Node]()
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending += each
        elif isinstance(each, Node):
            found += each.walk()
    return found
