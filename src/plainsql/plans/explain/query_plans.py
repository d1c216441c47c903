"""The plans of a query: for each variant the generic plan, and the plans for typical calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
from psycopg import Connection

from plainsql.errors import BindError, ContractError, Place
from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.server_plans import CachedPlan, PlannedStatement
from plainsql.plans.explain.value_errors import (
    condition_words,
    parameter_types,
    uncomputable,
    unreadable,
    wrong_name,
)
from plainsql.statements import Statement, Variant
from plainsql.statements.batched import batched_sql
from plainsql.statements.server_errors import refusal

__all__ = [
    "MAX_VARIANTS",
    "Call",
    "CallPlan",
    "QueryPlans",
    "VariantPlans",
    "default_text",
    "explain_query",
    "limit_variants",
    "plan_statement",
    "refused",
    "refused_call",
    "variant_name",
]

MAX_VARIANTS: Final = 16
"""The number of variants that are explained unless the caller wants more."""

_DATA_ERRORS: Final = "22"
"""The class of SQLSTATEs of values that a type or a function refuses."""
_VALUE_ERRORS: Final = (_DATA_ERRORS, "23")
"""Those, and values that a constraint refuses when the call is executed."""
_REFUSED_WRITE: Final = "25006"
_CANCELLED: Final = "57014"


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A typical call of a query."""

    name: str
    """``given``, ``example 2``, ``common``, ``rare``, ``absent`` …."""
    values: dict[str, str | None] = {}
    """The text of each parameter's value, as PostgreSQL reads it; ``None`` is null."""
    choices: dict[str, str | bool] | None = None
    """The choices of the call. A call with choices has one variant: that of its parameters. A call without
    (``None``) has values for several variants."""
    place: str = ""
    """The place of the header's line that it is from, as ``path:line:column``."""
    required: bool = False
    """True if a person wrote its values: one that cannot be read is an error."""

    def serves(self, statement: Statement, variant: Variant) -> bool:
        """Report whether it is a call of this variant."""
        if self.choices is None and not variant.parameters:
            return not self.values
        if self.choices is None:
            return all(name in self.values or _has_default(statement, name) for name in variant.parameters)
        chosen = {name: self.choices.get(name, False) for name in variant.choices}
        return chosen == dict(variant.choices) and variant.given == statement.compiled.optional & set(
            self.values
        )


class CallPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The custom plan for a typical call, and the choice of the plan cache."""

    call: str
    plan: PlanNode | None = None
    """``None`` if the server refused a value that was drawn."""
    cached: CachedPlan = "custom"
    """The plan that runs after five calls with these values."""
    error: str = ""
    """The SQLSTATE's name in words if the server refused to plan or to execute the call; it holds no
    value."""
    measured: PlanNode | None = None
    """The plan that runs after five calls, with measured facts; ``None`` if the call was not executed."""

    def running(self, generic: PlanNode) -> PlanNode | None:
        """Return the plan that runs after five calls, measured if it was executed."""
        return self.measured or (generic if self.cached == "generic" else self.plan)


class VariantPlans(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The plans of one variant."""

    name: str
    """The choices and optional parameters of the variant: ``order=cheapest, status``; empty for the only
    one."""
    parameters: tuple[str, ...]
    """The names in the order of ``$n``."""
    generic: PlanNode
    calls: tuple[CallPlan, ...] = ()
    joined: PlanNode | None = None
    """The generic plan of the statement that runs many concurrent calls; ``None`` if there is none."""
    joined_error: str = ""
    """The server's refusal of that statement."""

    @property
    def running(self) -> tuple[tuple[str, PlanNode], ...]:
        """The plans that run after five calls, each with its call; the generic plan if no call is known."""
        plans = ((each.call, each.running(self.generic)) for each in self.calls)
        return tuple((call, plan) for call, plan in plans if plan is not None) or (("", self.generic),)


