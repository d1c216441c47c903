"""The rotation of a column: its values are encrypted again with the first key, while programs run.

A batch is one statement that replaces each value only if it is still the one that was read. It blocks no
program for long, and a concurrent write wins. However the run ends, each row holds a whole value under one
key of the ring. The values themselves show what is done, and the next run continues with the rest.

A searchable value gets the digest of the first key with it. A value that is not searchable yet becomes so.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

from plainsql.crypto.blind_index import search_digest
from plainsql.crypto.envelope import DIGEST, SEARCHABLE, unpack
from plainsql.crypto.keyring import KeyRing
from plainsql.errors import BindError, EncryptionError
from plainsql.options import check

__all__ = ["Connection", "Rotation"]

_UNIQUE_VIOLATION: Final = "23505"
_MAX_PASSES: Final = 3
"""Rows that programs write with the old key meanwhile are rotated in another pass, up to this limit."""


class Connection(Protocol):
    """The methods of a psycopg connection that a rotation needs. It is in autocommit mode."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...


@dataclass(slots=True)
class Rotation:
    """The rotation of one column to the first key of a ring."""

    connection: Connection
    column: str
    """``schema.table.column``."""
    keys: Sequence[str]
    """The columns that the values are bound to, in the header's order."""
    ring: KeyRing
    batch: int = 500
    form: str | None = None
    """The normal form by which the values are searched, as the headers name it; None if they are not."""
    scope: Sequence[str] = ()
    """The keys that the search digests are bound to, in the header's order."""
    failures: list[EncryptionError] = field(default_factory=list)
    """The errors of the rows that cannot be rotated, which stay unchanged."""
    _table: str = ""
    _name: str = ""
    _primary: list[tuple[str, str]] = field(default_factory=list)
    _key_types: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check("Rotation", column=self.column, keys=self.keys, batch=self.batch)
        check("Rotation", form=self.form, scope=self.scope)

    def prepare(self, *, partly: bool = False) -> None:
        """Read the table's definition. Call it first.

        With ``partly``, only the rows that row-level security shows are rotated.

        Raises ``EncryptionError`` if there is no such column, if it is no bytea, if the table has no primary
        key, or if row-level security hides rows from this role.
        """
        check("Rotation", partly=partly)
        schema, table, name = self.column.split(".")
        found = self.connection.execute(_COLUMN, [schema, table]).fetchall()
        types = {column: type for column, type, *_ in found}
        missing = [column for column in (name, *self.keys) if column not in types]
        if not found or missing:
            raise EncryptionError(
                f"there is no column {self.column}"
                if not found or name in missing
                else f"{schema}.{table} has no column {missing[0]}, which the value would be bound to",
                hint="apply the migrations, or correct the column in the headers",
            )
        if types[name] != "bytea":
            raise EncryptionError(
                f"{self.column}: expected bytea for encrypted values, got {types[name]}",
                hint="correct the column in the headers, or change its type in a migration",
            )
        self._primary = [(column, type) for column, type, is_primary, *_ in found if is_primary]
        if not self._primary:
            raise EncryptionError(f"{schema}.{table} has no primary key", hint="add one")
        *_, hidden, role = found[0]
        if hidden and not partly:
            raise EncryptionError(
                f"row-level security hides rows of {schema}.{table} from the role {role}",
                hint="connect as a role with bypassrls, or rotate the rows of one tenant: --tenant ID",
            )
        self._table = f"{_quoted(schema)}.{_quoted(table)}"
        self._name = _quoted(name)
        self._key_types = [types[key] for key in self.keys]

    def pending(self) -> int:
        """The number of rows whose value, or search digest, is not of the first key."""
        sql = f"select count(*) from {self._table} as t where {self._is_old}"
        return int(self.connection.execute(sql, self._currents).fetchone()[0])

    def run(self) -> Generator[int]:
        """Encrypt the values again, and yield the number of rows of each batch.

        Rows that cannot be rotated stay unchanged, and their errors are in ``failures``.
        """
        for _ in range(_MAX_PASSES):
            self.failures.clear()
            done = 0
            for rows in self._batches():
                replaced = self._replace(rows)
                done += replaced
                yield replaced
            if not done:
                return

    # --------------------------------------------------------------------------------------------------

    @property
    def _is_old(self) -> str:
        """The condition of the rows that are left; ``_currents`` has its values."""
        head, magic = len(self.ring.current), len(SEARCHABLE)
        prefix = f"substring(t.{self._name} from 1 for {head if not self.form else magic})"
        if not self.form:
            return f"t.{self._name} is not null and {prefix} <> %s"
        key = f"substring(t.{self._name} from {magic + DIGEST + 1} for {head - magic})"
        return f"t.{self._name} is not null and ({prefix} <> %s or {key} <> %s)"

    @property
    def _currents(self) -> list[bytes]:
        current = self.ring.current
        return [SEARCHABLE, current[len(SEARCHABLE) :]] if self.form else [current]

    def _batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the remaining rows by primary key: ``(value, *primary key, *keys)``, keys as text."""
        primary = ", ".join(f"t.{_quoted(column)}" for column, _ in self._primary)
        columns = [column for column, _ in self._primary] + list(self.keys)
        selected = ", ".join(f"t.{_quoted(column)}::text" for column in columns)
        casts = ", ".join(f"%s::{type.replace('%', '%%')}" for _, type in self._primary)
        select = f"select t.{self._name}, {selected} from {self._table} as t where {self._is_old}"
        after: list[Any] = []
        while True:
            further = f" and ({primary}) > ({casts})" if after else ""
            sql = f"{select}{further} order by {primary} limit {int(self.batch)}"
            rows = self.connection.execute(sql, [*self._currents, *after]).fetchall()
            if rows:
                yield rows
            if len(rows) < self.batch:
                return
            after = list(rows[-1][1 : 1 + len(self._primary)])

    def _replace(self, rows: Sequence[tuple[Any, ...]]) -> int:
        old: list[bytes] = []
        new: list[bytes] = []
        primary: list[Sequence[Any]] = []
        for value, *texts in rows:
            stored = bytes(value)
            keys = [
                _typed(text, type)
                for text, type in zip(texts[len(self._primary) :], self._key_types, strict=True)
            ]
            try:
                again = self._encrypted_again(stored, keys)
            except EncryptionError as error:
                self.failures.append(error)
                continue
            old.append(stored)
            new.append(again)
            primary.append(texts[: len(self._primary)])
        return self._update(old, new, primary)

    def _encrypted_again(self, stored: bytes, keys: Sequence[object]) -> bytes:
        """Return a value under the first key, with the digest of that key if it is searchable.

        Raises ``EncryptionError`` if it cannot be decrypted, or if its digest cannot be made.
        """
        plain = self.ring.decrypt(stored, self.column, self.keys, keys)
        envelope = unpack(stored)
        if not self.form:
            if envelope is not None and envelope.digest:
                raise self._error(
                    keys,
                    "is searchable, and the rotation has no form for its digest",
                    "rotate it without --keys, as its headers say",
                )
            return self.ring.encrypt(plain, self.column, self.keys, keys)
        names = list(self.scope)
        values = [keys[list(self.keys).index(name)] for name in names]
        key = self.ring.search_keys(self.column)[0]
        try:
            digest = search_digest(key, self.column, self.column, plain, self.form, names, values)
        except BindError as error:
            message = f"is not searchable: {error.message.removeprefix(f'{self.column}: ')}"
            raise self._error(keys, message, "correct the value: write it again") from None
        return self.ring.encrypt(plain, self.column, self.keys, keys, digest)

    def _error(self, keys: Sequence[object], message: str, hint: str) -> EncryptionError:
        row = ", ".join(
            f"{name} {value if isinstance(value, int | UUID) else '…'}"
            for name, value in zip(self.keys, keys, strict=True)
        )
        return EncryptionError(f"{self.column} of the row with {row}: the value {message}", hint=hint)

    def _update(self, old: list[bytes], new: list[bytes], primary: list[Sequence[Any]]) -> int:
        """Replace values, and return the number of rows.

        A row whose new digest a unique index refuses stays unchanged, with its error in ``failures``.
        """
        if not old:
            return 0
        try:
            return self._update_all(old, new, primary)
        except Exception as error:
            if getattr(error, "sqlstate", None) != _UNIQUE_VIOLATION:
                raise
            if len(old) == 1:
                shown = ", ".join(
                    f"{column} {text if type in _SHOWN_TYPES else '…'}"
                    for (column, type), text in zip(self._primary, primary[0], strict=True)
                )
                self.failures.append(
                    EncryptionError(
                        f"{self.column} of the row with {shown}: another row has the same value, "
                        "and a unique index allows one",
                        hint="both were written while a new key came to the front: merge or delete one",
                    )
                )
                return 0
        # The first half, then the second one: a batch has few such rows, if any.
        middle = len(old) // 2
        return sum(
            self._update(old[part], new[part], primary[part])
            for part in (slice(None, middle), slice(middle, None))
        )

    def _update_all(
        self, old: Sequence[bytes], new: Sequence[bytes], primary: Sequence[Sequence[Any]]
    ) -> int:
        names = [f"k{number}" for number in range(len(self._primary))]
        arrays = ", ".join(["%s::bytea[]", "%s::bytea[]", *("%s::text[]" for _ in names)])
        same = " and ".join(
            f"t.{_quoted(column)} = n.{name}::{type.replace('%', '%%')}"
            for name, (column, type) in zip(names, self._primary, strict=True)
        )
        sql = (
            f"update {self._table} as t set {self._name} = n.new "
            f"from unnest({arrays}) as n (old, new, {', '.join(names)}) "
            f"where {same} and t.{self._name} = n.old"
        )
        by_column = [[row[index] for row in primary] for index in range(len(names))]
        return int(self.connection.execute(sql, [list(old), list(new), *by_column]).rowcount)


_SHOWN_TYPES: Final = ("uuid", "smallint", "integer", "bigint")
"""The types of keys that errors show; a text may be an address or a telephone number."""

# One row for each column: name, type, whether it is in the primary key, whether rows are hidden, the role.
_COLUMN: Final = """
select
  a.attname::text,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  coalesce(a.attnum = any (i.indkey), false),
  pg_catalog.row_security_active(c.oid),
  current_user::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_index as i on i.indrelid = c.oid and i.indisprimary
where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p')
order by array_position(i.indkey::int2[], a.attnum), a.attnum
"""


def _typed(text: str | None, type: str) -> object:
    if text is not None and type == "uuid":
        return UUID(text)
    return int(text) if text is not None and type in ("smallint", "integer", "bigint") else text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
