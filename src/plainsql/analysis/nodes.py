r"""The reader of the server's node format, which makes Python nodes of it.

``debug_print_parse``, ``pg_rewrite.ev_action`` and ``pg_attrdef.adbin`` all write the same format::

    {VAR :varno 1 :varattno 2 :varnullingrels (b 3)}   a node: its kind, then fields
    ({VAR ...} {CONST ...})  ("id" "name")             lists of nodes, of strings
    (i 1 2)  (o 23 25)  (b 8 9)                        integers, oids, a bit set
    <>                                                 null
    4 [ 1 0 0 0 ]                                      a datum: its length and bytes

The reader refuses nothing and drops nothing: it keeps a token in the place of a field's name in
``Node.extra``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

__all__ = ["Node", "NodeTextError", "Value", "conjuncts", "read_tree"]

Value: TypeAlias = "Node | str | bytes | list[Value] | frozenset[int] | None"
"""The value of a field. Numbers and booleans stay text until they are read."""

# A backslash takes the next character into the token, whatever it is. The server wraps lines at spaces, so a
# line end is a space, also after a backslash.
_TOKEN = re.compile(r"[(){}]|(?:\\[\s\S]|[^\s(){}\\])+")


class NodeTextError(ValueError):
    """The text is not in the server's node format."""


class Node:
    """One node: ``kind`` as the server writes it (``VAR``), and its fields."""

    __slots__ = ("_children", "extra", "fields", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.fields: dict[str, Value] = {}
        self.extra: list[Value] = []
        self._children: list[Node] | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} {' '.join(self.fields)}>"

    def text(self, field: str) -> str | None:
        """Return the field as text without its escapes, or ``None``."""
        value = self.fields.get(field)
        return _unescape(value) if isinstance(value, str) else None

    def number(self, field: str, default: int = 0) -> int:
        """Return the field as an integer; ``default`` if this server's nodes do not have it."""
        value = self.fields.get(field)
        return int(value) if isinstance(value, str) else default

    def flag(self, field: str) -> bool:
        """Return whether the field exists and is true."""
        return self.fields.get(field) == "true"

    def node(self, field: str) -> Node | None:
        """Return the field as a node, or ``None``."""
        value = self.fields.get(field)
        return value if isinstance(value, Node) else None

    def nodes(self, field: str) -> list[Node]:
        """Return the nodes of a list field; empty for null."""
        value = self.fields.get(field)
        return [item for item in value if isinstance(item, Node)] if isinstance(value, list) else []

    def items(self, field: str) -> list[Value]:
        """Return a list field whole, nulls and nested lists included."""
        value = self.fields.get(field)
        return value if isinstance(value, list) else []

    def numbers(self, field: str) -> tuple[int, ...]:
        """Return the field as integers: an integer list, an oid list, or a bit set in its order."""
        value = self.fields.get(field)
        if isinstance(value, frozenset):
            return tuple(sorted(value))
        if isinstance(value, list):
            return tuple(int(item) for item in value if isinstance(item, str))
        return ()

    def bits(self, field: str) -> frozenset[int]:
        """Return a bit set; empty if this server's nodes do not have it."""
        value = self.fields.get(field)
        return value if isinstance(value, frozenset) else frozenset()

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of strings, such as the names of columns, without their escapes."""
        return tuple(_unescape(item) for item in self.items(field) if isinstance(item, str))

    def datum(self, field: str) -> bytes | None:
        """Return the bytes of a constant's value."""
        value = self.fields.get(field)
        return value if isinstance(value, bytes) else None

    def children(self) -> Sequence[Node]:
        """Return the nodes directly below this one, in the order of the fields."""
        # Collected once: every question about a statement walks its tree.
        if self._children is None:
            self._children = []
            for value in (*self.fields.values(), *self.extra):
                if isinstance(value, Node):
                    self._children.append(value)
                elif isinstance(value, list):
                    _collect_nodes(value, self._children)
        return self._children

    def walk(self) -> Iterator[Node]:
        """Yield this node and all nodes below it, parents first."""
        pending: list[Node] = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children()))


def conjuncts(node: Node | None) -> list[Node]:
    """Return the conditions that must all be true for this one to be true."""
    if node is None:
        return []
    if node.kind == "BOOLEXPR" and node.text("boolop") == "and":
        return [part for arg in node.nodes("args") for part in conjuncts(arg)]
    return [node]


def _collect_nodes(values: list[Value], found: list[Node]) -> None:
    for value in values:
        if isinstance(value, Node):
            found.append(value)
        elif isinstance(value, list):
            _collect_nodes(value, found)


def _unescape(token: str) -> str:
    if len(token) >= 2 and token[0] == token[-1] == '"':
        token = token[1:-1]
    return re.sub(r"\\([\s\S])", r"\1", token) if "\\" in token else token


def read_tree(text: str) -> Value:
    """Read one value: a node, or a list of nodes. Do not change it: another caller may hold the same object.

    Raises:
        NodeTextError: brackets do not match, or the text is empty.
    """
    # Checks, defaults and policies belong to the schema: every statement on their tables reads them again. A
    # query is made for each reader, because its nodes distinguish two mentions of one view.
    is_expression = text.startswith("{") and not text.startswith("{QUERY")
    return _read_kept(text) if is_expression else _read(text)


def _read(text: str) -> Value:
    tokens = _TOKEN.findall(text)
    tokens.append("")
    # An explicit stack: a long chain of operators nests deeper than Python's own stack allows.
    stack: list[Node | list[Value]] = []
    field = ""
    fields: list[str] = []
    i = 0
    while True:
        token = tokens[i]
        i += 1
        value: Value
        if token == "{":
            stack.append(Node(tokens[i]))
            fields.append(field)
            field = ""
            i += 1
            continue
        if token == "(":
            if tokens[i] in ("i", "o", "x", "b") and (
                tokens[i + 1] == ")" or tokens[i + 1].lstrip("-").isdigit()
            ):
                end = tokens.index(")", i)
                numbers = tokens[i + 1 : end]
                value = frozenset(map(int, numbers)) if tokens[i] == "b" else list(numbers)
                i = end + 1
            else:
                stack.append([])
                fields.append(field)
                continue
        elif token in ("}", ")"):
            if not stack or isinstance(stack[-1], Node) is not (token == "}"):
                raise NodeTextError(f"unexpected {token!r} at token {i}")
            value = stack.pop()
            field = fields.pop()
        elif token == "":
            raise NodeTextError("the text ends inside a node")
        elif stack and isinstance(stack[-1], Node) and not field and token[0] == ":":
            field = token[1:]
            continue
        elif tokens[i] == "[":
            end = tokens.index("]", i)
            value = bytes(int(byte) & 0xFF for byte in tokens[i + 1 : end])
            i = end + 1
        else:
            value = None if token == "<>" else token
        if not stack:
            return value
        top = stack[-1]
        if isinstance(top, list):
            top.append(value)
        elif field:
            top.fields[field] = value
            field = ""
        else:
            top.extra.append(value)


_read_kept = lru_cache(maxsize=512)(_read)
