"""A bot of reminders, whose queries were files of aiosql.

`plainsql import aiosql aiosql` wrote sql/ from the files in aiosql/; `plainsql generate` wrote queries/.

plainsql migrate && python bot.py        on DATABASE_URL; chat 1 is the terminal: /in 5 tea, /list, /forget 1
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from queries import reminders

import plainsql

Send = Callable[[int, str], Awaitable[None]]


async def answer(db: plainsql.AsyncExecutor, chat_id: int, line: str, now: datetime) -> str:
    """The answer to a message of a chat."""
    match line.split(maxsplit=2):
        case ["/in", minutes, text] if minutes.isdecimal():
            due_at = now + timedelta(minutes=int(minutes))
            number = await reminders.add_reminder(db, chat_id=chat_id, text=text, due_at=due_at)
            return f"{number}: {text}"
        case ["/list"]:
            rows = await reminders.get_reminders(db, chat_id=chat_id)
            return "\n".join(f"{row.id}: {row.text} at {row.due_at:%H:%M}" for row in rows) or "nothing"
        case ["/forget", number] if number.isdecimal():
            forgotten = await reminders.forget_reminder(db, chat_id=chat_id, id=int(number))
            return "forgotten" if forgotten else "there is none"
    return "/in MINUTES TEXT, /list, /forget NUMBER"


async def remind(db: plainsql.Database, send: Send, now: datetime) -> int:
    """Send what is due, each in a transaction of its own: one that is not sent stays."""
    sent = 0
    while True:
        async with db.transaction() as tx:
            due = await reminders.take_due(tx, now=now)
            if due is None:
                return sent
            await send(due.chat_id, due.text)
        sent += 1


async def show(chat_id: int, text: str) -> None:
    print(f"[{chat_id}] {text}")


async def remind_forever(db: plainsql.Database) -> None:
    while True:
        await remind(db, show, datetime.now(UTC))
        await asyncio.sleep(5)


async def main() -> None:
    async with plainsql.connect() as db:
        task = asyncio.create_task(remind_forever(db))
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await answer(db, 1, line.strip(), datetime.now(UTC)))
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
