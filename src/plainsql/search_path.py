"""The ``search_path`` of a project: the schemas in which names without a schema are looked up."""

from __future__ import annotations

import re
from typing import Final

from plainsql.errors import OptionError

__all__ = ["quoted_path", "read_search_path"]

_NAME: Final = re.compile(r'\s*(?:"((?:[^"\0]|"")+)"|([^\W\d][\w$]*))\s*', re.UNICODE)
_MAX_NAME_BYTES: Final = 63


def read_search_path(text: str, place: str) -> tuple[str, ...]:
    """Return the names of a ``search_path``, such as ``shop, public``, as PostgreSQL reads them.

    Names without double quotes are folded to lower case. An empty text gives no names.

    Raises ``OptionError`` if a part of it is no name; ``place`` names the setting.
    """
    names: list[str] = []
    at = 0
    while at < len(text) or names:
        found = _NAME.match(text, at)
        if found is None:
            raise _refusal(text, place)
        quoted, plain = found.groups()
        name = plain.lower() if quoted is None else quoted.replace('""', '"')
        if len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
            raise _refusal(text, place)
        names.append(name)
        at = found.end()
        if at == len(text):
            return tuple(names)
        if text[at] != ",":
            raise _refusal(text, place)
        at += 1
    return ()


def quoted_path(names: tuple[str, ...]) -> str:
    """Return names as the text of a ``search_path``, each of them quoted if it must be."""
    return ", ".join(
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
        for name in names
    )


def _refusal(text: str, place: str) -> OptionError:
    return OptionError(
        f"{place}: expected names of schemas with commas in between, got {text[:80]!r}",
        hint="for example: shop, public; a name with other characters is in double quotes",
    )
