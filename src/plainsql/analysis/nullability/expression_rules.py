"""The rules for expressions: operators, functions, ``case`` and constructors that cannot be null."""

from __future__ import annotations

from collections.abc import Callable

from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.aggregate_rules import aggregate_verdict, window_verdict
from plainsql.analysis.nullability.nonnull_functions import extract_handles_infinity, never_null
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.verdict import Context, Verdict, first_nullable, never, nullable
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Sublink

__all__ = ["cast_keeps", "elements_never_null", "expression_verdict"]

_CURRENT_SCHEMA = 14
"""``SVFOP_CURRENT_SCHEMA``: null if the search path names no schema that exists."""

_XML_ELEMENT = 1

_JSON_EXISTS, _JSON_QUERY = 0, 1
"""``JSON_EXISTS_OP`` and ``JSON_QUERY_OP``."""

_JSON_COERCIONS = ("use_io_coercion", "use_json_coercion", "omit_quotes")
"""The fields for which a document becomes another type: the ``null`` of JSON may become null."""

_JSON_DEFAULT = 8
_DOCUMENT_OR_ERROR = (1, 6, 7)
"""The values of ``JsonBehaviorType`` for an error, and for an empty array or object."""

_TRUE_FALSE_OR_ERROR = (1, 3, 4)
"""The values of ``JsonBehaviorType`` for which ``json_exists`` does not give null."""


def expression_verdict(prover: Prover, node: Node, context: Context) -> Verdict:
    """Return whether an expression can be null in its context."""
    if context.left_out and prover.inference.grouping_key(node, context.scope) in context.left_out:
        return nullable("grouping sets leave it out")
    if context.facts.keys and node.kind != "VAR":
        key = prover.inference.key(node, context.scope)
        if key is not None and key in context.facts.keys:
            return never("a condition excludes null")
    rule = _RULES.get(node.kind)
    if rule is None:
        return nullable(f"nothing is known of {node.kind.lower()}")
    return rule(prover, node, context)


def _variable(prover: Prover, node: Node, context: Context) -> Verdict:
    return prover.variable(node, context)


def _constant(prover: Prover, node: Node, context: Context) -> Verdict:
    return nullable("null") if node.flag("constisnull") else never("constant")


def _parameter(prover: Prover, node: Node, context: Context) -> Verdict:
    if not node.number("paramkind") and node.number("paramid") in prover.refusing:
        return never("a parameter that cannot be null")
    return nullable("a parameter may be null")


def _argument(prover: Prover, node: Node, context: Context) -> Verdict:
    arg = node.node("arg")
    return prover.expression(arg, context) if arg is not None else nullable("no argument")


def _cast(prover: Prover, node: Node, context: Context) -> Verdict:
    return _argument(prover, node, context).alone()


def _to_domain(prover: Prover, node: Node, context: Context) -> Verdict:
    if prover.catalog.type(node.number("resulttype")).not_null:
        return never("a cast to a domain that is not null")
    return _cast(prover, node, context)


def _call(prover: Prover, node: Node, context: Context) -> Verdict:
    oid = called_function(node, prover.catalog) or 0
    function = prover.catalog.function(oid)
    args = node.nodes("args")
    if function is None:
        return nullable("an unknown function")
    if node.flag("funcretset") or node.flag("opretset"):
        return prover.returned_set(node, context)
    if function.is_builtin and function.name in ("extract", "date_part"):
        return _extract(prover, node, context)
    if function.is_builtin and function.name == "to_number":
        # An empty format gives null.
        if len(args) == 2 and not _constant_text(args[1]):
            return nullable("to_number by an empty format")
        return first_nullable(prover.expression(arg, context) for arg in args) or never(
            "to_number by a format"
        )
    operator = prover.catalog.operator(node.number("opno")) if node.kind == "OPEXPR" else None
    name = operator.name if operator is not None else function.name
    rule = never_null(prover.catalog, oid, name)
    if rule is None:
        return nullable(f"{name} may return null")
    verdicts = [prover.expression(arg, context) for arg in args]
    if node.flag("funcvariadic") and args:
        # `concat(variadic array)` is null for a null array.
        return first_nullable(verdicts) or never(rule.because)
    if rule.needs == "none":
        return never(rule.because)
    if rule.needs == "any":
        found = None if any(not verdict.nullable for verdict in verdicts) else first_nullable(verdicts)
    elif rule.needs == "all":
        found = first_nullable(verdicts)
    else:
        found = first_nullable(verdicts[i] for i in rule.needs if i < len(verdicts))
    return found or never(rule.because)


