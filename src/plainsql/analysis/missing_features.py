"""Features that a build of PostgreSQL lacks, such as the embedded one: ICU, XML, an extension, a locale."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["server_hint"]

_LACKS: Final = (
    (re.compile(r"ICU is not supported in this build"), "with ICU"),
    (re.compile(r'collation "[^"]*-x-icu" for encoding'), "with ICU"),
    (re.compile(r"unsupported XML feature"), "with libxml"),
    (re.compile(r"compression method (\w+) not supported"), "with {0}"),
    (re.compile(r'extension "([^"]+)" is not available'), "that has {0}"),
    (re.compile(r'could not create locale "([^"]+)"'), "with the locale {0}"),
)
"""The server's messages, each with a server that has the feature."""


def server_hint(message: str) -> str | None:
    """Return the hint for a refusal of a server that lacks a feature; ``None`` for any other refusal."""
    for pattern, server in _LACKS:
        if (found := pattern.search(message)) is not None:
            named = server.format(*found.groups())
            return f"set scratch in [tool.plainsql] to the URL of a PostgreSQL {named}"
    return None
