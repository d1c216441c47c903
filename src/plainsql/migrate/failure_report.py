"""The report of a failed file: the line that failed, the part that is kept, and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg

from plainsql.errors import Place
from plainsql.extension_names import hint_of_extension
from plainsql.migrate.connection import Connection, ServerRefusal
from plainsql.migrate.errors import MigrationFailedError, MigrationInterrupted
from plainsql.migrate.invalid_index import left_behind, names, rebuilds
from plainsql.migrate.ledger import Record
from plainsql.migrate.results import Step
from plainsql.migrate.script import Script, Statement, place_at

__all__ = ["describe_earlier", "explain", "explain_interruption"]

_HINTS = {
    "25001": "start the file with '-- transactional: false', and keep such statements in a file of their own",
    "55P03": "end what blocks it, or run it when the table is less busy; --lock-timeout and --lock-retries "
    "allow more",
    "57014": "it was cancelled: by a statement_timeout, by Ctrl-C or by an operator",
}

_SYNTAX = "42601"

# Errors of a statement that an earlier run did already: the object exists, or it is gone.
_EXISTS = {"42P04", "42P06", "42P07", "42P16", "42701", "42710", "42723", "23505"}
_GONE = {"3D000", "3F000", "42P01", "42703", "42704", "42883"}

_INDEX = """
select format('%%I.%%I', n.nspname, c.relname), c.relname
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where i.indisvalid and n.nspname !~ '^pg_' and strpos(lower(%s), lower(c.relname)) > 0
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
    earlier: Record | None = None,
    waited: str | None = None,
) -> MigrationFailedError:
    """Return the error of a refused statement: its place, the part of the file that is kept, and a hint.

    Args:
        refusal: the server's error.
        step: the file that was run.
        connection: the run's connection, which may be lost.
        done: names of the migrations completed before.
        at_commit: whether every statement ran and the commit failed.
        ran: the number of statements that ran, of a file outside a transaction; ``None`` for a
            transactional file.
        invalid_before: the invalid indexes that existed before.
        earlier: the record of a run of this file that was cut off, whose changes may be in the way.
        waited: the tries and the blockers of a statement that did not get its lock.
    """
    diagnostic, sqlstate = refusal.cause.diag, refusal.cause.sqlstate
    failed = None
    if not at_commit:
        failed = _failed(step.script, refusal, ran)
    details, hint = [], hint_of_extension(connection, sqlstate, diagnostic.message_primary or "")
    hint = hint or diagnostic.message_hint or _HINTS.get(sqlstate or "")
    if diagnostic.message_detail:
        details.append(diagnostic.message_detail)
    if diagnostic.context:
        details.append(diagnostic.context.splitlines()[0])
    if failed is not None:
        unclosed = sqlstate == _SYNTAX and failed is step.script.statements[-1] and ";" in failed.text
        number = _number(step.script, failed, total=not unclosed)
        details.append(f"statement {number}: {failed.first_line}")
    if connection.broken and at_commit:
        message = "the connection was lost at the commit; whether it was committed is not known"
        hint = "see 'plainsql migrate status'"
    elif connection.broken and sqlstate is None:
        message, hint = "the connection to the server was lost", hint or "apply again"
    else:
        message = diagnostic.message_primary or str(refusal.cause)
        message = f"{'at the commit: ' if at_commit else ''}{message} (SQLSTATE {sqlstate})"
    if waited is not None:
        details.append(waited)
    if not (connection.broken and at_commit):
        details.append(_kept(step, ran))
    behind = (
        [name for name in left_behind(connection) if name not in invalid_before] if ran is not None else []
    )
    if behind:
        details.append(f"it left invalid indexes: {', '.join(behind)}")
        hint = _drop(failed, behind)
    elif (
        earlier is not None and failed is not None and _is_from_earlier_run(step, earlier, ran or 0, sqlstate)
    ):
        details.append(describe_earlier(step, earlier))
        hint = _hint_after_earlier_run(connection, step, failed)
    elif ran:
        hint = (
            hint or "make the statements repeatable (if not exists) or undo them by hand, then run it again"
        )
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


def explain_interruption(
    step: Step,
    *,
    connection: Connection,
    done: Sequence[str],
    committed: bool | None = False,
    ran: int | None = None,
    running: bool = False,
    invalid_before: Sequence[str] = (),
) -> MigrationInterrupted:
    """Return the error of an interrupted file: the part that is kept, and a hint.

    Args:
        step: the file that was run.
        connection: the run's connection, which may be lost.
        done: names of the migrations completed before.
        committed: whether a transactional file was committed; ``None`` if that is not known.
        ran: the number of statements that ran, of a file outside a transaction; ``None`` for a
            transactional file.
        running: whether the statement after those was cancelled.
        invalid_before: the invalid indexes that existed before.
    """
    details, hint, failed = [], "run it again", None
    if ran is None:
        if committed is None:
            details.append("it was interrupted at the commit; whether it was committed is not known")
            hint = "see 'plainsql migrate status'"
        else:
            details.append("it was committed all the same" if committed else "nothing of this file was kept")
    else:
        failed = _statement(step.script, ran) if running else None
        if failed is not None:
            details.append(f"cancelled: statement {_number(step.script, failed)}: {failed.first_line}")
        details.append(_kept(step, ran))
        if connection.broken or connection.closed:
            details.append("the server did not answer: the statement may go on there")
            hint = "see 'plainsql migrate status' when it has ended"
        elif behind := [name for name in left_behind(connection) if name not in invalid_before]:
            details.append(f"it left invalid indexes: {', '.join(behind)}")
            hint = _drop(failed, behind)
        elif ran == len(step.script.statements):
            hint = f"all of it ran: plainsql migrate mark {step.name}"
        elif ran:
            hint = "make the statements repeatable (if not exists) or undo them by hand, then run it again"
    if done:
        details.append(f"completed before it, and kept: {', '.join(done)}")
    return MigrationInterrupted(
        MigrationFailedError(
            "interrupted",
            migration=step.name,
            sqlstate=None,
            done=done,
            place=_place(step, failed, None, whole=ran is None),
            detail="\n        ".join(details),
            hint=hint,
        )
    )


