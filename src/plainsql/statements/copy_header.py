"""The agreement of a header with a COPY: ``returns: copied``, and none of the keys about single calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from plainsql.errors import SqlFileError
from plainsql.statements.copy_statement import CopyStatement
from plainsql.statements.source import Source

if TYPE_CHECKING:
    from plainsql.statements.header import Entry
    from plainsql.statements.header_values import Keys
    from plainsql.statements.variants import Compiled

__all__ = ["copy_errors"]

_COPY: Final = re.compile(r"\s*copy\b", re.IGNORECASE)
_REFUSED: Final = {
    "param": "it stores the values as they come: check them in the program, or with a constraint",
    "column": "it returns no columns",
    "autobatch": "its rows go in one call already",
    "replica": "it writes",
    "set": "it has no plan that a setting could change",
}
"""The keys that a copy cannot have, with the reason."""


def copy_errors(
    source: Source, compiled: Compiled, keys: Keys, entries: Sequence[Entry]
) -> Iterator[SqlFileError]:
    """Yield an error for ``returns: copied`` without a COPY, for a COPY without it, and for refused keys."""
    if keys.returns is None:
        return
    copies = isinstance(compiled, CopyStatement)
    of_returns = next(entry for entry in entries if entry.key == "returns")
    # A COPY of another form has an error of its own.
    if keys.returns.copied and not copies and _COPY.match(compiled.source.text) is None:
        yield source.error(
            of_returns.value_offset,
            "'returns: copied' belongs to a copy, and the statement is another one",
            hint="write copy shop.customers (name, email) from stdin, or declare 'returns: count'",
        )
    if copies and not keys.returns.copied:
        yield source.error(
            of_returns.value_offset,
            f"a copy returns the number of its rows, and the header says 'returns: {keys.returns}'",
            hint="write returns: copied",
        )
    for entry in entries:
        if copies and entry.key in _REFUSED:
            yield source.error(
                entry.key_offset,
                f"a copy has no {entry.key}",
                detail=_REFUSED[entry.key],
                hint="remove the line",
            )