def _constant_text(node: Node) -> str:
    value = node.datum("constvalue")
    if node.kind != "CONST" or node.flag("constisnull") or not value or len(value) < 5:
        return ""
    return value[4:].decode("utf-8", "replace")


def _extract(prover: Prover, node: Node, context: Context) -> Verdict:
    args = node.nodes("args")
    function = prover.catalog.function(node.number("funcid"))
    if function is None or len(args) != 2 or not extract_handles_infinity(function, _constant_text(args[0])):
        return nullable("extract from an infinite value")
    return (
        prover.expression(args[1], context).alone()
        if _is_nullable(prover, args[1], context)
        else never("extract, also from an infinite value")
    )


def _is_nullable(prover: Prover, node: Node, context: Context) -> bool:
    return prover.expression(node, context).nullable


def _array_comparison(prover: Prover, node: Node, context: Context) -> Verdict:
    args = node.nodes("args")
    oid = called_function(node, prover.catalog) or 0
    if len(args) != 2 or never_null(prover.catalog, oid) is None:
        return nullable("a comparison that may be null")
    if not elements_never_null(prover, args[1], context):
        return nullable("an element may be null")
    return first_nullable(prover.expression(arg, context) for arg in args) or never(
        "a comparison is true or false"
    )


def elements_never_null(prover: Prover, node: Node, context: Context) -> bool:
    """Return whether an array is known to hold no nulls."""
    if node.kind in ("RELABELTYPE", "ARRAYCOERCEEXPR") and (arg := node.node("arg")) is not None:
        cast = node.node("elemexpr")
        if node.kind == "ARRAYCOERCEEXPR" and (cast is None or not cast_keeps(prover, cast)):
            return False
        return elements_never_null(prover, arg, context)
    if node.kind == "ARRAYEXPR":
        elements = node.nodes("elements")
        if node.flag("multidims"):
            return all(elements_never_null(prover, element, context) for element in elements)
        return not any(_is_nullable(prover, element, context) for element in elements)
    if node.kind == "SUBLINK" and node.number("subLinkType") == Sublink.ARRAY:
        inner = prover.scopes.of_sublink(node, context.scope)
        outputs = prover.outputs(inner, context) if inner is not None else []
        # `array(select …)` of arrays makes an array of more dimensions, with their elements.
        expression = inner.query.outputs[0].node("expr") if inner is not None and outputs else None
        of_arrays = prover.catalog.types.may_be_array(prover.type_of(expression))
        return bool(outputs) and not outputs[0].nullable and not of_arrays
    value = node.datum("constvalue")
    # An array's header: length, dimensions, and the offset of the data if there is a bitmap of nulls, or 0.
    return node.kind == "CONST" and value is not None and len(value) >= 12 and not any(value[8:12])


def cast_keeps(prover: Prover, node: Node) -> bool:
    """Return whether the cast of an array's elements gives no null for a value that is not null."""
    arg = node.node("arg")
    match node.kind:
        case "CASETESTEXPR":
            return True
        case "RELABELTYPE" | "COLLATEEXPR" | "COERCEVIAIO" | "COERCETODOMAIN":
            return arg is not None and cast_keeps(prover, arg)
        case "FUNCEXPR":
            # Constants follow the element: the length, and whether the cast was written out.
            args = node.nodes("args")
            rule = never_null(prover.catalog, node.number("funcid"))
            return rule is not None and bool(args) and cast_keeps(prover, args[0])
        case _:
            pass
    return False


def _boolean(prover: Prover, node: Node, context: Context) -> Verdict:
    args, operator = node.nodes("args"), node.text("boolop")
    if operator == "not":
        return (first_nullable(prover.expression(arg, context) for arg in args)) or never(
            "not of true or false"
        )
    # `x is not null and x > 3` is never null: if the first is not false, the second knows that it is true.
    infer = prover.inference.if_true if operator == "and" else prover.inference.if_false
    inside, waiting = context, args
    while waiting:
        proved = [arg for arg in waiting if not _is_nullable(prover, arg, inside)]
        if not proved:
            return prover.expression(waiting[0], inside).alone()
        for arg in proved:
            inside = inside.with_facts(infer(arg, context.scope))
        waiting = [arg for arg in waiting if arg not in proved]
    return never(f"{operator} of true or false")


