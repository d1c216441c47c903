"""The sequences of layers, set to the state in the file: all of them, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from plainsql.transfer import file_format
from plainsql.transfer.catalog import Connection
from plainsql.transfer.errors import TransferError

__all__ = ["Target", "matched_sequences", "set_sequences"]

_HERE: Final = """
select
  n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname), s.seqmin, s.seqmax,
  pg_has_role(c.relowner, 'usage'), has_sequence_privilege(c.oid, 'update')
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_sequence as s on s.seqrelid = c.oid
where n.nspname = any(%s)
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname collate "C", c.relname collate "C"
"""

_BIGINT: Final = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Target:
    """A sequence of this database, and the state to set it to."""

    name: str
    """The qualified name, quoted if PostgreSQL would."""
    identifier: sql.Identifier
    owned: bool
    last: int
    called: bool


def matched_sequences(connection: Connection, header: file_format.Header, name: str) -> list[Target]:
    """Return the layers' sequences, which are those of the file, each within its bounds.

    A rollback does not undo ``setval`` on a sequence of another role, so all are checked before the first is
    set. Raises ``TransferError`` if one does not match.
    """
    here = {(row[0], row[1]): row[2:] for row in connection.execute(_HERE, [list(header.layers)])}
    there = {(each.schema, each.name): each for each in header.sequences}
    if len(there) != len(header.sequences):
        raise TransferError(f"{name}: the file names a sequence twice")
    for key in sorted(here.keys() ^ there.keys()):
        side = "this database has no" if key in there else "the file has no"
        raise TransferError(
            f"{name}: {side} sequence {'.'.join(key)}",
            hint="both sides must have the same sequences: apply the migrations of the layer",
        )
    found = []
    for key, sequence in there.items():
        shown, least, most, owned, may_set = here[key]
        last = int(sequence.last) if _BIGINT.fullmatch(sequence.last) else None
        if last is None or not least <= last <= most:
            raise TransferError(
                f"{name}: the sequence {shown}: expected a number from {least} to {most}, got another value",
                hint="both sides must have the same sequences: look for one altered without a migration",
            )
        if not may_set:
            raise TransferError(
                f"{name}: this role may not set the sequence {shown}",
                hint="connect as the owner of the tables, or as a superuser",
            )
        found.append(Target(shown, sql.Identifier(*key), bool(owned), last, sequence.called))
    return found


def set_sequences(connection: Connection, sequences: Sequence[Target]) -> None:
    """Set the sequences, as the last step of a transaction.

    A rollback does not undo ``setval``. It undoes a restart, which gives the sequence a new file; ``setval``
    then writes to that file, and a rollback drops it. Only owners may restart a sequence.
    """
    for sequence in sequences:
        if sequence.owned:
            connection.execute(sql.SQL("alter sequence {} restart").format(sequence.identifier))
    for sequence in sequences:
        connection.execute(
            "select setval(%s::regclass, %s, %s)", [sequence.name, sequence.last, sequence.called]
        )
