"""Sending as one unit of work: channel, idempotency key, rate limit and row in one transaction.

::

    tenant = db.tenant(tenant_id, user_id=user_id)
    message, is_new = await send_message(
        tenant,
        limiter,
        channel_id=channel_id,
        to_phone="51987654321",
        content="Su pedido va en camino",
        idempotency_key=idempotency_key(account_id, "51987654321", "Su pedido va en camino", asked_at),
    )
    if is_new:
        ...  # hand it to WhatsApp, then messages.update_status
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

from plainsql.errors import PlainsqlError
from plainsql.layers.whatsapp import channels, contacts, messages

if TYPE_CHECKING:
    from plainsql.database import TenantDatabase, Transaction
    from plainsql.layers.whatsapp.limiter import ChannelLimiter

__all__ = [
    "Accepted",
    "ChannelUnavailableError",
    "ContactBlockedError",
    "RateLimitedError",
    "SendRefusedError",
    "send_message",
]


class Accepted(NamedTuple):
    """A message that was accepted for sending, by this call or by an earlier one."""

    message: messages.Message
    is_new: bool
    """True if this call saved it; its caller then has to hand it to WhatsApp."""


class SendRefusedError(PlainsqlError):
    """A message was not accepted for sending. Nothing was saved, and no token was taken."""


class ChannelUnavailableError(SendRefusedError):
    """The tenant has no such channel, or it cannot send: it is not verified, or suspended."""


class ContactBlockedError(SendRefusedError):
    """The tenant has blocked the contact."""


class RateLimitedError(SendRefusedError):
    """The channel has reached its rate limit."""

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        """Seconds until there is a token, if no other call takes it."""


async def send_message(
    db: TenantDatabase | Transaction,
    limiter: ChannelLimiter,
    *,
    channel_id: UUID,
    to_phone: str,
    content: str | None,
    idempotency_key: bytes | None = None,
    message_type: str = "text",
    media_id: UUID | None = None,
    lease_s: int = 900,
) -> Accepted:
    """Accept a message for sending, in one transaction, and return its row.

    ``db`` is ``Database.tenant(…)``, or a transaction of it. If a message was saved with the
    ``idempotency_key`` before, that message is returned, whatever its status is, and no token is taken. Of
    any number of concurrent calls with the same key, one saves the message and takes one token. Without a
    key, every call saves a message.

    The caller that gets ``is_new`` hands the message to WhatsApp and reports by ``messages.update_status``.
    If there is no report within ``lease_s`` seconds, ``messages.claim_failed_for_retry`` gives the message to
    a worker.

    Raises ``ChannelUnavailableError``, ``ContactBlockedError``, ``RateLimitedError`` with ``retry_after``,
    and ``RedisUnavailableError`` if the limiter is configured to. In each case nothing was saved.
    """
    async with db.transaction() as tx:
        if idempotency_key is not None:
            known = await messages.get_outbound_by_idempotency_key(tx, idempotency_key=idempotency_key)
            if known is not None:
                return Accepted(known, is_new=False)
        channel = await _sending_channel(tx, channel_id)
        contact = await contacts.get_by_phone(tx, phone_number=to_phone)
        if contact is not None and contact.is_blocked:
            raise ContactBlockedError(
                f"contact {contact.id} is blocked", hint="unblock the contact with contacts.unblock"
            )
        id = uuid4()
        message = await messages.save_outbound(
            tx,
            id=id,
            channel_id=channel.id,
            contact_id=None if contact is None else contact.id,
            phone_number=to_phone,
            message_type=message_type,
            content=content,
            media_id=media_id,
            idempotency_key=idempotency_key,
            lease_s=lease_s,
        )
        # The token comes last: of several calls only the one that saved takes one, and the others wait here
        # for its transaction. If there is no token, the transaction and its row are rolled back.
        is_new = message.id == id
        if is_new:
            decision = await limiter.consume(channel)
            if not decision:
                rate = channel.messages_per_second
                raise RateLimitedError(
                    f"channel {channel.id} is at its limit of {rate} messages a second",
                    retry_after=decision.retry_after,
                    hint="retry after retry_after seconds",
                )
        return Accepted(message, is_new)


async def _sending_channel(tx: Transaction, channel_id: UUID) -> channels.Channel:
    channel = await channels.get_by_id(tx, id=channel_id)
    if channel is None:
        raise ChannelUnavailableError(
            f"there is no channel {channel_id}", hint="pass db.tenant(tenant_id) of the channel's tenant"
        )
    if channel.status != "active" or not channel.is_verified:
        state = channel.status if channel.status != "active" else "not verified"
        hint = "call channels.resume" if state == "suspended" else "call channels.verify"
        raise ChannelUnavailableError(f"channel {channel_id} is {state}", hint=hint)
    return channel
