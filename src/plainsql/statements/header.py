"""The header of a SQL file: the description and the keys in the comment lines at its top.

The header is the run of ``--`` lines at the top of the file (empty lines before it do not count). The first
other line ends it, even an empty one. In it::

    -- The lead of this Telegram chat.                        the description, up to the first key
    --                                                        divides its paragraphs
    -- returns: optional Lead                                 a key, a colon, a value
    -- param limit: 1..200 = 5                                a key with a name
    -- allow: missing-index: the table has forty rows,        a value continues in lines that are
    --   and a scan of it is cheaper                          indented by two more spaces
    -- param limit: 1..200 -- the most rows                   a text for the docstring, after two dashes

The rules, exactly. A line is *shaped like a key* if it has a word, or two, before its first colon, and a
space or the line's end behind the colon. Before the first key, a line is a key if it is shaped like one and
its first word is a key's; it is an error if its first word is nearly one (``return:``, ``Cache:``); otherwise
it is description. So are the words ``Example:`` and ``examples:`` before the first key, unless ``name =``
follows them. From the first key on, every line must be a key, a continuation or empty. A key is given once,
``param``, ``column`` and ``error`` once for each name, ``allow`` once for each finding, ``set`` once for each
setting, ``example`` once for each call.
"""

from __future__ import annotations

import re
from typing import Final

from plainsql.deprecation import warn_of_old_name
from plainsql.errors import SqlFileError
from plainsql.statements.source import Source
from plainsql.statements.suggestions import returns_form

__all__ = ["KEYS", "Entry", "close_match", "read_layout"]

KEYS: Final = {
    "returns": "",
    "param": "limit",
    "column": "total",
    "cache": "",
    "allow": "",
    "autobatch": "",
    "example": "",
    "error": "customers_email_key",
    "page": "",
    "deprecated": "",
    "set": "",
    "replica": "",
}
"""Every key, with an example of the name for those that take one: ``param limit: …``."""

_FORMER_KEYS: Final = {"join": "autobatch"}

_WORDS: Final = frozenset({"example", "examples"})
"""The words with which a line of description may begin, although they are nearly a key."""
_SHAPE: Final = re.compile(r"(\w+)(?:[ \t]+(\"(?:[^\"]|\"\")+\"|[^\s:]+))?[ \t]*:(?=[ \t]|$)[ \t]*")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*[ \t]*=")
_NO_COLON: Final = re.compile(
    r"returns?[ \t]+(?:one|optional|many|value|count|copied)\b[^.,;]*$", re.IGNORECASE
)


class Entry:
    """A key with its value, and the offsets of both in the file's text."""

    __slots__ = ("description", "key", "key_offset", "name", "name_offset", "value", "value_offset")

    def __init__(
        self, key: str, key_offset: int, name: str, name_offset: int, value: str, value_offset: int
    ) -> None:
        self.key = key
        self.key_offset = key_offset
        self.name = name
        self.name_offset = name_offset
        self.value = value
        self.value_offset = value_offset
        self.description = ""
        """The text after two dashes, for keys that take one."""


def read_layout(source: Source, errors: list[SqlFileError]) -> tuple[str, list[Entry], int]:
    """Return the description, the keys in order, and the offset of the first line after the header.

    Errors go to ``errors``; the rest is read all the same.
    """
    text = source.text
    description: list[str] = []
    entries: list[Entry] = []
    position = _skip_empty_lines(text)
    while text.startswith("--", position) and not text.startswith("--?", position):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        offset = position + 2
        line = text[offset:end].rstrip()
        position = end + 1
        content = line.lstrip()
        indent = len(line) - len(content)
        if not content:
            if not entries:
                description.append("")
        elif entries and indent >= 3:
            entries[-1].value = f"{entries[-1].value} {content}".lstrip()
        else:
            entry = _read_line(source, content, offset + indent, bool(entries), errors)
            if entry is not None:
                entries.append(entry)
            elif not entries:
                description.append(line[1:] if line[0] in " \t" else line)
    return "\n".join(description).strip("\n"), entries, min(position, len(text))


def close_match(word: str, known: tuple[str, ...] | list[str], cutoff: float = 0.75) -> str | None:
    """Return the word of ``known`` that the author most likely meant, if any is close."""
    # Only errors need difflib: it is not imported with the package.
    from difflib import get_close_matches

    matches = get_close_matches(word.lower(), known, 1, cutoff)
    return matches[0] if matches else None


def _skip_empty_lines(text: str) -> int:
    return len(text) - len(text.lstrip(" \t\n\r\f\v"))


def _read_line(
    source: Source, content: str, offset: int, among_keys: bool, errors: list[SqlFileError]
) -> Entry | None:
    """Read one line that may be a key; ``None`` for description and for a line with an error."""
    shape = _SHAPE.match(content)
    if shape is None:
        if among_keys:
            errors.append(
                source.error(
                    offset,
                    "expected a key and a colon, got text",
                    hint="indent a continued value by two spaces, or move description above the keys",
                )
            )
        elif _NO_COLON.match(content):
            wanted = returns_form(content.split()[1:])
            errors.append(
                source.error(offset, "a colon is missing after returns", hint=f"write returns: {wanted}")
            )
        return None
    key, name = shape[1], shape[2] or ""
    key = _FORMER_KEYS.get(key, key)
    if key in KEYS:
        if key != shape[1]:
            warn_of_old_name(f"{source.place(offset)}: the header key {shape[1]!r}", repr(key))
        if bool(name) != bool(KEYS[key]):
            errors.append(_wrong_name(source, content, key, name, offset))
            # The line makes an entry all the same: the lines that follow are keys.
            return Entry("", offset, name, offset, "", offset)
        return Entry(
            key, offset, name, offset + max(shape.start(2), 0), content[shape.end() :], offset + shape.end()
        )
    meant = close_match(key, list(KEYS), 0.75 if among_keys else 0.8)
    if not among_keys:
        is_prose = key.lower() in _WORDS and not name and not _ASSIGNMENT.match(content, shape.end())
        # So short a key is near many words of a description, such as "Sent:".
        is_prose = is_prose or (meant == "set" and key.lower() != meant)
        if meant is None or is_prose:
            return None
    errors.append(
        source.error(
            offset,
            f"unknown key {key!r}",
            hint=f"did you mean {meant}?" if meant else f"use one of {', '.join(KEYS)}",
        )
    )
    return Entry("", offset, name, offset, "", offset) if meant else None


def _wrong_name(source: Source, content: str, key: str, name: str, offset: int) -> SqlFileError:
    if name:
        return source.error(
            offset + content.index(name, len(key)),
            f"{key} takes no name, got {name!r}",
            hint=f"write {key}: …",
        )
    return source.error(
        offset + len(key),
        f"{key} needs a name before the colon",
        hint=f"write, for example, {key} {KEYS[key]}: …",
    )
