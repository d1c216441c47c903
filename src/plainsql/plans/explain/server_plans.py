"""The plans that the server makes of one text: generic, custom, and the one that its plan cache takes.

No statement is executed, unless a plan is to be measured.

The plan cache of PostgreSQL (``choose_custom_plan`` in ``plancache.c``) plans the first five calls of a
prepared statement for their values. Then it takes the generic plan if that costs less than a custom plan on
average, to which it adds the cost of planning: ``1000 * cpu_operator_cost`` (2.5) for each relation and one
more. The relations are those of the finished plan's range table, which ``explain`` does not show. So the
choice is not computed here: the server makes it, by six times ``explain execute`` of one prepared statement,
and ``pg_prepared_statements`` counts its custom and generic plans.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from psycopg import Connection, RawCursor, pq
from psycopg.errors import error_from_result

from plainsql.plans.explain.plan_tree import PlanNode, read_plan
from plainsql.statements.batched import PARAMETER_TYPES, ParameterType

__all__ = ["CachedPlan", "PlannedStatement"]

CachedPlan: TypeAlias = Literal["custom", "generic"]

_CALLS_UNTIL_CHOICE: Final = 6
"""The cache chooses at the sixth call: ``num_custom_plans < 5`` is a custom plan."""
_NAMES: Final = itertools.count(1)
_OPTIONS: Final = "verbose, format json"


class PlannedStatement:
    """One text with ``$n`` parameters, prepared on a connection for as long as this is open.

    Values are texts in PostgreSQL's form, and ``None`` is null; the server reads them as the parameters'
    types.

    Raises ``psycopg.Error`` if the server refuses the text.
    """

    def __init__(self, connection: Connection[Any], sql: str) -> None:
        self._connection = connection
        self._cursor = RawCursor(connection)
        self._sql = sql
        # A statement that a failed transaction left behind does not have the name of the next one.
        self._name = f"plainsql_explain_{next(_NAMES)}"
        self._prepare()
        described = connection.pgconn.describe_prepared(self._name.encode())
        self.type_oids = tuple(described.param_type(index) for index in range(described.nparams))

    def close(self) -> None:
        """Deallocate the statement, unless the transaction has failed and takes it along."""
        if self._connection.info.transaction_status != pq.TransactionStatus.INERROR:
            self._cursor.execute(f"deallocate {self._name}".encode())
        self._cursor.close()

    @staticmethod
    def plan_of(connection: Connection[Any], sql: str) -> PlanNode:
        """Return the plan of a text for unknown values."""
        # In the simple protocol, `$n` may appear without values.
        return _plan(connection, f"explain (generic_plan, {_OPTIONS})\n{sql}".encode())

    def types(self) -> list[ParameterType]:
        """Return the types of the parameters."""
        rows = self._cursor.execute(PARAMETER_TYPES, [list(self.type_oids)]).fetchall()
        return [ParameterType(*row) for row in rows]

    def generic(self) -> PlanNode:
        """Return the plan for unknown values."""
        return self.plan_of(self._connection, self._sql)

    def custom(self, values: Sequence[str | None]) -> PlanNode:
        """Return the plan for these values: the server gets them as bound parameters.

        A portal marks its parameters as constants, so ``explain`` plans for them as a custom plan does.
        """
        return self.custom_plan_of(self._connection, self._sql, values)

    @staticmethod
    def custom_plan_of(connection: Connection[Any], sql: str, values: Sequence[str | None]) -> PlanNode:
        """Return the plan of a text for these values."""
        return _plan(connection, f"explain ({_OPTIONS})\n{sql}".encode(), values)

    def measured(self, values: Sequence[str | None], cached: CachedPlan) -> PlanNode:
        """Execute the statement, and return the plan of this kind with the measured facts."""
        self._cursor.execute(f"set local plan_cache_mode = force_{cached}_plan".encode())
        call = f"({', '.join(self._literal(value) for value in values)})" if values else ""
        text = f"explain (analyze, buffers, {_OPTIONS}) execute {self._name}{call}"
        plan = _plan(self._connection, text.encode())
        self._cursor.execute("set local plan_cache_mode = auto")
        return plan

    def choice(self, values: Sequence[str | None]) -> CachedPlan:
        """Return the plan that the plan cache takes after five calls with these values."""
        if not self.type_oids:  # a statement without parameters always has a generic plan
            return "generic"
        arguments = [self._literal(value) for value in values]
        self._cursor.execute(f"deallocate {self._name}".encode())
        self._prepare()  # the counts begin at 0
        for _ in range(_CALLS_UNTIL_CHOICE):
            self._cursor.execute(f"explain execute {self._name}({', '.join(arguments)})".encode())
        counted = self._cursor.execute(
            "select p.generic_plans from pg_catalog.pg_prepared_statements as p where p.name = $1",
            [self._name],
        ).fetchone()
        return "generic" if counted is not None and counted[0] else "custom"

    def _literal(self, value: str | None) -> str:
        """Return a value as the server itself quotes it: ``execute`` takes no bound parameters."""
        row = self._cursor.execute("select pg_catalog.quote_nullable($1::text)", [value]).fetchone()
        assert row is not None
        literal: str = row[0]
        return literal

    def _prepare(self) -> None:
        result = self._connection.pgconn.prepare(self._name.encode(), self._sql.encode())
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise error_from_result(result, "utf-8")


def _plan(connection: Connection[Any], text: bytes, values: Sequence[str | None] | None = None) -> PlanNode:
    arguments = None if values is None else list(values)
    row = RawCursor(connection).execute(text, arguments, prepare=False).fetchone()
    assert row is not None
    return read_plan(row[0])
