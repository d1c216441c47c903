"""Sample data for the marketplace layer: products, buyers, and what they say to the bot."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from plainsql.layers.sample_data import SampleTable

__all__ = ["tables"]

_PRODUCTS: Final = (
    ("Bicicleta de paseo", "bikes", 120),
    ("Bicicleta plegable", "bikes", 210),
    ("Silla de oficina", "home", 45),
    ("Mesa de roble", "home", 160),
    ("Portátil de 14 pulgadas", "electronics", 380),
    ("Auriculares inalámbricos", "electronics", 55),
    ("Guitarra española", "music", 140),
    ("Novela de aventuras", "books", 6),
)
_CONDITIONS: Final = ("new", "as_good_as_new", "good", "fair")
_PLACES: Final = ("Madrid", "Barcelona", "Valencia", "Sevilla")
_NAMES: Final = ("Marta", "Diego", "Lucía", "Pablo", "Nuria", "Iván", "Rosa", "Óscar")
_ASKED: Final = (
    ("¡Hola! ¿Sigue disponible?", "question"),
    ("¿Me la dejas en un poco menos?", "offer"),
    ("¿Dónde se puede recoger?", "meeting"),
    ("Vale, me la quedo", "accept"),
)
_ANSWERED: Final = ("Sí, sigue disponible", "El precio es casi definitivo", "En el centro, por la tarde")
_DAYS_BACK: Final = 120


def tables(*, now: datetime, rows: int, seed: int) -> tuple[SampleTable, ...]:
    """Return the rows of all tables.

    ``rows`` is the number of messages: ten in a conversation, each about a product of its own.
    """
    random = Random(seed)
    talks = (rows + 9) // 10
    buyers = max(talks // 2, 1)
    products: list[tuple[object, ...]] = []
    conversations: list[tuple[object, ...]] = []
    messages: list[tuple[object, ...]] = []
    begun, bought = [0] * (buyers + 1), [0] * (buyers + 1)
    for talk in range(1, talks + 1):
        title, category, usual = random.choice(_PRODUCTS)
        price = Decimal(round(usual * random.uniform(0.7, 1.3), 2)).quantize(Decimal("0.01"))
        listed = now - timedelta(seconds=random.randint(7 * 86400, _DAYS_BACK * 86400))
        buyer, at = random.randint(1, buyers), listed + timedelta(seconds=random.randint(600, 5 * 86400))
        begun[buyer] += 1
        fate = random.choices(("ACTIVE", "COMPLETED", "CANCELLED"), (5, 3, 2))[0]
        sold = fate == "COMPLETED"
        bought[buyer] += sold
        began, last, count = at, at, 0
        for number in range(10 * (talk - 1) + 1, min(10 * talk, rows) + 1):
            of_buyer = count % 2 == 0
            said, intent = random.choice(_ASKED)
            messages.append(
                (
                    number,
                    f"m-{number}" if of_buyer else None,
                    talk,
                    buyer if of_buyer else None,
                    said if of_buyer else random.choice(_ANSWERED),
                    "USER_MESSAGE" if of_buyer else "BOT_MESSAGE",
                    intent if of_buyer else None,
                    fate != "ACTIVE" or random.random() < 0.8,
                    fate != "ACTIVE" or random.random() < 0.8,
                    at,
                )
            )
            last, count = at, count + 1
            at = min(at + timedelta(seconds=random.randint(20, 3600)), now)
        paid = (price * Decimal("0.9")).quantize(Decimal("0.01")) if sold else None
        products.append(
            (
                talk,
                f"p-{talk}",
                title,
                price,
                "SOLD" if sold else "AVAILABLE",
                category,
                random.choice(_CONDITIONS),
                random.choice(_PLACES),
                random.randint(0, 400),
                listed,
                last if sold else None,
                buyer if sold else None,
                paid,
                listed,
            )
        )
        mood = round(random.uniform(-0.3, 1), 2)
        conversations.append(
            (
                talk,
                f"c-{talk}",
                talk,
                buyer,
                fate,
                count,
                last,
                paid,
                mood,
                last if sold else None,
                began,
                last,
            )
        )
    people = [_buyer(random, number, begun[number], bought[number], now) for number in range(1, buyers + 1)]
    sessions: list[tuple[object, ...]] = []
    for number in range(1, max(rows // 50, 1) + 1):
        started = now - timedelta(hours=12 * number)
        ended = started + timedelta(hours=11)
        sessions.append((number, f"bot-{number}", started, ended, ended, random.randint(5, 500), started))
    return (
        _table(
            "buyers",
            """id wallapop_user_id username display_name is_verified trust_score phone email
            total_conversations completed_purchases created_at""",
            people,
        ),
        _table(
            "products",
            """id wallapop_id title price status category condition location views_count listed_at sold_at
            sold_to_id sold_price created_at""",
            products,
        ),
        _table(
            "conversations",
            """id wallapop_chat_id product_id buyer_id status message_count last_message_at negotiated_price
            sentiment_score completed_at created_at updated_at""",
            conversations,
        ),
        _table(
            "messages",
            """id wallapop_message_id conversation_id buyer_id content message_type intent is_read
            is_processed created_at""",
            messages,
        ),
        _table(
            "bot_sessions",
            "id session_key started_at last_activity_at ended_at actions_count created_at",
            sessions,
        ),
    )


def _buyer(random: Random, number: int, begun: int, bought: int, now: datetime) -> tuple[object, ...]:
    name = random.choice(_NAMES)
    phone = f"+346{random.randrange(10**8):08d}" if random.random() < 0.6 else None
    email = f"comprador{number}@example.com" if random.random() < 0.4 else None
    verified, since = random.random() < 0.4, now - timedelta(days=_DAYS_BACK)
    return (number, f"u-{number}", f"user{number}", name, verified, 0.5, phone, email, begun, bought, since)


def _table(name: str, columns: str, rows: list[tuple[object, ...]]) -> SampleTable:
    return SampleTable("marketplace", name, tuple(columns.split()), rows)
