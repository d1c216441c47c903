"""``plainsql db sample``: sample data of a layer that comes with plainsql, into its empty tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import psycopg
from cyclopts import Parameter
from psycopg import sql

from plainsql.cli.db.common import COMMON, Common, Session, connected, print_json
from plainsql.cli.db.doctor import execute_step
from plainsql.cli.db.layer_selection import known_layers
from plainsql.cli.db.progress import Bars, bars
from plainsql.cli.exit_codes import FINE
from plainsql.cli.number_range import NumberRange
from plainsql.errors import SettingsError
from plainsql.health.migration_checks import migration_checks
from plainsql.health.steps import run_steps
from plainsql.layer_folders import Layer
from plainsql.layers.sample_data import SAMPLES, SampleTable, sample_tables
from plainsql.sync import Transaction

if TYPE_CHECKING:
    from plainsql.layers.sample_data import Sample

__all__ = ["sample"]

_ROWS: Final = NumberRange("rows", 1, 200_000, "10000")
_BATCH: Final = 500
"""Rows that are sent before the bar moves on."""
_IDENTITIES: Final = """
select a.attname from pg_attribute as a
where a.attrelid = %s::regclass and a.attidentity <> '' and not a.attisdropped
"""


def sample(
    layer: str,
    /,
    *,
    rows: Annotated[int, Parameter(validator=_ROWS)] = 1000,
    seed: int = 1536,
    tenant: str | None = None,
    common: Common = COMMON,
) -> int:
    """Fill the empty tables of a layer with sample data.

    It is one transaction. The database needs the layer's migrations, and no rows in its tables; in a layer
    with tenants, no rows of the tenant. The same seed gives the same rows on the same day: times are before
    and after its beginning. Connect as the owner of the tables.

    The layers are assistant, marketplace, realty and whatsapp. Whatsapp encrypts a token, and needs the keys
    in PLAINSQL_ENCRYPTION_KEYS.

    Exits with 0 if the rows are there, 2 if it could not run.

    Parameters
    ----------
    layer
        The layer.
    rows
        The number of rows of the layer's largest table: messages, or properties of realty, 20,000 at most.
    seed
        Another seed gives other data of the same kind.
    tenant
        The tenant of the rows, in a layer with tenants.
    """
    (known,) = known_layers([layer])
    source = SAMPLES.get(layer)
    if source is None:
        raise SettingsError(
            f"there is no sample data for the layer {layer!r}",
            hint=f"there is for {', '.join(SAMPLES)}; plainsql.factories makes rows for any table",
        )
    if rows > source.max_rows:
        raise SettingsError(
            f"--rows: expected at most {source.max_rows:,} {source.rows_of} for {layer}, got {rows:,}",
            hint="the rows are held in memory until they are sent",
        )
    tenant = _tenant(layer, source, tenant)
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with connected(common.database, search_path=None) as session:
        _require_migrations(known, common.database)
        tables = sample_tables(layer, now=now, rows=rows, seed=seed)
        with _transaction(session, tenant) as tx, bars() as shown:
            _require_empty(tx, tables, tenant)
            if layer == "whatsapp":
                _open_channel(tx, UUID(tenant or ""))
            for table in tables:
                _fill(tx.connection, table, shown)
    counts = {f"{table.schema}.{table.name}": len(table.rows) for table in tables}
    if common.json:
        print_json({"layer": layer, "tenant": tenant, "seed": seed, "rows": counts})
    else:
        of_tenant = f" of the tenant {tenant}" if tenant else ""
        print(f"{sum(counts.values()):,} rows{of_tenant} in {len(counts)} tables of {layer}")
    return FINE


def _tenant(layer: str, source: Sample, tenant: str | None) -> str | None:
    if source.tenant is None:
        if tenant is not None:
            raise SettingsError(f"--tenant: {layer} has no tenants", hint="leave it out")
        return None
    if tenant is None:
        return source.tenant
    if layer == "whatsapp":
        try:
            return str(UUID(tenant))
        except ValueError:
            raise SettingsError(
                f"--tenant: expected a UUID, got {tenant!r}", hint=f"for example {source.tenant}"
            ) from None
    if not 0 < len(tenant) <= 50:
        raise SettingsError(
            f"--tenant: expected 1 to 50 characters, got {len(tenant)}", hint=f"for example {source.tenant}"
        )
    return tenant


def _require_migrations(layer: Layer, database: str | None) -> None:
    # The records of migrations are found by the server's own search_path.
    with connected(database) as session:
        for check in run_steps(migration_checks([layer]), partial(execute_step, session.connection)):
            if check.state != "ok":
                raise SettingsError(
                    f"the migrations of {layer.name} are not all applied: {check.text}", hint=check.hint
                )


def _transaction(session: Session, tenant: str | None) -> AbstractContextManager[Transaction]:
    return session.db.transaction() if tenant is None else session.db.tenant(tenant).transaction()


def _require_empty(tx: Transaction, tables: Sequence[SampleTable], tenant: str | None) -> None:
    # A superuser sees the rows of every tenant.
    of_tenant = sql.SQL("" if tenant is None else "where tenant_id = {}").format(tenant)
    for table in tables:
        place = sql.Identifier(table.schema, table.name)
        query = sql.SQL("select exists (select from {} {})").format(place, of_tenant)
        if tx.connection.execute(query).fetchone() == (True,):
            raise SettingsError(
                f"{table.schema}.{table.name} has rows: sample data are for empty tables",
                hint="take another database, or in a layer with tenants another --tenant",
            )


def _open_channel(tx: Transaction, tenant: UUID) -> None:
    from plainsql.layers.whatsapp import channels
    from plainsql.layers.whatsapp.sample_business import CHANNEL_ID

    channels.create(
        tx,
        tenant_id=tenant,
        id=CHANNEL_ID,
        organization_id=CHANNEL_ID,
        phone_number_id="106540352242922",
        business_account_id="102290129340398",
        display_phone_number="+51 1 555 0100",
        display_name="Tienda Lima",
        access_token="sample token",
    )
    channels.verify(tx, id=CHANNEL_ID)


def _fill(connection: psycopg.Connection[Any], table: SampleTable, shown: Bars) -> None:
    name = f"{table.schema}.{table.name}"
    place = sql.Identifier(table.schema, table.name)
    insert = sql.SQL("insert into {} ({}) overriding system value values ({})").format(
        place,
        sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        sql.SQL(", ").join([sql.Placeholder()] * len(table.columns)),
    )
    shown(name, 0, len(table.rows))
    with connection.cursor() as cursor:
        for start in range(0, len(table.rows), _BATCH):
            batch = table.rows[start : start + _BATCH]
            cursor.executemany(insert, [tuple(map(_value, row)) for row in batch])
            shown(name, start + len(batch), len(table.rows))
        for (column,) in cursor.execute(_IDENTITIES, [name]).fetchall():
            # The ids that were given, and those that the sequence has given before.
            cursor.execute(
                sql.SQL(
                    "select setval(s.name::regclass, greatest(q.last_value, %s)) "
                    "from pg_get_serial_sequence(%s, %s) as s (name) "
                    "cross join lateral pg_sequence_last_value(s.name::regclass) as q (last_value)"
                ),
                [max(len(table.rows), 1), name, column],
            )
        cursor.execute(sql.SQL("analyze {}").format(place))


def _value(value: object) -> object:
    """Return a value as psycopg sends it: the numbers of an embedding as pgvector's text."""
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"[{','.join(map(repr, value))}]"
    return value
