"""The functions that the expressions of a statement call, with their effects: proved harmless, or not.

The evaluator follows the functions that a tree names, and those that it does not: support functions of
aggregates, operator classes, checks and defaults of domains, default arguments, the bodies of functions. An
unknown kind of node, or an unknown reference in the catalog, ends every proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from plainsql.analysis.catalog.function_bodies import FunctionBody
from plainsql.analysis.catalog.implicit_functions import operators_of_node
from plainsql.analysis.catalog.policies import setting_name
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.safe_functions import hides_tables, leaves_no_state, only_reads
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects, Evaluated
from plainsql.analysis.effects.node_kinds import is_known, makes_values, types_in
from plainsql.analysis.nodes import Node, NodeTextError, read_tree
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Command

__all__ = ["Evaluator"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIME_TYPE_OIDS = (1082, 1114, 1184, 1266)
"""``date``, ``timestamp`` with and without time zone, ``timetz``."""
_SEQUENCES = ("nextval", "setval", "currval", "lastval")
_RTE_KIND_COUNT = 10
"""``RTEKind`` counts from 0 to ``RTE_GROUP``."""
# They take the name of a type as text, and read a value of that type.
_READ_TYPE_BY_NAME = ("pg_input_is_valid", "pg_input_error_info")
# They show all settings, or one whose name is not a constant.
_SHOW_SETTINGS = ("pg_show_all_settings",)
_CLOCK_WORDS = _names(
    """
    now current_timestamp current_date current_time localtime localtimestamp statement_timestamp
    transaction_timestamp clock_timestamp timeofday
    """
)


class Evaluator:
    """The evaluator: it follows everything that is evaluated and records in ``effects`` what that does.

    It calls ``read`` for each table that a sub-select at any depth reads, with the object that led there.
    ``declared`` returns whether a function's comment lists the tables that it ``reads`` or ``writes``.
    """

    def __init__(
        self,
        catalog: Catalog,
        effects: Effects,
        read: Callable[[Relation, str], None],
        declared: Callable[[Function, Literal["reads", "writes"]], bool],
    ) -> None:
        self._catalog = catalog
        self._implicit = catalog.implicit_functions
        self._effects = effects
        self._read = read
        self._declared = declared
        self._texts: set[str] = set()
        self._planned: set[str] = set()
        self._functions: set[int] = set()
        self._types: set[tuple[int, bool]] = set()

    def query(self, query: Node, via: str) -> None:
        """Follow one query of the statement; the queries inside it are followed separately."""
        self._trees(query.children(), via, skip_queries=True)

    def expression(self, text: str, via: str = "an expression of the schema") -> None:
        """Follow an expression of the catalog in the server's node format, once."""
        if text in self._texts:
            return
        self._texts.add(text)
        try:
            value = read_tree(text)
        except NodeTextError:
            value = None
        trees = [value] if isinstance(value, Node) else value
        if not isinstance(trees, list):
            self._effects.may_do_anything(f"{via} that cannot be read")
            return
        self._trees((tree for tree in trees if isinstance(tree, Node)), via, skip_queries=False)

    def planned(self, relation: Relation) -> None:
        """Follow the expressions of a table that the planner computes before it reads any row.

        It calls functions labelled immutable whose arguments are constants, also in bodies that it inlines.
        """
        texts = self._implicit.planned.get(relation.oid, set()) - self._planned
        self._planned |= texts
        for text in texts:
            try:
                value = read_tree(text)
            except NodeTextError:
                value = None
            for tree in value if isinstance(value, list) else [value]:
                if not isinstance(tree, Node):
                    self._effects.may_do_anything(f"an expression of {relation} that cannot be read")
                    continue
                self._trees(
                    (node for node in tree.walk() if self._is_computed_early(node)),
                    f"an expression of {relation}",
                    skip_queries=False,
                )

    def function(self, oid: int, via: str) -> None:
        """Follow a function that is called without a node of its own."""
        self._call(oid, None, via)

    def value(self, type_: int, via: str, *, made: bool) -> None:
        """Follow a use of a value of this type; if a value is made, the checks of its domains run."""
        self._type(type_, via, made=made)

    def default(self, type_: int, via: str) -> None:
        """Follow the default of a column's domain, if the column has no default of its own."""
        if (text := self._implicit.defaults.get(type_)) is not None:
            self.expression(text, f"the default of a domain in {via}" if via else "the default of a domain")

    def operators(self, via: str) -> None:
        """Follow all operators and casts: a body in PL/pgSQL may use any of them."""
        for oid in self._implicit.operator_functions:
            self._call(oid, None, via)
        for oid in set[int]().union(*self._implicit.operators.values()):
            function = self._catalog.function(oid)
            # An extension's functions for indexes only compute, volatile by label or not.
            if function is None or not function.extension:
                self._call(oid, None, via)

    def _trees(self, nodes: Iterable[Node], via: str, *, skip_queries: bool) -> None:
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if skip_queries and node.kind == "QUERY":
                continue
            pending.extend(node.children())
            self._node(node, via, hidden=not skip_queries)

    def _node(self, node: Node, via: str, *, hidden: bool) -> None:
        effects = self._effects
        if not is_known(node):
            effects.may_do_anything(f"{node.kind.lower()}, a kind of node that is not known")
        match node.kind:
            case "SQLVALUEFUNCTION":
                effects.at_least("stable")
                effects.evaluated.append(Evaluated(node, None, via))
            case "CONST" if not via and node.number("consttype") in _TIME_TYPE_OIDS:
                # Made from text when the statement was parsed: from 'today', perhaps.
                effects.evaluated.append(Evaluated(node, None, via))
            case "TABLESAMPLECLAUSE":
                effects.evaluated.append(Evaluated(node, None, via))
                self._sample(node, via)
            case "COERCEVIAIO":
                effects.at_least("stable")
            case "NEXTVALUEEXPR":
                effects.may_change("nextval")
                effects.at_least("volatile")
            case "CURRENTOFEXPR":
                effects.may_leave_state("where current of reads a cursor of the session")
            case "WINDOWCLAUSE":
                for name in ("startInRangeFunc", "endInRangeFunc"):
                    if oid := node.number(name):
                        self._call(oid, node, via)
            case "RANGETBLENTRY":
                self._entry(node, via, hidden=hidden)
            case "QUERY":
                self._hidden_query(node, via)
            case _:
                pass
        if (function := called_function(node, self._catalog)) is not None:
            self._call(function, node, via)
        self._unnamed(node, via)

    def _is_computed_early(self, node: Node) -> bool:
        oid = called_function(node, self._catalog)
        function = self._catalog.function(oid) if oid is not None else None
        if function is None:
            return oid is not None
        if function.volatility != "immutable" or function.is_builtin:
            return False
        return function.language == "sql" or not any(part.kind == "VAR" for part in node.walk())

    def _sample(self, node: Node, via: str) -> None:
        """Follow ``tablesample``; the server's own methods only choose rows at random."""
        method = self._catalog.function(node.number("tsmhandler"))
        if method is None or not method.is_builtin:
            self._call(node.number("tsmhandler"), node, via)
        elif node.node("repeatable") is None:
            self._effects.at_least("volatile")

    def _unnamed(self, node: Node, via: str) -> None:
        """Follow the functions that a node calls and does not name."""
        implicit = self._implicit
        for oid in operators_of_node(node):
            operator = self._catalog.operator(oid)
            if operator is None:
                self._effects.may_do_anything("an unknown operator")
            else:
                self._call(operator.function, node, via)
            self._operator_mates(oid, via)
        if node.kind == "FUNCEXPR" and (given := implicit.arguments.get(node.number("funcid"))) is not None:
            count, defaults = given
            if len(node.items("args")) < count:
                self.expression(defaults, via or "the default of an argument")
        if implicit.types:
            if node.kind == "FUNCEXPR" and self._takes_any_type(node):
                # It may make a value of an argument's type, and return whether it could.
                for argument in node.nodes("args"):
                    for type_ in types_in(argument) & implicit.types.keys():
                        self._type(type_, via, made=True)
            made = makes_values(node)
            for type_ in types_in(node) & implicit.types.keys():
                self._type(type_, via, made=made)

    def _takes_any_type(self, call: Node) -> bool:
        function = self._catalog.function(call.number("funcid"))
        return function is None or "any" in function.arguments

    def _operator_mates(self, operator: int, via: str) -> None:
        """Follow the functions that a plan may use in the place of an operator."""
        for function in self._implicit.operators.get(operator, ()):
            self._call(function, None, via)

    def _entry(self, node: Node, via: str, *, hidden: bool) -> None:
        if not 0 <= node.number("rtekind", -1) < _RTE_KIND_COUNT:
            self._effects.may_do_anything("a kind of range table entry that is not known")
        if not hidden or not node.number("relid"):
            return
        relation = self._catalog.relation(node.number("relid"))
        if relation is None:
            self._effects.may_use_hidden_tables("an unknown table")
        else:
            self._relation(relation, via)

    def _relation(self, relation: Relation, via: str) -> None:
        """Follow a table or a view that is read below the statement."""
        if relation.kind == "v":
            text = self._catalog.view_text(relation.oid)
            if text is None:
                self._effects.may_do_anything(f"view {relation}")
            else:
                self.expression(text, via)
        else:
            self._read(relation, via)

    def _hidden_query(self, node: Node, via: str) -> None:
        if node.number("commandType") != Command.SELECT:
            self._effects.may_do_anything(f"{via} may write")
        elif node.items("rowMarks"):
            self._effects.may_change("row locks")

    def _type(self, type_: int, via: str, *, made: bool) -> None:
        if (type_, made) in self._types or (known := self._implicit.types.get(type_)) is None:
            return
        self._types.add((type_, made))
        for function in known.functions:
            self._call(function, None, via)
        for check in known.checks if made else ():
            self.expression(check, "the check of a domain")

    def _call(self, oid: int, node: Node | None, via: str) -> None:
        effects, function = self._effects, self._catalog.function(oid)
        if function is None:
            effects.may_do_anything("an unknown function")
            return
        if oid in self._implicit.aggregates and oid not in self._functions:
            self._functions.add(oid)
            for support in self._implicit.aggregates[oid]:
                self._call(support, None, via)
        for made in (self._implicit.state_types, self._implicit.signatures):
            for type_ in made.get(oid, ()):
                self._type(type_, via, made=True)
        effects.at_least(function.volatility)
        if function.is_builtin and function.volatility == "immutable":
            return
        self._note(function, node, via)
        if not only_reads(function):
            effects.may_change(f"{function} may write")
        if not leaves_no_state(function, node):
            reads_session = function.is_builtin and function.name in _SEQUENCES
            effects.may_leave_state(
                f"{function} reads what an earlier call left"
                if reads_session
                else f"{function} may leave something behind"
            )
        if hides_tables(function):
            if not self._declared(function, "reads"):
                effects.opaque.add(str(function))
            if not only_reads(function) and not self._declared(function, "writes"):
                effects.may_use_hidden_tables(str(function))
        if not function.is_builtin and function.volatility != "volatile" and oid not in self._functions:
            self._functions.add(oid)
            self._body(function)

    def _note(self, function: Function, node: Node | None, via: str) -> None:
        """Record the inputs of a call in addition to its arguments."""
        if node is not None:
            self._effects.evaluated.append(Evaluated(node, function, via))
        if not function.is_builtin:
            return
        if function.name == "current_setting":
            self._effects.settings_read.add(setting_name(node).lower() or "*")
        elif function.name in _SHOW_SETTINGS:
            self._effects.settings_read.add("*")
        elif function.name in _READ_TYPE_BY_NAME and self._implicit.types:
            self._effects.may_do_anything(f"{function} reads a value of a type that is named by text")

    def _body(self, function: Function) -> None:
        """Take the worse of a function's body and its label."""
        body = self._catalog.body(function)
        if body is None:
            # Only the label is known, and only an immutable function's label excludes that it reads settings.
            if function.volatility != "immutable" and not function.extension:
                self._effects.settings_read.add("*")
        elif not body.read:
            self._effects.may_do_anything(f"the body of {function} cannot be read")
        elif body.trees:
            self._trees(body.trees, f"function {function}", skip_queries=False)
        else:
            self._words(function, body)

    def _words(self, function: Function, body: FunctionBody) -> None:
        """Follow the names in a body that is not parsed: any function or table of that name."""
        effects, via = self._effects, f"function {function}"
        if "execute" in body.words:
            effects.may_do_anything(f"{function} executes text")
        if "current_setting" in body.words or function.volatility != "immutable":
            effects.settings_read.add("*")
        if body.words & _CLOCK_WORDS:
            effects.evaluated.append(Evaluated(None, None, via))
        self.operators(via)
        routines = self._catalog.routines
        # Without a parenthesis too: `(row).f` is a call of `f`.
        for name in body.called | body.words:
            for other in routines.named(name):
                if not other.is_builtin or (other.volatility == "volatile" and name in body.called):
                    self._call(other.oid, None, via)
                    if (given := self._implicit.arguments.get(other.oid)) is not None:
                        self.expression(given[1], via)
        for relation in self._catalog.relations():
            if relation.kind != "S" and body.may_name(relation.name):
                self._relation(relation, via)
        # A variable may have any type: that of a column or of a row.
        for type_ in self._implicit.types:
            self._type(type_, via, made=True)
