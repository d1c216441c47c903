"""A lead writes to a real-estate assistant in Lima, and ends up with an appointment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from plainsql.cli.story import Story
from plainsql.database import Database
from plainsql.layers.realty import appointments, conversations, leads, messages, properties
from plainsql.layers.realty.sample import Table, tables
from plainsql.vector.hashing import embed

__all__ = ["LAST_BEFORE_LOADING", "ZONE", "load", "play", "sample"]

LAST_BEFORE_LOADING: Final = "0007"
"""Indexes over vectors are built many times faster over rows that are there than row by row."""
ZONE: Final = timezone(timedelta(hours=-5), "Lima")

_ROWS_AT_ONCE: Final = 250
_QUESTION: Final = "departamento con vista al parque, dos dormitorios, cochera"
_ANSWER: Final = "Tengo cinco departamentos así; el más cercano a lo que describes da al parque"
_SAID: Final = (
    ("human", "Hola, busco casa para mudarme en marzo"),
    ("ai-assistant", "¡Hola, Lucía! ¿En qué distrito, y hasta qué precio?"),
    ("human", f"En Miraflores, hasta 300 000 dólares: {_QUESTION}"),
)


def sample() -> tuple[Table, ...]:
    """Make the sample data: a few seconds of work for one core."""
    return tables(now=datetime.now(UTC).replace(microsecond=0))


async def load(db: Database, filled: tuple[Table, ...], advance: Callable[[int], object]) -> None:
    """Copy the sample data into the empty tables; ``advance`` is told how many rows more are there."""
    async with db.acquire() as connection:
        for table in filled:
            for start in range(0, len(table.rows), _ROWS_AT_ONCE):
                rows = table.rows[start : start + _ROWS_AT_ONCE]
                await connection.copy_records_to_table(
                    table.name, schema_name=table.schema, records=rows, columns=table.columns
                )
                advance(len(rows))


async def play(story: Story) -> None:
    """Run what an assistant runs for one lead."""
    lead = await story.tell(
        "A stranger writes: find the lead, or enter it",
        "id name telegram_chat_id=chat created_at=since",
        leads.get_or_create_from_telegram,
        telegram_chat_id="5114440001",
        name="Lucía Quispe",
    )
    again = await story.tell(
        "The same chat a second later: the same lead",
        "id name telegram_chat_id=chat created_at=since",
        leads.get_by_telegram_chat_id,
        telegram_chat_id="5114440001",
    )
    story.expect(again == lead, "the lead was entered twice")
    talk = await story.tell(
        "Begin a conversation",
        "id lead_id=lead is_answered_by_lead last_message_at",
        conversations.create,
        lead_id=lead.id,
    )
    async with story.step("Keep what was said", "type content") as step:
        for type, content in _SAID:
            await step.run(
                messages.append,
                conversation_id=talk.id,
                type="human" if type == "human" else "ai-assistant",
                content=content,
            )
    recent = await story.tell(
        "What the model is given as context: the last messages, oldest first",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    story.expect([message.content for message in recent] == [content for _, content in _SAID], "history")
    warm = await story.tell(
        "The same once more: 'cache: 5m' in its header, PostgreSQL is not asked",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    story.expect(warm == recent, "the cache has something else")
    answer = await story.tell(
        "The assistant answers: what is stored of this conversation ends, and of no other",
        "created_at=at type content",
        messages.append,
        conversation_id=talk.id,
        type="ai-assistant",
        content=_ANSWER,
    )
    seen = await story.tell(
        "The very next read sees it",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    story.expect(seen == [*recent, answer], "the answer is not seen")

    meaning = embed(_QUESTION)
    nearest = await story.tell(
        "Search by meaning, with the lead's conditions as filters",
        "distance pricing=price view_type=view title=home",
        properties.search,
        embedding=meaning,
        district="Miraflores",
        max_pricing=300_000,
        min_bedrooms=2,
        includes_parking=True,
        limit=5,
    )
    story.expect(len(nearest) == 5, "nothing was found")
    best = await story.tell(
        "The same by meaning and by words together",
        "score pricing=price view_type=view title=home",
        properties.search_hybrid,
        embedding=meaning,
        words='"vista al parque" cochera',
        district="Miraflores",
        max_pricing=300_000,
        min_bedrooms=2,
        includes_parking=True,
        limit=5,
    )
    story.expect(bool(best), "nothing was found")
    home = best[0]
    await story.tell(
        "Note what the talk is about",
        "id most_recent_project_id=project last_message_at",
        conversations.touch,
        id=talk.id,
        most_recent_project_id=home.project_id,
    )

    # Eleven in Lima, on the first day for which the sample has visits as well.
    tomorrow = datetime.now(UTC).replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=1)
    booked = await story.tell(
        "Book a visit",
        "id scheduled_for notes",
        appointments.book,
        lead_id=lead.id,
        conversation_id=talk.id,
        project_id=home.project_id,
        property_id=home.id,
        scheduled_for=tomorrow,
        notes="Prefiere pisos altos",
    )
    await story.refused(
        "A second visit at the same time is refused",
        appointments.book,
        lead_id=lead.id,
        conversation_id=talk.id,
        project_id=home.project_id,
        property_id=nearest[-1].id,
        scheduled_for=tomorrow,
    )
    upcoming = await story.tell(
        "The visits that the lead has before them",
        "id scheduled_for project_id=project property_id=home",
        appointments.upcoming_for_lead,
        lead_id=lead.id,
    )
    story.expect(upcoming == [booked], "the visit is not there, or twice")
    agenda = await story.tell(
        "The agency's agenda of that day",
        "scheduled_for=at lead_name=lead lead_phone=phone property_title=home",
        appointments.agenda_of_day,
        day=tomorrow.astimezone(ZONE).date(),
        time_zone="America/Lima",
        limit=8,
    )
    story.expect(any(entry.id == booked.id for entry in agenda), "the visit is not on the agenda")
