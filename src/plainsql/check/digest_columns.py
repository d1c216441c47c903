"""The columns that hold the digests of searchable values, compared with the queries that search them.

A column of digests is generated from the encrypted one, so that no write can set one without the other::

    email_digest bytea generated always as (substring(email from 5 for 32)) stored
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from plainsql.analysis.model import Analysis, Finding
from plainsql.codegen.modules import Checked
from plainsql.errors import ContractError
from plainsql.statements import Encryption, Statement

__all__ = [
    "digest_columns",
    "encrypted_columns",
    "encrypted_comparisons",
    "wrong_searches",
]

_GENERATED: Final = """
select n.nspname::text, c.relname::text, a.attname::text, s.attname::text, pg_get_expr(d.adbin, d.adrelid)
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
inner join pg_catalog.pg_attribute as s on s.attrelid = c.oid and s.attnum > 0 and not s.attisdropped
where a.attgenerated <> '' and not a.attisdropped
  and a.atttypid = 'bytea'::regtype and s.atttypid = 'bytea'::regtype
"""
_DIGEST: Final = re.compile(
    r"(?:\"substring\"|substr)\((?P<a>.+), 5, 32\)|SUBSTRING\((?P<b>.+) FROM 5 FOR 32\)", re.DOTALL
)


def digest_columns(connection: Any, statements: Iterable[Statement]) -> dict[str, str]:
    """Return the encrypted column below each column of digests, as ``schema.table.column`` both.

    The catalog is not read if no statement searches digests.
    """
    if not any(each.is_search for statement in statements for each in statement.encryptions):
        return {}
    found: dict[str, str] = {}
    for schema, table, column, source, expression in connection.execute(_GENERATED).fetchall():
        digest = _DIGEST.fullmatch(expression)
        if digest and (digest["a"] or digest["b"]) in (source, '"' + source.replace('"', '""') + '"'):
            found[f"{schema}.{table}.{column}"] = f"{schema}.{table}.{source}"
    return found


def wrong_searches(checked: Iterable[Checked], digests: Mapping[str, str]) -> Iterator[ContractError]:
    """Yield an error for each searched parameter that is compared with anything but its column's digests."""
    for item in checked:
        errors = (
            error
            for encryption, name in _searched(item.statement)
            for analysis in item.variants
            if (error := _wrong(item.statement, encryption, name, analysis, digests)) is not None
        )
        yield from list(errors)[:1]


def _searched(statement: Statement) -> Iterator[tuple[Encryption, str]]:
    for parameter in statement.parameters:
        if parameter.encryption is not None and parameter.encryption.is_search:
            yield parameter.encryption, parameter.name


def _wrong(
    statement: Statement, encryption: Encryption, name: str, analysis: Analysis, digests: Mapping[str, str]
) -> ContractError | None:
    fact = next((each for each in analysis.parameters if each.name == name), None)
    if fact is None:
        return None
    for origin in fact.origins:
        columns = [str(column) for column in origin.columns]
        if columns and not any(digests.get(column) == encryption.column for column in columns):
            table, _, column = encryption.column.rpartition(".")
            return ContractError(
                f"{statement.name}: :{name} is compared with {columns[0]}, which does not hold the digests "
                f"of {encryption.column}",
                place=encryption.place,
                hint=f"compare it with a column that does, and create that in a migration: "
                f"alter table {table} add column {column}_digest bytea "
                f"generated always as (substring({column} from 5 for 32)) stored",
            )
    return None


def encrypted_columns(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the columns that headers call encrypted, as ``schema.table.column``."""
    return frozenset(
        each.column for statement in statements for each in statement.encryptions if not each.is_search
    )


def encrypted_comparisons(
    statement: Statement, analysis: Analysis, encrypted: Collection[str]
) -> Iterator[Finding]:
    """Yield a finding for each parameter that is compared with an encrypted column as it is given."""
    plain = {parameter.name for parameter in statement.parameters if parameter.encryption is None}
    for fact in analysis.parameters if encrypted else ():
        if fact.name not in plain or not fact.compared:
            continue
        columns = {
            str(column)
            for origin in fact.origins
            for column in origin.columns
            if column not in fact.written_to
        }
        for column in sorted(columns.intersection(encrypted)):
            yield Finding(
                "encrypted-comparison",
                f":{fact.name} is compared with {column}, whose values are encrypted: no text equals one",
                hint=f"search its digests: param {fact.name}: digest of {column}, "
                f"compared as {column.rpartition('.')[2]}_digest = any(:{fact.name})",
            )