class QueryPlans(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The plans of a query."""

    name: str
    path: str
    variants: tuple[VariantPlans, ...]
    total_variants: int
    """The number of all variants; more than those explained if they are many."""
    calls: tuple[Call, ...] = ()
    role: str = ""
    """The role as which the query was planned, if not the connection's own."""
    settings: dict[str, str] = {}
    """The tenant's settings with which it was planned."""
    notes: tuple[str, ...] = ()


def explain_query(
    connection: Connection[Any],
    statement: Statement,
    calls: Sequence[Call] = (),
    *,
    joined: bool = False,
    variants: Sequence[Variant] | None = None,
    max_variants: int = MAX_VARIANTS,
    measured: bool = False,
) -> QueryPlans:
    """Return the plans of a query's variants. No statement is executed unless ``measured`` is true.

    Args:
        connection: a connection in autocommit mode or in a transaction. Its role and its settings decide the
            plans: the tenant's setting, ``search_path``, ``hnsw.iterative_scan``.
        statement: the query.
        calls: the typical calls; each is planned for the variants that it serves.
        joined: explain also the statement that runs concurrent calls together.
        variants: the variants to explain; by default all of the statement.
        max_variants: the limit of their number; see ``limit_variants``.
        measured: execute each call, and undo it.

    Raises ``ContractError`` if PostgreSQL refuses the query, with the place in its file, and ``BindError``
    if it cannot read a value of a required call. Only the latter holds a value: one that a person typed.
    """
    every = statement.variants()
    chosen = limit_variants(statement, every if variants is None else variants, max_variants, calls)
    alone = len(every) == 1
    # Otherwise psycopg deallocates all prepared statements when a savepoint is rolled back.
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        found = [
            _explain_variant(
                connection, statement, variant, calls, joined=joined, alone=alone, measured=measured
            )
            for variant in chosen
        ]
    finally:
        connection.prepare_threshold = threshold
    return QueryPlans(
        name=statement.name,
        path=statement.path,
        variants=tuple(found),
        total_variants=len(every),
        calls=tuple(calls),
    )


def limit_variants(
    statement: Statement, variants: Sequence[Variant], count: int, calls: Iterable[Call] = ()
) -> tuple[Variant, ...]:
    """Return at most ``count`` variants in their order, more only if the calls have more.

    The variants of calls with choices are taken, then the last one, which has all optional lines, and then
    the first ones.
    """
    if len(variants) <= count:
        return tuple(variants)
    exact = [call for call in calls if call.choices is not None]
    kept = [each for each in variants if any(call.serves(statement, each) for call in exact)]
    kept += [each for each in (variants[-1], *variants) if each not in kept][: max(count - len(kept), 0)]
    return tuple(each for each in variants if each in kept)


def variant_name(variant: Variant) -> str:
    """Return the choices and the optional parameters of a variant in one line."""
    choices = [
        (name if value else f"no {name}") if isinstance(value, bool) else f"{name}={value}"
        for name, value in variant.choices.items()
    ]
    given = [name for name in variant.parameters if name in variant.given]
    return ", ".join([*choices, *given]) or "no optional lines"


def _explain_variant(
    connection: Connection[Any],
    statement: Statement,
    variant: Variant,
    calls: Iterable[Call],
    *,
    joined: bool,
    alone: bool,
    measured: bool,
) -> VariantPlans:
    with connection.transaction(force_rollback=True):
        planned, generic = plan_statement(connection, statement, variant)
        try:
            plans = [
                _explain_call(connection, planned, statement, variant, call, measured=measured)
                for call in calls
                if call.serves(statement, variant)
            ]
            together, refusal_of_joined = _joined(connection, planned, variant) if joined else (None, "")
        finally:
            planned.close()
    return VariantPlans(
        name="" if alone else variant_name(variant),
        parameters=variant.parameters,
        generic=generic,
        calls=tuple(plans),
        joined=together,
        joined_error=refusal_of_joined,
    )


def plan_statement(
    connection: Connection[Any], statement: Statement, variant: Variant
) -> tuple[PlannedStatement, PlanNode]:
    """Prepare a variant, and return it with its generic plan.

    Raises ``ContractError`` if PostgreSQL refuses it or does not plan its kind.
    """
    try:
        planned = PlannedStatement(connection, variant.sql)
    except psycopg.Error as error:
        raise refused(error, statement, variant) from None
    try:
        return planned, planned.generic()
    except psycopg.errors.SyntaxError:  # it is none without `explain`
        raise ContractError(
            "the statement has no plan",
            place=variant.place(1),
            hint="explain a select, values, insert, update, delete or merge",
        ) from None
    except psycopg.Error as error:
        raise refused(error, statement, variant) from None


def _explain_call(
    connection: Connection[Any],
    planned: PlannedStatement,
    statement: Statement,
    variant: Variant,
    call: Call,
    *,
    measured: bool,
) -> CallPlan:
    values = [call.values.get(name, default_text(statement, name)) for name in variant.parameters]
    found = CallPlan(call=call.name)
    own = _own_settings(statement, call)
    try:
        with connection.transaction(force_rollback=bool(own)):
            _set(connection, statement, own)
            found = CallPlan(call=call.name, plan=planned.custom(values), cached=planned.choice(values))
        if measured:
            with connection.transaction(force_rollback=True):
                _set(connection, statement, own)
                facts = planned.measured(values, found.cached)
            found = msgspec.structs.replace(found, measured=facts)
        return found
    except psycopg.Error as error:
        if call.required or (error.sqlstate or "")[:2] not in _VALUE_ERRORS:
            raise refused_call(connection, error, statement, variant, call) from None
        return msgspec.structs.replace(found, error=condition_words(error))


def _own_settings(statement: Statement, call: Call) -> dict[str, tuple[str, str]]:
    """Return the settings whose values a call gives, each with its parameter and the value."""
    found = {}
    for setting in statement.settings:
        value = call.values.get(setting.parameter) if setting.parameter is not None else None
        # Null leaves the session's value. Each plan is explained for both values of plan_cache_mode.
        if setting.parameter is not None and value is not None and setting.name != "plan_cache_mode":
            found[setting.name] = (setting.parameter, value)
    return found


def _set(connection: Connection[Any], statement: Statement, settings: Mapping[str, tuple[str, str]]) -> None:
    """Set the settings of a call for the open transaction. Raises ``BindError``."""
    for name, (parameter, value) in settings.items():
        try:
            connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])
        except psycopg.Error as error:
            if connection.closed:
                raise
            raise BindError(
                f"{statement.name}: {parameter}: {error.diag.message_primary}", hint=error.diag.message_hint
            ) from None


