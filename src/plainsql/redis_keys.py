"""The texts that keys in Redis are made of: names, subjects and keys of values."""

from __future__ import annotations

from uuid import UUID

from plainsql.errors import BindError

__all__ = ["in_braces", "key_text", "text_of"]

_MAX_CHARACTERS = 512
_MAX_BITS = 256


def key_text(name: str, value: object, hint: str) -> str:
    """Return a str, an int or a UUID as it is written in keys.

    Raises ``BindError``, with the hint, for a value of another type: all callers without one would share a
    key.
    """
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        return text_of(name, value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_BITS:
            raise BindError(f"{name}: expected a number of at most {_MAX_BITS} bits")
        return str(int(value))
    raise BindError(f"{name}: expected a str, an int or a UUID, got {type(value).__name__}", hint=hint)


def text_of(name: str, text: str) -> str:
    """Return a text that can be a part of a key. Raises ``BindError`` if it cannot."""
    if not 0 < len(text) <= _MAX_CHARACTERS:
        raise BindError(f"{name}: expected 1 to {_MAX_CHARACTERS} characters, got {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BindError(f"{name}: expected a text, got one with half of a character (a surrogate)") from None
    return str(text)


def in_braces(text: str) -> str:
    """Return a text for the braces of a key: braces of its own would move the hash tag."""
    return text.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
