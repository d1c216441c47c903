"""Names of PostgreSQL → names of Python."""

from __future__ import annotations

import keyword
import re

__all__ = ["class_name", "is_field_name"]


def class_name(name: str) -> str:
    """``message_type`` → ``MessageType``."""
    words = [word for word in re.split(r"\W+|_+", name) if word]
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined and not joined[0].isdigit() else f"T{joined}"


def is_field_name(name: str) -> bool:
    """Whether a struct can have a field of this name."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