def _case(prover: Prover, node: Node, context: Context) -> Verdict:
    inside = context
    # `case x when 1 then …` compares a placeholder for x: facts about the placeholder are not facts about x.
    for branch in node.nodes("args"):
        condition, result = branch.node("expr"), branch.node("result")
        if condition is None or result is None:
            return nullable("a case that is not understood")
        holds = prover.inference.if_true(condition, context.scope)
        verdict = prover.expression(result, inside.with_facts(holds))
        if verdict.nullable:
            return verdict.alone()
        inside = inside.with_facts(prover.inference.if_not_true(condition, context.scope))
    default = node.node("defresult")
    verdict = prover.expression(default, inside) if default is not None else nullable("null")
    if verdict.nullable:
        is_null = default is None or (default.kind == "CONST" and default.flag("constisnull"))
        return nullable("case without an else") if is_null else verdict.alone()
    return never("no branch of the case is null")


def _coalesce(prover: Prover, node: Node, context: Context) -> Verdict:
    verdicts = [prover.expression(arg, context) for arg in node.nodes("args")]
    for verdict in verdicts:
        if not verdict.nullable:
            return never(f"coalesce ends in a value that is never null: {verdict.because}")
    # One side of a full join always exists: `coalesce(a.id, b.id)`, and the column that `using` merges.
    sides = [
        verdict.joins for verdict in verdicts if len(verdict.joins) == 1 and not verdict.nullable_when_matched
    ]
    for (side,) in sides:
        if frozenset({side.other_side()}) in sides:
            return never("one side of the full join is there")
    return nullable("all that coalesce tries may be null")


def _greatest(prover: Prover, node: Node, context: Context) -> Verdict:
    verdicts = [prover.expression(arg, context) for arg in node.nodes("args")]
    if any(not verdict.nullable for verdict in verdicts):
        return never("greatest and least pass nulls over")
    return first_nullable(verdicts) or nullable("nothing to compare")


def _sublink(prover: Prover, node: Node, context: Context) -> Verdict:
    type_ = node.number("subLinkType")
    if type_ == Sublink.EXISTS:
        return never("exists is true or false")
    if type_ == Sublink.ARRAY:
        return never("array(…) of no rows is empty, not null")
    inner = prover.scopes.of_sublink(node, context.scope)
    outputs = prover.outputs(inner, context) if inner is not None else []
    if inner is None or not outputs:
        return nullable("a sub-select")
    if type_ == Sublink.EXPR:
        if not (
            prover.cardinality.at_least_one(inner)
            or prover.cardinality.finds_referenced_row(inner, context.facts)
        ):
            return nullable("a sub-select may find no row")
        return outputs[0].alone()
    if type_ in (Sublink.ANY, Sublink.ALL):
        found = first_nullable(outputs)
        test = node.node("testexpr")
        if found is not None or test is None:
            return nullable("a sub-select's value may be null")
        return _compared_with_rows(prover, test, context)
    return nullable("a sub-select may find no row")


def _compared_with_rows(prover: Prover, test: Node, context: Context) -> Verdict:
    """Return whether a comparison with the columns of a sub-select can be null; none of these is null."""
    # `(a, b) in (select …)` compares column by column.
    for part in test.nodes("args") if test.kind == "BOOLEXPR" else [test]:
        rule = never_null(prover.catalog, called_function(part, prover.catalog) or 0)
        outer = [arg for arg in part.nodes("args") if not _is_of_sub_select(arg)]
        if part.kind != "OPEXPR" or rule is None or len(outer) != 1:
            return nullable("a comparison that may be null")
        if (found := first_nullable(prover.expression(arg, context) for arg in outer)) is not None:
            return found
    return never("compared with rows that are never null")


def _is_of_sub_select(node: Node) -> bool:
    return any(part.kind == "PARAM" and part.number("paramkind") for part in node.walk())


def _json(prover: Prover, node: Node, context: Context) -> Verdict:
    """Return the verdict for ``json_exists``, ``json_query`` and ``json_value``.

    Each gives null for a null document or path. ``json_value`` also gives null for the ``null`` of JSON.
    """
    document, path = node.node("formatted_expr"), node.node("path_spec")
    on_empty, on_error = node.node("on_empty"), node.node("on_error")
    operation = node.number("op", -1)
    if document is None or path is None or on_error is None:
        return nullable("a path may find nothing")
    if operation == _JSON_EXISTS:
        if on_error.number("btype") not in _TRUE_FALSE_OR_ERROR:
            return nullable("json_exists may be unknown")
        because = "json_exists is true or false"
    elif operation == _JSON_QUERY and not any(map(node.flag, _JSON_COERCIONS)):
        for behaviour in (on_empty, on_error):
            if behaviour is None or _gives_null(prover, behaviour, context):
                return nullable("a path may find nothing")
        because = "json_query gives a document or raises an error"
    else:
        return nullable("a path may find nothing")
    return first_nullable(prover.expression(arg, context) for arg in (document, path)) or never(because)


