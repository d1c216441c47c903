"""Names of PostgreSQL → names of Python."""

from __future__ import annotations

import json
import keyword
import re

__all__ = ["class_name", "is_field_name", "string_literal"]


def class_name(name: str) -> str:
    """``message_type`` → ``MessageType``."""
    words = [word for word in re.split(r"\W+|_+", name) if word]
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined and not joined[0].isdigit() else f"T{joined}"


def is_field_name(name: str) -> bool:
    """Whether a struct can have a field of this name."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


def string_literal(text: str) -> str:
    """The text as a literal in double quotes: no line end or control character of it stands in the source."""
    return json.dumps(text, ensure_ascii=False)
