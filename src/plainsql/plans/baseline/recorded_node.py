"""The nodes of a recorded plan: kinds, tables and indexes, without numbers and without conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["RecordedNode", "parse_node", "quoted_name", "render_node"]

_INDENT: Final = "  "
_NAME: Final = r'(?:"(?:[^"]|"")*"|[^\s",.]+)'
_LINE: Final = re.compile(
    r"(?P<kind>[a-z][a-z0-9 -]*?)"
    rf"(?: on (?P<table>{_NAME}(?:\.{_NAME})?))?"
    rf"(?: using (?P<index>{_NAME}))?"
    rf"(?:, (?P<notes>[a-z -]+(?:, [a-z -]+)*))?"
)
_PLAIN_NAME: Final = re.compile("[a-z_][a-z0-9_$]*")
_JOIN: Final = re.compile("((?:parallel )?(?:hash|merge)) (right |left |full |semi |anti )*join")
"""The joins that may have their two sides exchanged."""


@dataclass(frozen=True, slots=True)
class RecordedNode:
    """A node of a plan with the nodes below it."""

    kind: str
    """Its name as EXPLAIN prints it, in lower case: ``index scan``, ``hash left join``."""
    table: str = ""
    """The relation that it reads or writes, with its schema; the name of a CTE or a function."""
    index: str = ""
    notes: tuple[str, ...] = ()
    """Facts without a number: ``filtered``, ``backward``, ``subplan``."""
    children: tuple[RecordedNode, ...] = ()

    def walk(self) -> Iterator[RecordedNode]:
        """Yield the node and all nodes below it, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def indexes(self) -> frozenset[tuple[str, str]]:
        """The indexes that the plan uses, each with its table."""
        return frozenset((node.table, node.index) for node in self.walk() if node.index)

    @property
    def scanned(self) -> frozenset[str]:
        """The tables that the plan reads from the first page to the last one."""
        return frozenset(node.table for node in self.walk() if node.kind.endswith("seq scan"))

    @property
    def key(self) -> tuple[Any, ...]:
        """A value that two plans share if they differ at most in the sides of their hash and merge joins.

        Both sides may cost the same, and the planner then takes the one that it has considered first.
        """
        if self.kind == "hash" and len(self.children) == 1:
            return self.children[0].key
        kind, children = self.kind, [child.key for child in self.children]
        if _JOIN.fullmatch(kind) and len(children) == 2:
            if " right " in kind:  # the rows are those of the second child
                kind = kind.replace(" right join", " left join").replace(" right ", " ")
                children.reverse()
            elif " left " not in kind and " semi " not in kind and " anti " not in kind:
                children.sort(key=repr)
        return (kind, self.table, self.index, self.notes, *children)


def quoted_name(name: str) -> str:
    """Return a name as SQL writes it, on one line."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    escaped = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)
    return '"' + escaped.replace('"', '""') + '"'


def render_node(node: RecordedNode, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a node and of those below it."""
    text = node.kind
    text += f" on {node.table}" if node.table else ""
    text += f" using {node.index}" if node.index else ""
    yield _INDENT * depth + ", ".join((text, *node.notes))
    for child in node.children:
        yield from render_node(child, depth + 1)


def parse_node(lines: list[tuple[int, str]]) -> RecordedNode:
    """Return the node of lines, each with its number in the file.

    Raises ``ValueError`` with the number of a line that is not one of ``render_node``.
    """
    (number, first), *rest = lines
    found = _LINE.fullmatch(first)
    if found is None:
        raise ValueError(number)
    children: list[list[tuple[int, str]]] = []
    for number, line in rest:
        if not line.startswith(_INDENT):
            raise ValueError(number)
        inner = line.removeprefix(_INDENT)
        if not inner.startswith(" "):
            children.append([])
        elif not children:
            raise ValueError(number)
        children[-1].append((number, inner))
    return RecordedNode(
        found["kind"],
        found["table"] or "",
        found["index"] or "",
        tuple(found["notes"].split(", ")) if found["notes"] else (),
        tuple(map(parse_node, children)),
    )
