"""The key with which an outbound message is saved once, however often its sender retries."""

from __future__ import annotations

import hashlib
from uuid import UUID

from plainsql.errors import BindError

__all__ = ["idempotency_key"]


def idempotency_key(account_id: str | UUID, to_phone: str, content: str, timestamp: str | int) -> bytes:
    """Return the SHA-256 digest of the four, in UTF-8 and joined by ``:``: 32 bytes.

    ``timestamp`` is the time of the event that caused the message, not of the attempt to send it. It must be
    the same if the same message is retried, and another one if the same text is to be sent twice. It is text
    or whole seconds; a ``float`` or a ``datetime`` can be written in several ways, and is refused.

    Raises ``BindError`` if an argument is of another type, or if ``account_id`` or ``to_phone`` contains a
    ``:``, because two different messages could then have one key.
    """
    _expect("account_id", account_id, str, UUID)
    _expect("to_phone", to_phone, str)
    _expect("content", content, str)
    _expect("timestamp", timestamp, str, int)
    for name, value in (("account_id", account_id), ("to_phone", to_phone)):
        if ":" in str(value):
            raise BindError(f"{name}: expected no ':'")
    return hashlib.sha256(f"{account_id}:{to_phone}:{content}:{timestamp}".encode()).digest()


def _expect(name: str, value: object, *types: type) -> None:
    if not isinstance(value, types) or isinstance(value, bool):
        expected = " or ".join(type.__name__ for type in types)
        raise BindError(f"{name}: expected {expected}, got {type(value).__name__}")
