"""An extension of Griffe for zensical.toml: docstrings as Markdown reads them.

The docstrings have two forms of reStructuredText: an example after two colons, and a table between rulers of
equals signs. Here the first becomes a block of Python, and the second a block of text.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(?P<before>.*?)::\n\n(?P<code>(?:(?: {4}.*)?\n)*(?: {4}.+)(?:\n|\Z))", re.MULTILINE)
_TABLE = re.compile(r"^=+(?: +=+)+\n(?P<rows>.+)^=+(?: +=+)+$", re.MULTILINE | re.DOTALL)


def as_markdown(docstring: str) -> str:
    """Return a docstring with its examples and tables as fenced blocks."""

    def example(match: re.Match[str]) -> str:
        before = f"{match['before']}:\n\n" if match["before"] else ""
        return f"{before}```python\n{textwrap.dedent(match['code']).rstrip()}\n```\n"

    def table(match: re.Match[str]) -> str:
        # The backticks go, and the rows stay in line: they are the last column's.
        return "```text\n" + match["rows"].replace("=", "-").replace("``", "") + "```"

    return _EXAMPLE.sub(example, _TABLE.sub(table, docstring))


class Docstrings(griffe.Extension):
    """Applies ``as_markdown`` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object when all of its package has been read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstring of the package itself, for which ``on_object`` is not called."""
        self.on_object(obj=pkg)
