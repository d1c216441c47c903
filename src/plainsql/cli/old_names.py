"""Old names of commands and options, which work in this version: each warns once, with the new name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

__all__ = ["with_new_names"]

_COMMANDS: Final = {("db", "test"): ("db", "doctor")}
_OPTIONS: Final = {
    ("check",): {"--anew": "--no-cache", "--cache": "--cache-map", "--database": "--scratch"},
    ("generate",): {"--database": "--scratch"},
    ("describe",): {"--database": "--scratch"},
    ("cache", "triggers"): {"--database": "--scratch"},
}
"""The options of a command, by its words."""


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """Return a command line with the new names; warn on standard error of each old one in it."""
    words = list(arguments)
    for old, new in _COMMANDS.items():
        if tuple(words[: len(old)]) == old:
            _warn(" ".join(old), " ".join(new))
            words[: len(old)] = new
    for command, options in _OPTIONS.items():
        if tuple(words[: len(command)]) == command:
            given = {word.partition("=")[0] for word in words}
            for option in [option for option in options if option in given]:
                _warn(f"{' '.join(command)} {option}", f"{' '.join(command)} {options[option]}")
            words = [_renamed(word, options) for word in words]
    return words


def _renamed(word: str, options: Mapping[str, str]) -> str:
    name, equals, value = word.partition("=")
    return f"{options.get(name, name)}{equals}{value}"


def _warn(old: str, new: str) -> None:
    with suppress(OSError):  # standard error may be closed
        print(f"'plainsql {old}' is deprecated: use 'plainsql {new}'", file=sys.stderr)