def _gives_null(prover: Prover, behaviour: Node, context: Context) -> bool:
    """Return whether `on empty` or `on error` may give null."""
    if behaviour.number("btype") == _JSON_DEFAULT:
        expression = behaviour.node("expr")
        return behaviour.flag("coerce") or expression is None or _is_nullable(prover, expression, context)
    return behaviour.number("btype") not in _DOCUMENT_OR_ERROR


def _never(because: str) -> Callable[[Prover, Node, Context], Verdict]:
    def rule(prover: Prover, node: Node, context: Context) -> Verdict:
        return never(because)

    return rule


def _may_be_null(because: str) -> Callable[[Prover, Node, Context], Verdict]:
    def rule(prover: Prover, node: Node, context: Context) -> Verdict:
        return nullable(because)

    return rule


def _sql_value(prover: Prover, node: Node, context: Context) -> Verdict:
    if node.number("op") == _CURRENT_SCHEMA:
        return nullable("current_schema may be none")
    return never("the server always has one")


def _row_comparison(prover: Prover, node: Node, context: Context) -> Verdict:
    args = [*node.nodes("largs"), *node.nodes("rargs")]
    found = first_nullable(prover.expression(arg, context) for arg in args)
    if found is not None:
        return found
    for operator in node.numbers("opnos"):
        known = prover.catalog.operator(operator)
        if known is None or never_null(prover.catalog, known.function) is None:
            return nullable("a comparison that may be null")
    return never("a comparison is true or false")


def _xml(prover: Prover, node: Node, context: Context) -> Verdict:
    return (
        never("xmlelement is never null")
        if node.number("op") == _XML_ELEMENT
        else nullable("XML may be null")
    )


def _json_constructor(prover: Prover, node: Node, context: Context) -> Verdict:
    coercion = node.node("coercion")
    if node.number("type") in (1, 2) and (
        coercion is None or coercion.kind in ("RELABELTYPE", "CASETESTEXPR", "COERCEVIAIO")
    ):
        return never("a JSON constructor is never null")
    if node.number("type") in (3, 4) and coercion is None and (function := node.node("func")) is not None:
        return prover.expression(function, context)
    return nullable("a JSON constructor that may be null")


_RULES: dict[str, Callable[[Prover, Node, Context], Verdict]] = {
    "VAR": _variable,
    "CONST": _constant,
    "PARAM": _parameter,
    "FUNCEXPR": _call,
    "OPEXPR": _call,
    "DISTINCTEXPR": _never("is distinct from is true or false"),
    "NULLIFEXPR": _may_be_null("nullif gives null for equal values"),
    "SCALARARRAYOPEXPR": _array_comparison,
    "BOOLEXPR": _boolean,
    "SUBLINK": _sublink,
    "FIELDSELECT": _may_be_null("a field of a composite may be null"),
    "NAMEDARGEXPR": _argument,
    "RELABELTYPE": _argument,
    "COLLATEEXPR": _argument,
    "COERCEVIAIO": _cast,
    "ARRAYCOERCEEXPR": _cast,
    "CONVERTROWTYPEEXPR": _cast,
    "COERCETODOMAIN": _to_domain,
    "CASEEXPR": _case,
    "ARRAYEXPR": _never("an array constructor is never null"),
    "ROWEXPR": _never("a row constructor is never null"),
    "ROWCOMPAREEXPR": _row_comparison,
    "COALESCEEXPR": _coalesce,
    "MINMAXEXPR": _greatest,
    "SQLVALUEFUNCTION": _sql_value,
    "XMLEXPR": _xml,
    "NULLTEST": _never("is null is true or false"),
    "BOOLEANTEST": _never("is true is true or false"),
    "AGGREF": aggregate_verdict,
    "WINDOWFUNC": window_verdict,
    "GROUPINGFUNC": _never("grouping is never null"),
    "MERGESUPPORTFUNC": _never("merge_action is never null"),
    "NEXTVALUEEXPR": _never("a sequence always has a next value"),
    "CURRENTOFEXPR": _never("current of is true or false"),
    "JSONCONSTRUCTOREXPR": _json_constructor,
    "JSONEXPR": _json,
    "JSONISPREDICATE": lambda prover, node, context: (
        prover.expression(expr, context).alone()
        if (expr := node.node("expr")) is not None
        else nullable("is json")
    ),
    "SUBSCRIPTINGREF": _may_be_null("an element that is not there is null"),
}
