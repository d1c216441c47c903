"""The values of sequences before and after a dump, and of those that came back from it.

A snapshot does not hold them: pg_dump writes a value that the sequence had while it ran.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

__all__ = ["Sequence", "read_sequences", "sequence_differences"]

Connection = psycopg.Connection[Any]

_SEQUENCES: Final = """
select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), s.seqincrement < 0
from pg_sequence as s
inner join pg_class as c on c.oid = s.seqrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where (c.relpersistence = 'p' or c.relpersistence = 'u' and not pg_is_in_recovery())
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
  -- The snapshot may be older than a drop.
  and to_regclass(format('%I.%I', n.nspname, c.relname)) is not null
order by n.nspname collate "C", c.relname collate "C"
"""
_SEQUENCES_IN_ONE: Final = 200


class Sequence(msgspec.Struct, frozen=True):
    """The value of a sequence. It is in no snapshot: it is read before the dump and after it."""

    before: tuple[int, bool]
    """``last_value`` and ``is_called``."""
    after: tuple[int, bool]
    descends: bool


def read_sequences(connection: Connection, earlier: dict[str, Sequence] | None = None) -> dict[str, Sequence]:
    """Return the values of all sequences by their names; ``earlier``: those that were read before."""
    found: dict[str, Sequence] = {}
    sequences = connection.execute(_SEQUENCES.encode()).fetchall()
    for at in range(0, len(sequences), _SEQUENCES_IN_ONE):
        some = sequences[at : at + _SEQUENCES_IN_ONE]
        query = sql.SQL(" union all ").join(
            sql.SQL("select {}, last_value, is_called from {}").format(number, sql.Identifier(schema, name))
            for number, (schema, name, *_) in enumerate(some)
        )
        for number, value, called in connection.execute(query).fetchall():
            _, _, name, descends = some[number]
            now = (value, called)
            before = now if earlier is None or name not in earlier else earlier[name].before
            found[name] = Sequence(before, now, descends)
    return found


def sequence_differences(expected: dict[str, Sequence], found: dict[str, Sequence]) -> list[str]:
    """Return the sequences whose value is none that they had during the dump, one line each."""
    lines = []
    for name, sequence in sorted(expected.items()):
        if name not in found:
            continue  # it is missing among the objects
        low, high = (_key(each, sequence.descends) for each in (sequence.before, sequence.after))
        # One that was set back meanwhile may have had any value.
        if low <= high and not low <= _key(found[name].after, sequence.descends) <= high:
            shown = " to ".join(dict.fromkeys(map(_shown_value, (sequence.before, sequence.after))))
            lines.append(f"sequence {name}: expected {shown}, got {_shown_value(found[name].after)}")
    return lines


def _key(value: tuple[int, bool], descends: bool) -> tuple[int, bool]:
    return (-value[0] if descends else value[0], value[1])


def _shown_value(value: tuple[int, bool]) -> str:
    return f"{value[0]:,}" if value[1] else f"{value[0]:,} (not called)"
