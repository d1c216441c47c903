"""Names and texts from outside → Python source: class names, field names, string literals, docstrings.

Names of tables, types, columns, labels and files are data. Each goes through one of these functions on its
way into a module, so that none of them can end a string, hide what it says, or be no name at all.
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

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS = "\u200c\u200d"
"""Persian words and emoji are written with them, and they hide nothing."""


def class_name(name: str) -> str:
    """``message_type`` → ``MessageType``."""
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
    ``two_words``. Values are made by position, so that only readers meet the other name.
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
    """The name as Python reads it: two names that are one after this are one to it."""
    return unicodedata.normalize("NFKC", name)


def string_literal(text: str) -> str:
    """The text as a literal in double quotes, on one line, with nothing in it that cannot be seen."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{one_line(escaped)}"'


def docstring_text(text: str) -> str:
    '''The text as it stands between ``"""``: lines and tabs stay, what cannot be seen is shown escaped.'''
    escaped = text.replace("\\", "\\\\")
    if '"""' in escaped or escaped.endswith('"'):
        escaped = escaped.replace('"', '\\"')
    return "".join(c if c in "\n\t" else _visible(c) for c in escaped)


def one_line(text: str) -> str:
    """The text as it stands in a comment: on one line, with nothing in it that cannot be seen."""
    return "".join(_SHORT.get(c) or _visible(c) for c in text)


def _plain_field(name: str) -> str:
    plain = "".join(c if _continues(c) else "_" for c in normalized(name))
    plain = f"_{plain.lstrip('_')}" if plain.startswith("__") else plain
    plain = plain if plain.isidentifier() else f"_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _continues(character: str) -> bool:
    """Return whether a name may go on with it."""
    return f"a{character}".isidentifier()


def _visible(character: str) -> str:
    """The character, or its escape if it cannot be seen: a control, a mark of direction, half of a pair."""
    if " " <= character <= "~" or character in _JOINERS:
        return character
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
