"""``plainsql crypto``: keys for encrypted columns, and their rotation.

Exit codes: 0 done; 1 some values could not be opened and are left as they are; 2 it could not run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import psycopg
from cyclopts import App, Parameter

from plainsql import crypto, statements
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.project import values_of_tenant
from plainsql.connect_errors import cannot_connect
from plainsql.crypto import KeyRing, Rotation
from plainsql.errors import EncryptionError, PlainsqlError
from plainsql.settings import Project, resolve_database
from plainsql.statements import Statement

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["app"]

_MAX_LISTED_ROWS: Final = 10
"""The number of undecryptable rows that are listed; the others are counted."""
_BATCH: Final = NumberRange("an integer", 1, 2**31 - 1, "500")

app = App(
    name="crypto",
    help="""Create keys for encrypted columns, and rotate them.

    PLAINSQL_ENCRYPTION_KEYS holds the keys as id:key,id:key. The first one encrypts, all of them decrypt.
    """,
)


@app.command(name="new-key")
def new_key() -> int:
    """Print a new key: 32 random bytes in base64."""
    print(crypto.new_key())
    return FINE


@app.command
def rotate(
    column: str | None = None,
    /,
    *,
    database: str | None = None,
    keys: str | None = None,
    batch: Annotated[int, Parameter(validator=_BATCH)] = 500,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
    tenant: Annotated[str | None, Parameter(show_default=False)] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False,
) -> int:
    """Encrypt stored values again with the first key, in batches, while programs run.

    A searchable value gets the digest of that key, also if it had none.

    You may interrupt it at any time; run it again for the rest. Triggers of the table fire, as for any
    update.

    Exits with 0 if all values are encrypted with the first key, 1 if some could not be rotated (they are
    left unchanged) or if programs wrote with an older key meanwhile, 2 if it could not run.

    Parameters
    ----------
    column
        ``schema.table.column``; by default every column that a header of the SQL folder calls encrypted.
    database
        URL of the database; by default the configured one, else the embedded server.
    keys
        The columns that the values are bound to, ``tenant_id,id``; by default those of the headers.
    batch
        Rows to replace in one statement.
    set_
        A setting, ``name=value``, such as ``app.jwt_tenant=…``: only rows that row-level security then shows
        are rotated.
    tenant
        Only rows of this tenant: --set for the project's tenant_setting, ``app.jwt_tenant`` by default.
    json_
        Print a JSON array with one object for each column, and nothing else.
    """
    settings = [_setting(text) for text in set_]
    if tenant is not None:
        settings += values_of_tenant(tenant).items()
    ring = KeyRing.from_environment()
    with resolve_database(database) as url, _connected(url) as connection:
        scoped = _Scoped(connection, settings)
        rotations = [
            Rotation(scoped, each.column, each.bound, ring, batch, each.form, each.scope)
            for each in _columns(connection, column, keys)
        ]
        for rotation in rotations:
            rotation.prepare(partly=bool(settings))
        with _bars(quiet=json_) as progress:
            found = [_rotate(rotation, progress, as_json=json_) for rotation in rotations]
    if json_:
        print(json.dumps(found, indent=2))
    return FINDINGS if any(each["left"] for each in found) else FINE


def _rotate(rotation: Rotation, progress: Progress, *, as_json: bool) -> dict[str, object]:
    """Rotate one column, and report its result, also after an interrupt."""
    total, done = rotation.pending(), 0
    task = progress.add_task(rotation.column, total=total)
    try:
        for replaced in rotation.run():
            done += replaced
            progress.update(task, completed=min(done, total))
    except KeyboardInterrupt:
        print(
            f"{rotation.column}: {done} of {total} re-encrypted; run it again for the rest", file=sys.stderr
        )
        raise
    left = rotation.pending()
    if not as_json:
        _say(rotation, done, left)
    return {
        "column": rotation.column,
        "key": rotation.ring.active,
        "rotated": done,
        "left": left,
        "errors": [str(error) for error in rotation.failures[:_MAX_LISTED_ROWS]],
    }


def _say(rotation: Rotation, done: int, left: int) -> None:
    for error in rotation.failures[:_MAX_LISTED_ROWS]:
        print(f"{error}\n", file=sys.stderr)
    print(f"{rotation.column}: {done} re-encrypted with the key {rotation.ring.active!r}, {left} left")
    if left > len(rotation.failures):
        print(
            f"HINT: programs write with an older key: start them with keys of which the first is "
            f"{rotation.ring.active!r}, then run it again",
            file=sys.stderr,
        )


class _Column(NamedTuple):
    """A column to rotate."""

    column: str
    bound: tuple[str, ...]
    """The columns that its values are bound to."""
    form: str | None = None
    scope: tuple[str, ...] = ()
    """The form of its search digests, and the columns that they are bound to."""


def _columns(connection: Any, column: str | None, keys: str | None) -> list[_Column]:
    """Return the columns to rotate."""
    if column is not None and column.count(".") != 2:
        raise PlainsqlError(f"expected schema.table.column, got {column!r}")
    if keys is not None:
        if column is None:
            raise PlainsqlError("--keys needs the column that they are for")
        return [_Column(column, tuple(key.strip() for key in keys.split(",")))]
    found = list(statements.load(Path(os.path.relpath(Project.load().sql_folder))).values())
    declared = _declared(found)
    if column is not None and column not in declared:
        raise PlainsqlError(
            f"no header calls {column} encrypted",
            hint=f"they do {', '.join(declared)}"
            if declared
            else "give --keys, the columns that its values are bound to",
        )
    wanted = [column] if column is not None else sorted(declared)
    if not wanted:
        raise PlainsqlError("no header of the SQL folder calls a column encrypted")
    searches = _searches(found)
    columns: list[_Column] = []
    for each in wanted:
        form, scope = searches.get(each, (None, ()))
        columns.append(_Column(each, _one(each, declared[each], _names(connection, each)), form, scope))
    return columns


def _declared(found: Iterable[Statement]) -> dict[str, set[tuple[str, ...]]]:
    declared: dict[str, set[tuple[str, ...]]] = {}
    for statement in found:
        for encryption in statement.encryptions:
            if not encryption.is_search:
                declared.setdefault(encryption.column, set()).add(encryption.bound)
    return declared


def _searches(found: Iterable[Statement]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the form and the scope of the digests of each searchable column.

    Raises ``EncryptionError`` if two headers do not agree.
    """
    searches: dict[str, tuple[str, tuple[str, ...]]] = {}
    for statement in found:
        for each in statement.encryptions:
            if each.form and searches.setdefault(each.column, (each.form, each.scope)) != (
                each.form,
                each.scope,
            ):
                raise EncryptionError(
                    f"the headers do not agree how {each.column} is searched: {each.place} says {each.words}",
                    hint="write the same in all of them: plainsql check shows the others",
                )
    return searches