def describe_earlier(step: Step, earlier: Record) -> str:
    """Return a sentence about a run of this file that was cut off: its time, and how far it came if known."""
    script, at = step.script, f"{earlier.changed_at:%Y-%m-%d %H:%M:%S} UTC"
    what = "run" if step.direction == "apply" else "rollback"
    text = f"an earlier {what} of this file was cut off; the last that is recorded of it is from {at}"
    known = _counted(step, earlier)
    if known is None:
        return text
    done, begun = known
    if done >= len(script.statements):
        return f"{text}: all its statements were done"
    said = {0: "", 1: "its first statement was done"}.get(done, f"its first {done} statements were done")
    maybe = f"statement {done + 1} ({script.statements[done].first_line}) may be done" if begun > done else ""
    return f"{text}: {' and '.join(filter(None, (said, maybe))) or 'none of its statements was done'}"


def _counted(step: Step, earlier: Record) -> tuple[int, int] | None:
    """Return the numbers of statements that the earlier run did and began; ``None`` if they are not known."""
    if step.direction == "rollback" or earlier.checksum != step.migration.checksum:
        return None
    done, begun = earlier.statements_done, earlier.statements_begun
    return None if done is None or begun is None else (done, begun)


def _is_from_earlier_run(step: Step, earlier: Record, index: int, sqlstate: str | None) -> bool:
    """Return True if a statement may have failed because of the changes of an earlier run of its file."""
    if sqlstate not in _EXISTS | _GONE:
        return False
    known = _counted(step, earlier)
    return known is None or index < known[1]


def _hint_after_earlier_run(connection: Connection, step: Step, failed: Statement) -> str:
    """Return the hint if an object of an earlier run may be in the way: both ways to continue."""
    if step.direction == "rollback":
        return f"undo the rest by hand, and say so: plainsql migrate mark --not-applied {step.name}"
    mark = f"plainsql migrate mark {step.name}"
    whole = len(step.script.statements) == 1
    if failed.words[:1] == ("create",) and "index" in failed.words[1:3]:
        with suppress(psycopg.Error):
            found = [tuple(map(str, row)) for row in connection.execute(_INDEX.encode(), (failed.text,))]
            if valid := [qualified for qualified, name in found if names(failed, name)]:
                there = f"{valid[0]} is there and valid"
                if whole:
                    return f"{there}: {mark}; or drop index concurrently {valid[0]}, then run it again"
                return (
                    f"{there}: drop index concurrently {valid[0]}, then run it again; "
                    f"or run the statements that are left by hand, then {mark}"
                )
    if whole:
        return f"if it is what this file makes: {mark}; if not, undo it by hand, then run it again"
    return (
        "undo what was done by hand, then run it again; "
        f"or run the statements that are left by hand, then {mark}"
    )


def _drop(failed: Statement | None, indexes: Sequence[str]) -> str:
    if failed is not None and rebuilds(failed, indexes):
        return "run it again: it drops that index and builds it again"
    return "; ".join(f"drop index concurrently {name}" for name in indexes) + "; then run it again"


def _statement(script: Script, index: int) -> Statement | None:
    return script.statements[index] if index < len(script.statements) else None


def _failed(script: Script, refusal: ServerRefusal, ran: int | None) -> Statement | None:
    """Return the statement that the server refused.

    The server parses a file that is sent as a whole before it runs any of it. Then no statement has
    completed, and only the position of the error says which one it is in.
    """
    if ran is not None:
        return _statement(script, ran)
    position = refusal.cause.diag.statement_position
    if position:
        offset = int(position) - 1
        begun = [statement for statement in script.statements if statement.start <= offset]
        if begun:
            return begun[-1]
    return _statement(script, refusal.completed)


def _number(script: Script, statement: Statement, *, total: bool = True) -> str:
    """Return the number of a statement, with the total if the whole script could be split."""
    of = f" of {len(script.statements)}" if total else ""
    return f"{script.statements.index(statement) + 1}{of}"


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
        # 1-based, in characters of the text that was sent: the whole file, or one statement of it.
        start = int(position) - 1 + (0 if whole else start)
    return place_at(step.path, step.script.source, start)
