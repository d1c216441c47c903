"""What the server refused → which line of which file, what stays, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psycopg

from plainsql.errors import Place
from plainsql.migrate.failure import MigrationFailedError
from plainsql.migrate.results import Step
from plainsql.migrate.script import Script, Statement, place_at
from plainsql.migrate.session import Connection, ServerRefusal

__all__ = ["explain", "invalid_indexes", "left_behind"]

_HINTS = {
    "25001": "start the file with '-- transactional: false', and keep such statements in a file of their own",
    "55P03": "run it when the table is less busy, or allow a longer wait with --lock-timeout",
    "57014": "it was cancelled: by a statement_timeout, by Ctrl-C or by an operator",
}

_INVALID = """
select format('%I.%I', n.nspname, c.relname), c.relname, t.relname
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where not i.indisvalid
  and c.relkind = 'i'
  and not exists (select 1 from pg_stat_progress_create_index as p where p.index_relid = i.indexrelid)
order by n.nspname, c.relname
"""


def explain(
    refusal: ServerRefusal,
    step: Step,
    *,
    connection: Connection,
    done: Sequence[str],
    at_commit: bool = False,
    ran: int | None = None,
    invalid_before: Sequence[str] = (),
) -> MigrationFailedError:
    """Say what failed, where, what of it stays, and the one thing to do.

    Args:
        refusal: what the server said.
        step: the file that was run.
        connection: the run's connection, which may be lost.
        done: names of the migrations completed before.
        at_commit: every statement ran, and the commit failed.
        ran: of a file outside a transaction, how many statements had run; ``None`` for a transactional file.
        invalid_before: the invalid indexes that were there before.
    """
    diagnostic, sqlstate = refusal.cause.diag, refusal.cause.sqlstate
    failed = None if at_commit else _statement(step.script, refusal.completed if ran is None else ran)
    details, hint = [], diagnostic.message_hint or _HINTS.get(sqlstate or "")
    if diagnostic.message_detail:
        details.append(diagnostic.message_detail)
    if diagnostic.context:
        details.append(diagnostic.context.splitlines()[0])
    if failed is not None:
        details.append(f"statement {_number(step.script, failed)}: {failed.first_line}")
    if connection.broken and at_commit:
        message = "the connection was lost at the commit; whether it was committed is not known"
        hint = "look with 'plainsql migrate status'"
    elif connection.broken and sqlstate is None:
        message, hint = "the connection to the server was lost", hint or "apply again"
    else:
        message = diagnostic.message_primary or str(refusal.cause)
        message = f"{'at the commit: ' if at_commit else ''}{message} (SQLSTATE {sqlstate})"
    if not (connection.broken and at_commit):
        details.append(_kept(step, ran))
    behind = (
        [name for name in left_behind(connection) if name not in invalid_before] if ran is not None else []
    )
    if behind:
        details.append(f"it left invalid indexes: {', '.join(behind)}")
        hint = "; ".join(f"drop index concurrently {name}" for name in behind) + "; then run it again"
    elif ran:
        hint = hint or "make what ran fit to run again (if not exists), or undo it by hand; then run it again"
    if done:
        details.append(f"completed before it, and kept: {', '.join(done)}")
    return MigrationFailedError(
        message,
        migration=step.name,
        sqlstate=sqlstate,
        done=done,
        place=_place(step, failed, diagnostic.statement_position, whole=ran is None),
        detail="\n        ".join(details),
        hint=hint,
    )


def left_behind(connection: Connection) -> list[str]:
    """The qualified, quoted names of all invalid indexes, but those that are being built."""
    with suppress(psycopg.Error):
        return [str(row[0]) for row in connection.execute(_INVALID.encode())]
    return []


def invalid_indexes(connection: Connection, script: Script) -> Iterator[str]:
    """The invalid indexes that a script would build beside, or take for done by ``if not exists``.

    An index that the script drops first is none of them.
    """
    found = [tuple(map(str, row)) for row in connection.execute(_INVALID.encode())]
    for at, statement in enumerate(script.statements):
        words = statement.words
        if words[:1] != ("create",) or "index" not in words[1:3] or "concurrently" not in words[2:4]:
            continue
        unnamed = words[words.index("concurrently") + 1 :][:1] == ("on",)
        for qualified, index, table in found:
            dropped = any(
                earlier.words[:2] == ("drop", "index") and _names(earlier, index)
                for earlier in script.statements[:at]
            )
            if not dropped and (_names(statement, index) or (unnamed and _names(statement, table))):
                yield qualified


def _names(statement: Statement, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", statement.text, re.IGNORECASE) is not None


def _statement(script: Script, index: int) -> Statement | None:
    return script.statements[index] if index < len(script.statements) else None


def _number(script: Script, statement: Statement) -> str:
    return f"{script.statements.index(statement) + 1} of {len(script.statements)}"


def _kept(step: Step, ran: int | None) -> str:
    if ran is None:
        return "nothing of this file was kept"
    if ran == 0:
        return "no statement before it ran"
    lines = [
        f"statement {number} ({statement.first_line})"
        for number, statement in enumerate(step.script.statements[:ran], start=1)
    ]
    return f"ran before it, and stays: {', '.join(lines)}"


def _place(step: Step, failed: Statement | None, position: str | None, *, whole: bool) -> Place:
    if failed is None and not position:
        return Place(step.path)
    start = failed.start if failed else 0
    if position:
        # 1-based, in characters of what was sent: the whole file, or one statement of it.
        start = int(position) - 1 + (0 if whole else start)
    return place_at(step.path, step.script.source, start)
