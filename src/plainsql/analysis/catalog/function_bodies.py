"""The bodies of users' functions: as trees if they are SQL, as the names in them if they are PL/pgSQL.

PostgreSQL trusts the label of a function, even ``stable`` over a call of ``set_config``. So the body is read
as well. The server itself reads an SQL body: its validator parses and analyses each statement, and
``debug_print_parse`` shows the trees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.describer import Describer
from plainsql.analysis.nodes import Node, NodeTextError, read_tree
from plainsql.errors import SqlFileError
from plainsql.statements.scanner import scan

__all__ = ["FunctionBodies", "FunctionBody"]

_BODY = """
select p.prosrc, p.prosqlbody::text,
  array(
    select t.oid from unnest(p.proargtypes::oid[]) as t (oid)
    inner join pg_catalog.pg_type as y on y.oid = t.oid
    where y.typname like 'any%%' and y.typnamespace = 'pg_catalog'::regnamespace
  ) <> '{}',
  (select c.value from pg_catalog.pg_options_to_table(p.proconfig) as c (name, value)
   where c.name = 'search_path')
from pg_catalog.pg_proc as p where p.oid = %s
"""

# A word that is called, with its quotes if it has any; and any other word.
_CALLED = re.compile(r'(?:"((?:[^"]|"")+)"|([^\W\d][\w$]*))\s*\(')
_ESCAPED = re.compile(r'\bu&\s*"', re.IGNORECASE)
_WORD = re.compile(r"[^\W\d][\w$]*")


@dataclass(frozen=True, slots=True)
class FunctionBody:
    """The facts about one body."""

    trees: tuple[Node, ...] = ()
    """The analysed trees of its statements, if it is SQL."""
    called: frozenset[str] = frozenset()
    """The names before a parenthesis, if it is not parsed."""
    words: frozenset[str] = frozenset()
    """All its words in lower case, if it is not parsed."""
    read: bool = True
    """False if the server refuses it."""

    def may_name(self, name: str) -> bool:
        """Return whether a body that is not parsed may have this name in it, quoted or not."""
        return name in self.words or self.words.issuperset(_WORD.findall(name.lower()))


class FunctionBodies:
    """The bodies of a database's functions, read at the first use and kept."""

    def __init__(self, connection: Connection[Any], describer: Describer) -> None:
        self._connection = connection
        self._describer = describer
        self._known: dict[int, FunctionBody | None] = {}

    def of(self, function: Function) -> FunctionBody | None:
        """Return the body of a function; ``None`` for a language that is not read."""
        if function.language not in ("sql", "plpgsql"):
            return None
        if function.oid not in self._known:
            self._known[function.oid] = self._read(function)
        return self._known[function.oid]

    def _read(self, function: Function) -> FunctionBody | None:
        row = self._connection.execute(_BODY, (function.oid,)).fetchone()
        if row is None:
            return FunctionBody(read=False)
        source, standard, polymorphic, path = row
        if function.language == "plpgsql":
            return _named_in(source)
        try:
            if standard is not None:
                trees = [read_tree(standard)]
            elif polymorphic:
                # The validator skips it: its types are known only at a call.
                return _named_in(source)
            else:
                trees = [read_tree(text) for text in self._describer.trees_of_function(function.oid, path)]
        except (psycopg.Error, NodeTextError):
            return FunctionBody(read=False)
        nodes = tuple(_nodes(trees))
        # No tree at all: the server was configured not to check bodies.
        return FunctionBody(trees=nodes, read=bool(nodes))


def _named_in(source: str) -> FunctionBody:
    """Return the names in a body, without its comments."""
    try:
        tokens = scan(source)
    except SqlFileError:
        return FunctionBody(read=False)
    text = " ".join(source[t.start : t.end] for t in tokens if not t.kind.endswith("comment"))
    if _ESCAPED.search(text):
        # A name that is written with escapes is not the name that it looks like.
        return FunctionBody(read=False)
    names = {
        (quoted.replace('""', '"') if quoted else word.lower()) for quoted, word in _CALLED.findall(text)
    }
    return FunctionBody(called=frozenset(names), words=frozenset(_WORD.findall(text.lower())))


def _nodes(values: Any) -> list[Node]:
    """Return the nodes of a value, of lists in lists too: ``begin atomic`` has a list of its statements."""
    if isinstance(values, Node):
        return [values]
    return [node for value in values for node in _nodes(value)] if isinstance(values, list | tuple) else []
