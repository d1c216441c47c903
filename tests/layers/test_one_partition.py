"""The layers with tenants on tables that are partitioned by the tenant: each query scans one partition.

The proof is the planner's, and is compared with that of ``plainsql check --distributed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor

from plainsql import migrate, statements
from plainsql.analysis import Analyser
from plainsql.analysis.representative_variants import representative_variants
from plainsql.layers.files import sql_folder

MIGRATIONS = Path(__file__).parents[2] / "migrations"
PARTITIONS = 3
TENANTS = {"whatsapp": "'00000000-0000-4000-8000-000000000007'::uuid", "assistant": "'seven'::text"}
EVERY_TENANT = {"whatsapp.cleanup.tenants", "assistant.cleanup.tenants"}

_TABLE = re.compile(
    r"^create table (\w+\.\w+) \(\n(.*?)\n\)( with \(fillfactor = \d+\))?;", re.MULTILINE | re.DOTALL
)


def partitioned(source: Path, folder: Path) -> None:
    """Copy migrations, with each table partitioned by its tenant."""

    def table(found: re.Match[str]) -> str:
        name, columns = found[1], found[2]
        parts = "".join(
            f"\ncreate table {name}_part_{number} partition of {name}"
            f" for values with (modulus {PARTITIONS}, remainder {number});"
            for number in range(PARTITIONS)
        )
        return f"create table {name} (\n{columns}\n) partition by hash (tenant_id);{parts}"

    folder.mkdir(parents=True)
    for file in source.glob("*.sql"):
        text = file.read_text("utf-8")
        # A partitioned table refuses to build its index concurrently.
        text = text.replace("create index concurrently", "create index")
        (folder / file.name).write_text(_TABLE.sub(table, text), "utf-8")


def planned(plan: dict[str, Any]) -> Iterator[str]:
    """Yield the partitions that a plan scans."""
    found = re.fullmatch(r"\w+_part_(\d)", plan.get("Relation Name", ""))
    if found is not None:
        yield found[1]
    for part in plan.get("Plans", ()):
        yield from planned(part)


@pytest.mark.parametrize("layer", TENANTS)
def test_each_query_of_a_tenant_scans_one_partition(
    layer: str, fresh_database_url: str, tmp_path: Path
) -> None:
    partitioned(MIGRATIONS / layer, tmp_path / layer)
    migrate.apply(fresh_database_url, tmp_path, layers=[layer])
    pruned, spread = 0, set[str]()
    with psycopg.connect(fresh_database_url, autocommit=True) as connection, Analyser(connection) as analyser:
        for statement in statements.load(sql_folder(layer).parent).values():
            if not statement.name.startswith(f"{layer}."):
                continue
            for variant in representative_variants(
                statement.compiled, statement.variants(), independent=not statement.encryptions
            ):
                found = analyser.distribution(variant.sql, variant.parameters, column="tenant_id")
                # As a constant, so that the plan itself shows what is scanned.
                sql = variant.sql.replace(f"(select {layer}.current_tenant())", TENANTS[layer])
                explain = f"explain (generic_plan, format json) {sql}".encode()
                row = RawCursor(connection).execute(explain).fetchone()
                assert row is not None
                partitions = {*planned(row[0][0]["Plan"])}
                if found.kind == "tenant":
                    assert len(partitions) <= 1, statement.name
                    pruned += len(partitions)
                else:
                    assert len(partitions) == PARTITIONS, statement.name
                    spread.add(statement.name)
    assert spread == EVERY_TENANT & {f"{layer}.cleanup.tenants"}
    assert pruned > 100
