"""The statements of a schema that an empty database of another server cannot run, or must not.

A dump names the roles, tablespaces and replicas of the server that it came from. None of them changes the
type of a query, so such a statement is left out and counted, or runs without the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["NAMES", "Server", "Verdict", "judge", "judge_refusal"]

NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "command": ("psql command", "psql commands"),
    "owner": ("owner", "owners"),
    "grant": ("grant to a role that does not exist", "grants to roles that do not exist"),
    "policy": (
        "name of a policy's role that does not exist (the policy is for all roles)",
        "names of policies' roles that do not exist (the policies are for all roles)",
    ),
    "privileges": ("default privilege", "default privileges"),
    "role": ("statement about roles", "statements about roles"),
    "rows": ("table's rows", "tables' rows"),
    "insert": ("insert of rows", "inserts of rows"),
    "extension": ("extension of the server's operator", "extensions of the server's operator"),
    "comment": ("comment on an extension or a database", "comments on extensions or databases"),
    "database": ("statement about databases", "statements about databases"),
    "replication": ("publication or subscription", "publications and subscriptions"),
    "event": ("event trigger", "event triggers"),
    "tablespace": ("tablespace or access method", "tablespaces and access methods"),
    "mapping": ("user mapping", "user mappings"),
    "label": ("security label", "security labels"),
    "setting": ("setting that the server does not know", "settings that the server does not know"),
    "drop": ("drop of an object that does not exist", "drops of objects that do not exist"),
    "callback": ("callback file", "callback files"),
}
"""The words for what is left out: one, and several of it."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the database that a statement would run in."""

    roles: frozenset[str]
    extensions: frozenset[str]
    """Those that can be installed."""
    database: str
    """The database's name, quoted."""


class Verdict(NamedTuple):
    """The decision about a statement."""

    text: str | None
    """The text to run; ``None`` to leave it out."""
    reason: str = ""
    """The key in ``NAMES`` of what is left out, if that is worth a word."""
    missing_extension: str = ""
    """The name of an extension that the server lacks."""


_NAME: Final = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_PATH: Final = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_ROLES: Final = rf"(?:group\s+)?{_NAME}(?:\s*,\s*(?:group\s+)?{_NAME})*"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_WORDS: Final = _compiled(r"[a-z_]+(?:\s+[a-z_]+){0,3}")
_OWNER: Final = _compiled(rf"alter\s.*\sowner\s+to\s+{_NAME}\s*\Z")
_GRANT: Final = _compiled(
    rf"(?:grant|revoke|alter\s+default\s+privileges)\s.*?\s(?:to|from)\s+(?P<roles>{_ROLES})"
    r"(?P<tail>\s+with\s[\w\s,]+|\s+cascade|\s+restrict)?(?:\s+granted\s+by\s+\S+)?\s*\Z"
)
_MEMBERSHIP: Final = _compiled(rf"(?:grant|revoke)\s+(?P<granted>{_ROLES})\s+(?:to|from)\s")
_POLICY: Final = _compiled(
    rf"(?:create|alter)\s+policy\s+{_NAME}\s+on\s+{_PATH}(?:\s+as\s+\w+)?(?:\s+for\s+\w+)?"
    rf"\s+to\s+(?P<roles>{_ROLES})"
)
_EXTENSION: Final = _compiled(
    rf"(?:create|alter|drop)\s+extension\s+(?:if\s+(?:not\s+)?exists\s+)?(?P<name>{_NAME})"
)
_SCHEMA: Final = _compiled(
    rf"create\s+schema\s+(?P<exists>if\s+not\s+exists\s+)?(?P<name>(?!authorization\b){_NAME})?"
    rf"\s*(?P<of>authorization\s+(?P<role>{_NAME}))?"
)
_SETTING: Final = _compiled(r"set\s+(?:session\s+|local\s+)?(?P<name>[\w.]+)\s*(?:=|\sto\s)\s*(?P<value>.*)")
_DATABASE_SETTING: Final = _compiled(rf"alter\s+database\s+{_NAME}(?P<set>\s+set\s+search_path\s.*)")
_DROP: Final = _compiled(r"drop\s|alter\s.*\sdrop\s")
_SPECIAL_ROLES: Final = frozenset({"public", "current_user", "session_user", "current_role"})

