"""Import rows by COPY, and export them as JSON lines in constant memory.

python examples/import_and_export.py        on DATABASE_URL, or else the embedded server

Prints the first line, and the number of lines.
"""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime

import msgspec

import plainsql
from plainsql import migrate
from plainsql.layers.files import migrations_folder
from plainsql.layers.realty import conversations, leads, messages
from plainsql.settings import resolve_database

MESSAGES = 10_000


async def fill(db: plainsql.Database) -> None:
    """Insert a lead with many messages."""
    lead = await leads.create(db, name="Ana")
    talk = await conversations.create(db, lead_id=lead.id)
    said = ((talk.id, "human", f"message {number}") for number in range(MESSAGES))
    await db.copy_in("realty.messages", said, columns=["conversation_id", "type", "content"])


async def export(db: plainsql.Database, since: datetime, file: io.TextIOBase) -> int:
    """Write the messages since a time, one JSON object a line; return their number."""
    encoder, count = msgspec.json.Encoder(), 0
    async for message in messages.export.stream(db, since=since):
        file.write(encoder.encode(message).decode() + "\n")
        count += 1
    return count


async def main(url: str) -> None:
    async with plainsql.connect(url) as db:
        since = datetime.now(UTC)
        await fill(db)
        file = io.StringIO()
        count = await export(db, since, file)
        first = msgspec.json.decode(file.getvalue().partition("\n")[0])
        print(first["type"], first["content"], count)


if __name__ == "__main__":
    with resolve_database() as database:
        migrate.apply(database, migrations_folder("realty").parent, layers=["realty"])
        asyncio.run(main(database))
