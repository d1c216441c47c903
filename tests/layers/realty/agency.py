"""The rows that tests need, and other things that tests read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg

import plainsql
from plainsql.layers.realty import conversations, leads, projects, properties, sample, typologies


@dataclass(frozen=True)
class Agency:
    """One row of everything, and functions that create more."""

    db: plainsql.Database
    lead: leads.Lead
    conversation: conversations.Conversation
    project: projects.Project
    typology: typologies.Typology
    home: properties.Property

    async def home_with(self, **values: Any) -> properties.Property:
        """Create another home, by default in this project and of this typology."""
        return await properties.create(
            self.db,
            **{
                "project_id": self.project.id,
                "typology_id": self.typology.id,
                "title": "Departamento",
                "type": "departamento",
                "description": "Un departamento",
                "pricing": 100_000,
                **values,
            },
        )


async def open_agency(db: plainsql.Database) -> Agency:
    lead = await leads.create(db, name="Ana", telegram_chat_id=uuid.uuid4().hex)
    project = await projects.create(db, name="Altamar", description="Un proyecto", district="Barranco")
    typology = await typologies.create(db, name="Flat B1", type="flat", num_bedrooms=2, num_bathrooms=1)
    return Agency(
        db,
        lead,
        await conversations.create(db, lead_id=lead.id),
        project,
        typology,
        await properties.create(
            db,
            project_id=project.id,
            typology_id=typology.id,
            title="Departamento",
            type="departamento",
            description="Un departamento",
            pricing=100_000,
        ),
    )


async def pages(query: Any, db: Any, *cursor: str, **given: Any) -> AsyncIterator[Any]:
    """Every row of a list that is paged by ``cursor``, read three at a time."""
    after: dict[str, Any] = {}
    while page := await query(db, limit=3, **given, **after):
        for row in page:
            yield row
        after = {f"after_{name}": getattr(page[-1], name) for name in cursor}


async def execute(db: plainsql.Database, sql: str, *args: Any) -> None:
    """Run SQL as the owner of the tables."""
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("set local role none")
        await connection.execute(sql, *args)


async def explain(tx: plainsql.Transaction, query: Any, **given: Any) -> str:
    plan, args = query.compiled.text(query.compiled.bind((), given))
    rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
    return "\n".join(row[0] for row in rows)


async def blocked(db: plainsql.Database) -> None:
    """Wait until a session of this database waits for the transaction of another session."""
    async with db.acquire() as connection:
        while not await connection.fetchval(
            "select exists (select from pg_locks as l inner join pg_stat_activity as a using (pid)"
            " where not l.granted and l.locktype = 'transactionid' and a.datname = current_database())"
        ):
            pass


def load(url: str, tables: tuple[sample.Table, ...]) -> None:
    """Copy sample data into a database."""
    with psycopg.connect(url) as connection:
        for table in tables:
            columns = ", ".join(table.columns)
            copy = f"copy {table.schema}.{table.name} ({columns}) from stdin".encode()
            with connection.cursor().copy(copy) as writer:
                for row in table.rows:
                    writer.write_row([str(value) if isinstance(value, list) else value for value in row])
