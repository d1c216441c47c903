"""Names and texts from outside, made safe for Python source: classes, fields, string literals, docstrings.

Names of tables, types, columns, labels and files are data. Each goes through one of these functions on its
way into a module, so that it cannot end a string, contain invisible characters, or be an invalid name.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Sequence

__all__ = [
    "class_name",
    "docstring_text",
    "field_names",
    "is_field_name",
    "normalized",
    "one_line",
    "string_literal",
]

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ZERO_WIDTH_JOINERS = "\u200c\u200d"
"""Persian words and emoji are written with them, and they hide nothing."""


def class_name(name: str) -> str:
    """Return a class name: ``message_type`` → ``MessageType``."""
    spaced = "".join(c if _continues(c) and c != "_" else " " for c in normalized(name))
    joined = normalized("".join(word[:1].upper() + word[1:] for word in spaced.split()))
    return joined if joined.isidentifier() else f"T{''.join(filter(_continues, joined))}"


def is_field_name(name: str) -> bool:
    """Return whether a struct can have a field of this name."""
    name = normalized(name)
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


def field_names(names: Sequence[str]) -> list[str]:
    """Return a field's name for each attribute of a composite type, all different.

    A name that can be a field's stays as it is; ``class`` becomes ``class_``, and ``"two words"`` becomes
    ``two_words``. Values are made by position, so the changed name matters only to readers of the code.
    """
    taken = {normalized(name) for name in names if is_field_name(name)}
    found: list[str] = []
    for name in names:
        field = normalized(name)
        if not is_field_name(name) or field in found:
            plain = first = _plain_field(name)
            number = 1
            while plain in taken or plain in found:
                number += 1
                plain = f"{first}_{number}"
            field = plain
        found.append(field)
    return found


def normalized(name: str) -> str:
    """Return the name as Python normalises it: Python treats two names with the same result as one."""
    return unicodedata.normalize("NFKC", name)


def string_literal(text: str) -> str:
    """Return the text as a literal in double quotes, on one line, without invisible characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{one_line(escaped)}"'


def docstring_text(text: str) -> str:
    '''Return the text for use between ``"""``: it keeps lines and tabs, and escapes invisible characters.'''
    escaped = text.replace("\\", "\\\\")
    if '"""' in escaped or escaped.endswith('"'):
        escaped = escaped.replace('"', '\\"')
    if escaped.replace("\n", "").replace("\t", "").isprintable():
        return escaped
    return "".join(c if c in "\n\t" else _visible(c) for c in escaped)


def one_line(text: str) -> str:
    """Return the text for use in a comment: on one line, without invisible characters."""
    if text.isprintable():
        return text
    return "".join(_SHORT_ESCAPES.get(c) or _visible(c) for c in text)


def _plain_field(name: str) -> str:
    plain = "".join(c if _continues(c) else "_" for c in normalized(name))
    plain = f"_{plain.lstrip('_')}" if plain.startswith("__") else plain
    plain = plain if plain.isidentifier() else f"_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _continues(character: str) -> bool:
    """Return whether a name may continue with the character."""
    return f"a{character}".isidentifier()


def _visible(character: str) -> str:
    """Return the character, or its escape if it is invisible: a control, a mark of direction, half of a
    pair.
    """
    if " " <= character <= "~" or character in _ZERO_WIDTH_JOINERS:
        return character
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