def _joined(
    connection: Connection[Any], planned: PlannedStatement, variant: Variant
) -> tuple[PlanNode | None, str]:
    try:
        with connection.transaction():
            return PlannedStatement.plan_of(connection, batched_sql(variant, planned.types())), ""
    except psycopg.Error as error:
        return None, error.diag.message_primary or condition_words(error)


def _has_default(statement: Statement, name: str) -> bool:
    bounds = statement.parameter(name).bounds
    return bounds is not None and bounds.has_default


def default_text(statement: Statement, name: str) -> str | None:
    """Return the text of a parameter's default in the header; ``None`` for null, or if it has none."""
    bounds = statement.parameter(name).bounds
    if bounds is None or not bounds.has_default or bounds.default is None:
        return None
    return str(bounds.default).lower() if isinstance(bounds.default, bool) else str(bounds.default)


def refused_call(
    connection: Connection[Any], error: psycopg.Error, statement: Statement, variant: Variant, call: Call
) -> ContractError | BindError:
    """Return the error of a call that the server refuses, with the place of its example, if it is one.

    The message holds the value that cannot be read if a person typed it, unless it is encrypted.
    """
    name = wrong_name(error, variant)
    place = next((each.place for each in statement.examples if str(each.place) == call.place), None)
    if name is not None:
        text = call.values.get(name, default_text(statement, name))
        message, hint = unreadable(
            name,
            parameter_types(connection, variant).get(name),
            text,
            is_shown=call.required and statement.parameter(name).encryption is None,
            in_header=place is not None,
        )
        return BindError(
            f"{statement.name}: {message}", place=place or statement.parameter(name).places[0], hint=hint
        )
    if (error.sqlstate or "").startswith(_DATA_ERRORS):
        return BindError(
            f"{statement.name}: {uncomputable(error, parameter_types(connection, variant))}",
            place=place or Place(statement.path),
            hint="give other values",
        )
    found = refused(error, statement, variant)
    if call.place:
        found.detail = f"the values are those of the example at {call.place}"
    return found


def refused(error: psycopg.Error, statement: Statement, variant: Variant) -> ContractError:
    """Return the error of a text that the server refuses, with its place in the file."""
    said = error.diag
    if said.message_primary is None and error.sqlstate is None:
        raise error  # the connection was lost
    if error.sqlstate == _REFUSED_WRITE:
        return ContractError(
            "the query writes or locks rows, and is not executed",
            sqlstate=error.sqlstate,
            place=Place(statement.path),
            hint="pass --write as well: its changes are undone",
        )
    if error.sqlstate == _CANCELLED:
        return ContractError(
            f"a call was cancelled: {said.message_primary}",
            sqlstate=error.sqlstate,
            place=Place(statement.path),
            hint="allow more time: --timeout SECONDS",
        )
    found = refusal(
        variant,
        said.message_primary or condition_words(error),
        sqlstate=error.sqlstate,
        position=int(said.statement_position) if said.statement_position else None,
        detail=said.message_detail,
        hint=said.message_hint,
    )
    return ContractError(
        f"{found.message} (SQLSTATE {error.sqlstate})",
        sqlstate=error.sqlstate,
        place=found.place,
        detail=found.detail,
        hint=found.hint,
    )
