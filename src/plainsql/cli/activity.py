"""``plainsql activity``: the sessions of a database that run now, by query, and who waits for whom."""

from __future__ import annotations

from plainsql.cli.db.common import COMMON, Common, connected, print_json
from plainsql.cli.exit_codes import FINE
from plainsql.cli.tables import print_table
from plainsql.settings import Project
from plainsql.workload.lock_tree import Line, lock_tree
from plainsql.workload.query_files import QueryFile, QueryFiles
from plainsql.workload.server_sessions import Activity, ServerSession, read_activity

__all__ = ["activity"]


def activity(*, common: Common = COMMON) -> int:
    """Show what runs now, by query, who waits for whom, and the oldest transaction.

    Sessions that wait for a lock are below the session that holds it. Idle sessions are only counted.
    Statements of other programs are shown without their constants.

    The role needs pg_monitor to see the sessions of other roles.
    """
    with connected(common.database) as session:
        found = read_activity(session.connection, QueryFiles(Project.load()))
    if common.json:
        print_json(found)
    else:
        _show(found)
    return FINE


def _show(found: Activity) -> None:
    states: dict[str, int] = {}
    for session in found.sessions:
        states[session.state or "hidden"] = states.get(session.state or "hidden", 0) + 1
    states["idle"] = states.get("idle", 0) + found.idle
    print(f"{found.database}: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    if found.hidden:
        print(f"hidden: {found.hidden} session" + ("" if found.hidden == 1 else "s"))
    for note in found.notes:
        print(f"note: {note}")
    if found.sessions:
        print()
        print_table(
            ["pid", "role", "application", "state", "since", "transaction", "waits for", "query"],
            [_cells(line) for line in lock_tree(found.sessions)],
        )
    if found.oldest is not None:
        print(f"\noldest transaction: {_age(found.oldest.age_s)}, process {found.oldest.pid}")
    if found.prepared:
        prepared = (
            "1 prepared transaction" if found.prepared == 1 else f"{found.prepared} prepared transactions"
        )
        print(f"{prepared}, the oldest since {_age(found.oldest_prepared_s)}")


def _cells(line: Line) -> list[str]:
    session = line.session
    return [
        f"{'  ' * (line.depth - 1)}└ {session.pid}" if line.depth else str(session.pid),
        session.role or session.kind,
        session.application if session.kind == "client backend" else session.kind,
        session.state or "hidden",
        _age(session.since_s),
        _age(session.transaction_s),
        _waits_for(session),
        _query(session),
    ]


def _waits_for(session: ServerSession) -> str:
    if session.blocked_by:
        names = [
            "a prepared transaction" if pid == 0 else str(pid) for pid in dict.fromkeys(session.blocked_by)
        ]
        lock = f" ({session.wait_event})" if session.wait_event else ""
        return f"{', '.join(names)}{lock}"
    if session.state != "active" or session.wait_event_type is None:
        return ""
    return f"{session.wait_event_type}: {session.wait_event}"


def _query(session: ServerSession) -> str:
    if session.query is None:
        return session.statement or ""
    file = "" if session.file is None else f"  {QueryFile(session.file, session.line or 1)}"
    return session.query + file


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