# By their first two words.
_REASONS: Final[Mapping[str, str]] = {
    "reset role": "role",
    "reset session": "role",
    "create role": "role",
    "create user": "role",
    "create group": "role",
    "alter role": "role",
    "alter user": "role",
    "alter group": "role",
    "drop role": "role",
    "drop user": "role",
    "drop group": "role",
    "reassign owned": "role",
    "drop owned": "role",
    "create database": "database",
    "alter database": "database",
    "drop database": "database",
    "alter system": "database",
    "create publication": "replication",
    "alter publication": "replication",
    "drop publication": "replication",
    "create subscription": "replication",
    "alter subscription": "replication",
    "drop subscription": "replication",
    "create event": "event",
    "alter event": "event",
    "drop event": "event",
    "create tablespace": "tablespace",
    "alter tablespace": "tablespace",
    "drop tablespace": "tablespace",
    "security label": "label",
}
_COMMENTS: Final = re.compile(
    r"comment\s+on\s+(extension|database|role|publication|subscription|event|tablespace)\b", re.IGNORECASE
)
_ROW_STATEMENTS: Final = re.compile(
    r"insert\s+into\b|select\s+pg_catalog\.(?:setval|lo_\w+)\s*\(|refresh\s+materialized\b", re.IGNORECASE
)
# Of the server's operator: no type and no function of them is in a query of a program.
_OPERATORS_EXTENSIONS: Final = frozenset(
    [
        *("adminpack", "amcheck", "hypopg", "pageinspect", "pg_buffercache"),
        *("pg_cron", "pg_freespacemap", "pg_graphql", "pg_hint_plan", "pg_net"),
        *("pg_prewarm", "pg_repack", "pg_squeeze", "pg_stat_kcache", "pg_stat_monitor"),
        *("pg_stat_statements", "pg_visibility", "pg_wait_sampling", "pgaudit", "pgsodium"),
        *("pgstattuple", "plpgsql_check", "supabase_vault"),
    ]
)


def judge(statement: str, server: Server, *, is_dump: bool) -> Verdict:
    """Return what becomes of one statement of a schema."""
    found = _WORDS.match(statement)
    words = found[0].lower().split() if found else []
    first = words[0] if words else ""
    if first in ("grant", "revoke"):
        return _grant(statement, server)
    if first == "set":
        return _set(statement, words)
    if first == "copy":
        return (
            Verdict(None) if re.search(r"\bfrom\s+stdin\b", statement, re.IGNORECASE) else Verdict(statement)
        )
    if first == "comment":
        return Verdict(None, "comment") if _COMMENTS.match(statement) else Verdict(statement)
    if first in ("insert", "select", "refresh"):
        if is_dump and _ROW_STATEMENTS.match(statement):
            return Verdict(None, "insert" if first == "insert" else "")
        return Verdict(statement)
    if first not in ("create", "alter", "drop", "reset", "reassign", "security"):
        return Verdict(statement)
    return _define(statement, words, server)


def _define(statement: str, words: list[str], server: Server) -> Verdict:
    second = words[1] if len(words) > 1 else ""
    if second == "user" and words[2:3] == ["mapping"]:
        return Verdict(None, "mapping")
    if found := _DATABASE_SETTING.match(statement):
        return Verdict(f"alter database {server.database}{found['set']}")
    if reason := _REASONS.get(f"{words[0]} {second}"):
        return Verdict(None, reason)
    if second == "extension":
        return _extension(statement, server)
    if second == "policy":
        return _policy(statement, server)
    if second == "default" and words[2:3] == ["privileges"]:
        if re.match(r"alter\s+default\s+privileges\s+for\s", statement, re.IGNORECASE):
            return Verdict(None, "privileges")
        return _grant(statement, server)
    if words[0] == "alter" and _OWNER.match(statement):
        return Verdict(None, "owner")
    if words[0] == "create" and second == "schema":
        return _schema(statement, server)
    return Verdict(statement)


