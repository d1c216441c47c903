"""The realty demo: a lead writes to a real-estate assistant in Lima, and books an appointment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from rich.console import Console

import plainsql
from plainsql.cli.demos.demo import Demo, SampleData
from plainsql.cli.demos.presenter import Presenter
from plainsql.database import Database
from plainsql.layers.files import migrations_folder
from plainsql.layers.realty import appointments, conversations, leads, messages, properties
from plainsql.layers.realty.sample import Table, tables
from plainsql.vector.hashing import embed

__all__ = ["demo"]

_LOAD_AFTER: Final = "0007"
"""Building an index of vectors over existing rows is many times faster than inserting row by row."""
_ZONE: Final = timezone(timedelta(hours=-5), "Lima")

_ROWS_AT_ONCE: Final = 250
_QUESTION: Final = "departamento con vista al parque, dos dormitorios, cochera"
_ANSWER: Final = "Tengo cinco departamentos así; el más cercano a lo que describes da al parque"
_SAID: Final = (
    ("human", "Hola, busco casa para mudarme en marzo"),
    ("ai-assistant", "¡Hola, Lucía! ¿En qué distrito, y hasta qué precio?"),
    ("human", f"En Miraflores, hasta 300 000 dólares: {_QUESTION}"),
)


def _generate() -> tuple[Table, ...]:
    """Return the sample data: a few seconds of work for one core."""
    return tables(now=datetime.now(UTC).replace(microsecond=0))


async def _load(db: Database, data: tuple[Table, ...], advance: Callable[[int], object]) -> None:
    """Copy the sample data into the empty tables; call ``advance`` with the rows of each batch."""
    async with db.acquire() as connection:
        for table in data:
            for start in range(0, len(table.rows), _ROWS_AT_ONCE):
                rows = table.rows[start : start + _ROWS_AT_ONCE]
                await connection.copy_records_to_table(
                    table.name, schema_name=table.schema, records=rows, columns=table.columns
                )
                advance(len(rows))


async def play(url: str, console: Console) -> int:
    """Run the queries of an assistant for one lead, and return their number."""
    async with plainsql.connect(url) as db:
        presenter = Presenter(db, console, _ZONE)
        await _serve(presenter)
        return presenter.queries


async def _serve(presenter: Presenter) -> None:
    lead = await presenter.show(
        "An unknown chat writes: find the lead, or create one",
        "id name telegram_chat_id=chat created_at=since",
        leads.get_or_create_from_telegram,
        telegram_chat_id="5114440001",
        name="Lucía Quispe",
    )
    again = await presenter.show(
        "The same chat a second later: the same lead",
        "id name telegram_chat_id=chat created_at=since",
        leads.get_by_telegram_chat_id,
        telegram_chat_id="5114440001",
    )
    presenter.expect(again == lead, "the lead was entered twice")
    talk = await presenter.show(
        "Begin a conversation",
        "id lead_id=lead is_answered_by_lead last_message_at",
        conversations.create,
        lead_id=lead.id,
    )
    async with presenter.step("Keep what was said", "type content") as step:
        for type, content in _SAID:
            await step.run(
                messages.append,
                conversation_id=talk.id,
                type="human" if type == "human" else "ai-assistant",
                content=content,
            )
    recent = await presenter.show(
        "The context for the model: the last messages, oldest first",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    presenter.expect([message.content for message in recent] == [content for _, content in _SAID], "history")
    warm = await presenter.show(
        "The same again: 'cache: 5m' in its header, so PostgreSQL is not queried",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    presenter.expect(warm == recent, "the cache has something else")
    answer = await presenter.show(
        "The assistant answers: this invalidates the results of this conversation, and of no other",
        "created_at=at type content",
        messages.append,
        conversation_id=talk.id,
        type="ai-assistant",
        content=_ANSWER,
    )
    seen = await presenter.show(
        "The very next read sees it",
        "created_at=at type content",
        messages.recent,
        conversation_id=talk.id,
        limit=5,
    )
    presenter.expect(seen == [*recent, answer], "the answer is not seen")

    meaning = embed(_QUESTION)
    nearest = await presenter.show(
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
    presenter.expect(len(nearest) == 5, "nothing was found")
    best = await presenter.show(
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
    presenter.expect(bool(best), "nothing was found")
    home = best[0]
    await presenter.show(
        "Record the topic of the conversation",
        "id most_recent_project_id=project last_message_at",
        conversations.touch,
        id=talk.id,
        most_recent_project_id=home.project_id,
    )

    # Eleven in Lima, on the first day for which the sample has visits as well.
    tomorrow = datetime.now(UTC).replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=1)
    booked = await presenter.show(
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
    await presenter.show_refusal(
        "A second visit at the same time is refused",
        appointments.book,
        lead_id=lead.id,
        conversation_id=talk.id,
        project_id=home.project_id,
        property_id=nearest[-1].id,
        scheduled_for=tomorrow,
    )
    upcoming = await presenter.show(
        "The lead's upcoming visits",
        "id scheduled_for project_id=project property_id=home",
        appointments.upcoming_for_lead,
        lead_id=lead.id,
    )
    presenter.expect(upcoming == [booked], "the visit is not there, or twice")
    agenda = await presenter.show(
        "The agency's agenda of that day",
        "scheduled_for=at lead_name=lead lead_phone=phone property_title=home",
        appointments.agenda_of_day,
        day=tomorrow.astimezone(_ZONE).date(),
        time_zone="America/Lima",
        limit=8,
    )
    presenter.expect(any(entry.id == booked.id for entry in agenda), "the visit is not on the agenda")


def _count(data: tuple[Table, ...]) -> int:
    return sum(len(table.rows) for table in data)


demo: Final = Demo(
    play=play,
    migrations=migrations_folder("realty").parent,
    layer="realty",
    sample=SampleData(generate=_generate, count_rows=_count, load=_load, load_after=_LOAD_AFTER),
)
