"""The marketplace demo: two buyers want one bicycle, one haggles, the other is too late; then the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

import plainsql
from plainsql.cli.demos.demo import Demo
from plainsql.cli.demos.presenter import Presenter
from plainsql.cli.marketplace.report_table import print_report
from plainsql.layers.files import migrations_folder
from plainsql.layers.marketplace import buyers, conversations, messages, products
from plainsql.layers.marketplace.daily_report import daily_report
from plainsql.layers.marketplace.limits import RateLimits
from plainsql.layers.marketplace.states import ConversationState, ConversationStates
from plainsql.settings import redis_url

__all__ = ["demo"]

ZONE: Final = "Europe/Madrid"

_NO_REDIS: Final = "unix:///dev/null"
"""A URL without a Redis, with which limits are counted in the process."""
_ON_SALE: Final = (
    ("Bicicleta de paseo, recién revisada", "bikes", 120, 52),
    ("Casco de ciclismo, talla M", "bikes", 25, 30),
    ("Rayuela, primera edición", "books", 90, 140),
    ("Lámpara de pie", "home", 35, 8),
)
_PRODUCT = "id title price status reserved_for_id=for sold_price=sold"


async def play(url: str, console: Console) -> int:
    """Play the demo on a database with the migrations, and return the number of queries.

    It uses Redis if one is configured. Without it, limits are counted in the process and the conversation's
    state is left out.

    Raises ``PlainsqlError`` if a step has another result than it should have.
    """
    async with plainsql.connect(url) as db:
        presenter = Presenter(db, console, ZoneInfo(ZONE))
        bicycle = await _put_up(presenter)
        marta, talk = await _ask(presenter, console, bicycle)
        await _haggle(presenter, console, talk)
        await _come_too_late(presenter, bicycle, marta)
        await _sell(presenter, bicycle, talk)
        await presenter.show(
            "Recompute the trust scores from kept and broken promises",
            "examined changed",
            buyers.recompute_trust_scores,
        )
        report = await daily_report(db, day=datetime.now(ZoneInfo(ZONE)).date(), time_zone=ZONE)
        presenter.expect(report.sales == 2, "the report does not count the sales")
        console.print()
        console.print(Text("    The day's report: plainsql marketplace report", style="bold"))
        console.print()
        print_report(console, report)
        return presenter.queries + 2


async def _put_up(presenter: Presenter) -> int:
    now = datetime.now(UTC).replace(microsecond=0)
    async with presenter.step("What the platform shows, as often as it is seen", _PRODUCT) as step:
        entered = [
            await step.run(
                products.upsert_by_wallapop_id,
                wallapop_id=f"w{number}",
                title=title,
                price=Decimal(price),
                category=category,
                listed_at=now - timedelta(hours=hours),
            )
            for number, (title, category, price, hours) in enumerate(_ON_SALE)
        ]
    await presenter.show(
        "One goes over the counter", _PRODUCT, products.sell, id=entered[3].id, price=Decimal(30)
    )
    return entered[0].id


async def _ask(presenter: Presenter, console: Console, bicycle: int) -> tuple[int, int]:
    marta = await presenter.show(
        "A stranger: found, or entered",
        "id username trust_score=trust is_verified=verified",
        buyers.create_or_update,
        wallapop_user_id="u-marta",
        username="marta",
        is_verified=True,
    )
    talk = await presenter.show(
        "Her chat about the bicycle",
        "id product_id=product buyer_id=buyer status message_count=messages",
        conversations.start,
        wallapop_chat_id="c-marta",
        product_id=bicycle,
        buyer_id=marta.id,
    )
    if talk is None:
        raise plainsql.PlainsqlError("the demonstration failed: no conversation was begun")
    async with RateLimits(redis_url() or _NO_REDIS, prefix="plainsql-demo:limits") as limits:
        asked = [await limits.is_rate_limited(f"marta/{talk.created_at}", 3, 60) for _ in range(5)]
    where = "Redis" if redis_url() else "this process"
    presenter.expect(asked == [False, False, False, True, True], "the limit did not hold")
    _say(
        console, f"is_rate_limited(marta, 3, 60), five times, counted in {where}: {asked.count(True)} refused"
    )
    async with presenter.step(
        "The same message is delivered twice, and kept once", "id created_at content"
    ) as step:
        first, again = [
            await step.run(
                messages.append,
                conversation_id=talk.id,
                wallapop_message_id="m-1",
                content="¡Hola! ¿Me la dejas en 90?",
            )
            for _ in range(2)
        ]
    presenter.expect(first == again, "the message was kept twice")
    claimed = await presenter.show(
        "A worker claims it for five minutes; no other worker gets it",
        "id content claims claimed_until",
        messages.claim_unprocessed,
    )
    presenter.expect([message.id for message in claimed] == [first.id], "the message was not in the queue")
    await presenter.show(
        "What it understood",
        "id intent entities is_processed=processed",
        messages.mark_processed,
        id=first.id,
        intent="offer",
        entities={"price": 90},
    )
    return marta.id, talk.id


async def _haggle(presenter: Presenter, console: Console, talk: int) -> None:
    if redis_url():
        async with ConversationStates() as states:
            await states.of(presenter.db, talk)
            presenter.queries += 1
            state = await states.change(talk, _offered)
        _say(console, f"the conversation's state, in Redis while it is active: {state}")
    async with presenter.step("The bot haggles", "created_at message_type=who content") as step:
        for who, content in (("bot", "Por 105 es tuya."), ("buyer", "Vale, 105 y la recojo hoy.")):
            await step.run(
                messages.append,
                conversation_id=talk,
                message_type="BOT_MESSAGE" if who == "bot" else "USER_MESSAGE",
                content=content,
            )
    await presenter.show(
        "What is agreed so far",
        "id negotiated_price=price meeting_location=where message_count=messages last_message_at=last",
        conversations.update,
        id=talk,
        negotiated_price=Decimal(105),
        meeting_location="Atocha, puerta 2",
    )


def _offered(state: ConversationState) -> ConversationState:
    return msgspec.structs.replace(
        state, stage="haggling", offered=Decimal(90), asked=Decimal(105), rounds=state.rounds + 1
    )


async def _come_too_late(presenter: Presenter, bicycle: int, marta: int) -> None:
    kept = await presenter.show(
        "The bicycle is kept for her", _PRODUCT, products.reserve, id=bicycle, buyer_id=marta
    )
    presenter.expect(kept is not None, "the product was not reserved")
    async with presenter.step("Another buyer comes too late: no row is changed", _PRODUCT) as step:
        diego = await buyers.create_or_update(presenter.db, wallapop_user_id="u-diego", username="diego")
        presenter.queries += 1
        refused = await step.run(products.reserve, id=bicycle, buyer_id=diego.id)
    presenter.expect(refused is None, "the product was reserved twice")
    await presenter.show(
        "And why",
        "status reserved_for_username=for reserved_at can_be_reserved=free",
        products.standing,
        id=bicycle,
    )


async def _sell(presenter: Presenter, bicycle: int, talk: int) -> None:
    done = await presenter.show(
        "The deal: conversation, product and buyer in one statement",
        "id status negotiated_price=price completed_at",
        conversations.complete,
        id=talk,
    )
    presenter.expect(done is not None, "the deal was not made")
    await presenter.show("The bicycle is sold", _PRODUCT, products.get_by_id, id=bicycle)
    again = await presenter.show("A second time is refused", _PRODUCT, products.sell, id=bicycle)
    presenter.expect(again is None, "the product was sold twice")
    left = await presenter.show(
        "What is still on sale, cheapest first",
        "price category title",
        products.list_available,
        order="cheapest",
    )
    presenter.expect(len(left) == 2, "something else is on sale")


def _say(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (1, 0, 0, 4)))


demo: Final = Demo(play=play, migrations=migrations_folder("marketplace").parent, layer="marketplace")