def _set(statement: str, words: list[str]) -> Verdict:
    if words[1:3] == ["session", "authorization"] or words[1:2] == ["role"]:
        return Verdict(None, "role")
    found = _SETTING.match(statement)
    if found is None:
        return Verdict(statement)
    name, value = found["name"].lower(), found["value"].strip().strip("'\"").lower()
    if name == "client_encoding":
        return Verdict(None)  # files are read as UTF-8, and sent as UTF-8
    if name == "default_tablespace":
        return Verdict(None, "tablespace" if value else "")
    if name == "default_table_access_method":
        return Verdict(None, "" if value == "heap" else "tablespace")
    return Verdict(statement)


def _grant(statement: str, server: Server) -> Verdict:
    found = _GRANT.match(statement)
    if found is None:
        return Verdict(statement)
    wanted = _split_roles(found["roles"])
    known = [role for role in wanted if _exists(role, server)]
    of_roles = _MEMBERSHIP.match(statement)
    if of_roles and not re.search(r"\son\s", statement, re.IGNORECASE):
        # A membership would change the server's roles, and not this database.
        return Verdict(None, "role")
    if not known:
        return Verdict(None, "grant")
    if len(known) == len(wanted) and "granted" not in statement[found.end("roles") :].lower():
        return Verdict(statement)
    start = found.start("roles")
    return Verdict(f"{statement[:start]}{', '.join(known)}{found['tail'] or ''}", "grant")


def _policy(statement: str, server: Server) -> Verdict:
    found = _POLICY.match(statement)
    if found is None:
        return Verdict(statement)
    wanted = _split_roles(found["roles"])
    known = [role for role in wanted if _exists(role, server)]
    if len(known) == len(wanted):
        return Verdict(statement)
    start, end = found.span("roles")
    return Verdict(f"{statement[:start]}{', '.join(known) or 'public'}{statement[end:]}", "policy")


def _extension(statement: str, server: Server) -> Verdict:
    found = _EXTENSION.match(statement)
    name = _folded(found["name"]) if found else ""
    if found is None or name in server.extensions:
        return Verdict(statement)
    if name in _OPERATORS_EXTENSIONS or statement[:6].lower() != "create":
        return Verdict(None, "extension")
    return Verdict(None, missing_extension=name)


def _schema(statement: str, server: Server) -> Verdict:
    found = _SCHEMA.match(statement)
    if found is None:
        return Verdict(statement)
    if found["name"] and _folded(found["name"]) == "public":
        return Verdict(f"create schema if not exists public{statement[found.end() :]}")
    if not found["of"] or _exists(found["role"], server):
        return Verdict(statement)
    name = found["name"] or found["role"]
    return Verdict(f"create schema {found['exists'] or ''}{name}{statement[found.end() :]}", "owner")


def judge_refusal(statement: str, sqlstate: str | None, *, is_dump: bool) -> str:
    """Return the key of what a refused statement is left out as; the empty text if it is an error."""
    if sqlstate in ("42704", "22023") and re.match(r"set\s", statement, re.IGNORECASE):
        return "setting"
    gone = {"42P01", "42704", "42883", "3F000", "42703"}
    if (
        is_dump
        and sqlstate in gone
        and re.match(r"(?:drop\s|alter\s.*\sdrop\s)", statement, re.IGNORECASE | re.DOTALL)
    ):
        return "drop"
    return ""


def _split_roles(text: str) -> list[str]:
    return [
        re.sub(r"(?i)^group\s+", "", each.strip()) for each in re.findall(r'(?:"(?:[^"]|"")+"|[^,"])+', text)
    ]


def _exists(role: str, server: Server) -> bool:
    name = _folded(role)
    return name in server.roles or (name in _SPECIAL_ROLES and not role.startswith('"'))


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