def _one(column: str, declared: set[tuple[str, ...]], names: set[str]) -> tuple[str, ...]:
    """Return the keys from the headers that are columns of the table.

    Raises ``EncryptionError`` if there is not exactly one such list.
    """
    fitting = [keys for keys in declared if names.issuperset(keys)]
    if len(fitting) != 1:
        raise EncryptionError(
            f"the headers do not say which columns {column} is bound to",
            hint="give --keys, such as --keys tenant_id,id",
        )
    return fitting[0]


def _names(connection: Any, column: str) -> set[str]:
    schema, table, _ = column.split(".")
    rows = connection.execute(
        "select attname::text from pg_catalog.pg_attribute as a"
        " inner join pg_catalog.pg_class as c on a.attrelid = c.oid"
        " inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid"
        " where n.nspname = %s and c.relname = %s",
        [schema, table],
    ).fetchall()
    if not rows:
        raise EncryptionError(
            f"there is no table {schema}.{table}", hint="apply the migrations: plainsql migrate"
        )
    return {name for (name,) in rows}


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise PlainsqlError("--set: expected name=value", hint="--set app.jwt_tenant=…")
    return name, value


class _Scoped:
    """A connection with settings that are made in the transaction of each statement, and end with it.

    Behind a pooler the session is another client's a moment later.
    """

    def __init__(self, connection: psycopg.Connection[Any], settings: Sequence[tuple[str, str]]) -> None:
        self._connection = connection
        self._settings = settings

    def execute(self, query: Any, params: Any = None, /) -> Any:
        if not self._settings:
            return self._connection.execute(query, params)
        with self._connection.transaction():
            for name, value in self._settings:
                self._connection.execute("select set_config(%s, %s, true)", [name, value])
            return self._connection.execute(query, params)


def _connected(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=10,
            application_name="plainsql crypto rotate",
        )
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        yield progress
