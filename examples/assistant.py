"""One turn of a real-estate assistant: a question in Spanish, the homes nearest in meaning, an appointment.

python examples/assistant.py        on DATABASE_URL, or else the embedded server; applies the migrations
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import plainsql
from plainsql import migrate
from plainsql.layers.files import migrations_folder
from plainsql.layers.realty import (
    appointments,
    conversations,
    leads,
    messages,
    projects,
    properties,
    typologies,
)
from plainsql.settings import resolve_database
from plainsql.vector.hashing import embed  # compares words, not meaning: replace it by a model

HOMES = (
    ("Departamento con vista al parque", "Dos dormitorios, cochera y balcón frente al parque", 240_000),
    ("Dúplex con terraza", "Tres dormitorios, terraza propia y parrilla", 390_000),
    ("Departamento interior", "Un dormitorio, tranquilo, cerca del metro", 150_000),
)


async def open_for_sale(db: plainsql.Database) -> None:
    """Insert a project with its homes in one transaction."""
    async with db.transaction() as tx:
        project = await projects.create(
            tx,
            name="Alameda",
            description="Un edificio frente al parque",
            district="Miraflores",
            includes_parking=True,
        )
        plan = await typologies.create(
            tx, name="Tipo A", type="departamento", num_bedrooms=2, num_bathrooms=2
        )
        for title, description, pricing in HOMES:
            home = await properties.create(
                tx,
                project_id=project.id,
                typology_id=plan.id,
                title=title,
                type="departamento",
                description=description,
                pricing=pricing,
            )
            await properties.set_embedding(tx, id=home.id, embedding=embed(f"{title}. {description}"))


async def answer(db: plainsql.Database, chat: str, name: str, question: str) -> str:
    """Answer a message of a Telegram chat."""
    lead = await leads.get_or_create_from_telegram(db, telegram_chat_id=chat, name=name)
    talk = await conversations.get_active_for_lead(db, lead_id=lead.id)
    if talk is None:
        talk = await conversations.create(db, lead_id=lead.id)
    await messages.append(db, conversation_id=talk.id, type="human", content=question)
    found = await properties.search(db, embedding=embed(question), max_pricing=300_000, limit=1)
    if not found:
        reply = "No tenemos nada así por ahora."
    else:
        home = found[0]
        visit = await appointments.book(
            db,
            lead_id=lead.id,
            conversation_id=talk.id,
            project_id=home.project_id,
            property_id=home.id,
            scheduled_for=datetime.now(UTC) + timedelta(days=1),
        )
        reply = (
            f"{home.title}, {home.district}: {home.pricing:,}. Visita reservada: {visit.cancelled_at is None}"
        )
    await messages.append(db, conversation_id=talk.id, type="ai-assistant", content=reply)
    return reply


async def main(url: str) -> None:
    async with plainsql.connect(url) as db:
        if not await projects.count(db):
            await open_for_sale(db)
        # Each run has a chat of its own, because a lead can book a time only once.
        chat = f"example-{datetime.now(UTC).timestamp()}"
        print(await answer(db, chat, "Ana", "departamento con vista al parque, dos dormitorios"))


if __name__ == "__main__":
    with resolve_database() as database:
        migrate.apply(database, migrations_folder("realty").parent, layers=["realty"])
        asyncio.run(main(database))
