"""The whole explanation of one query: its typical calls, its plans, and the facts that a DBA looks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from psycopg import Connection

from plainsql.analysis import Analyser
from plainsql.analysis.batched_plans import lost_by_batching
from plainsql.analysis.representative_variants import representative_variants
from plainsql.plans.explain.observations import Observation, observe
from plainsql.plans.explain.planning_session import (
    NO_SETTINGS,
    apply_settings,
    first_plans,
    planning_session,
)
from plainsql.plans.explain.query_plans import MAX_VARIANTS, Call, QueryPlans, explain_query
from plainsql.plans.explain.table_facts import read_facts
from plainsql.plans.explain.typical_calls import drawn_calls, example_calls
from plainsql.statements import Statement, Variant

__all__ = ["ExplainedQuery", "explain_statement", "runs_joined"]


class ExplainedQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The plans of a query, and the observations about them."""

    plans: QueryPlans
    observations: tuple[Observation, ...] = ()


def explain_statement(
    connection: Connection[Any],
    statement: Statement,
    calls: Sequence[Call] = (),
    *,
    search_path: str = "",
    settings: Mapping[str, str] = NO_SETTINGS,
    tenant: Mapping[str, str] | None = None,
    role: str | None = None,
    role_settings: Mapping[str, Mapping[str, str]] | None = None,
    own: bool = False,
    joined: bool | None = None,
    variants: Sequence[Variant] | None = None,
    max_variants: int = MAX_VARIANTS,
    measured: bool = False,
) -> ExplainedQuery:
    """Explain a query. No statement is executed unless its calls are to be measured.

    Args:
        connection: an idle connection in autocommit mode.
        statement: the query.
        calls: the typical calls; by default those of the header's examples, else calls with values that are
            drawn from the statistics.
        search_path: the application's search path; empty for the connection's own.
        settings: other settings of each transaction, such as time limits.
        tenant: the tenant's settings; by default they are drawn from the statistics.
        role: the role to plan as; by default one that row-level security applies to, if the tables have it.
        role_settings: the settings that roles have in production, by the role.
        own: True for a database of plainsql's own, in which a role may be created and undone.
        joined: explain the joined form as well; by default if concurrent calls run joined.
        variants: the variants to explain; by default all of the query.
        max_variants: the limit of the variants.
        measured: execute each call of each variant, and undo it. The plan is the one that runs after five
            calls. The observations are then about the measured plans.

    Raises ``ContractError`` if PostgreSQL refuses the query, ``BindError`` if it cannot read a value of
    ``calls`` or of an example, and ``SettingsError`` if the role cannot be taken.
    """
    notes: list[str] = []
    with connection.transaction(force_rollback=True):
        apply_settings(connection, search_path, settings)
        first_plans(connection, statement)
        if joined is None:
            joined = runs_joined(connection, statement)
        calls = tuple(calls) or example_calls(statement)
        if not calls:
            calls, notes = drawn_calls(connection, statement)
            if measured:  # a variant without parameters has no other call
                calls = (*calls, Call(name="call"))
    with planning_session(
        connection,
        statement,
        search_path=search_path,
        settings=settings,
        tenant=tenant,
        role=role,
        role_settings=role_settings,
        own=own,
    ) as session:
        plans = explain_query(
            connection,
            statement,
            calls,
            joined=joined,
            variants=variants,
            max_variants=max_variants,
            measured=measured,
        )
        every = [
            plan
            for variant in plans.variants
            for plan in (variant.generic, *(plan for _, plan in variant.running), variant.joined)
            if plan is not None
        ]
        facts = read_facts(connection, every)
    plans = msgspec.structs.replace(
        plans, role=session.role, settings=session.settings, notes=(*notes, *session.notes)
    )
    return ExplainedQuery(plans=plans, observations=observe(plans, facts))


def runs_joined(connection: Connection[Any], statement: Statement) -> bool:
    """Report whether concurrent calls of a query may run as one statement.

    Raises ``RefusedError`` if PostgreSQL refuses the query.
    """
    if not statement.autobatch or statement.returns.kind == "count":
        return False
    variants = representative_variants(statement.compiled, statement.variants())
    with Analyser(connection) as analyser:
        for variant in variants:
            analysis = analyser.analyse(variant.sql, variant.parameters)
            if not (analysis.by_key and analysis.read_only and analysis.session_safe):
                return False
    return not any(lost_by_batching(connection, variant) for variant in variants)
