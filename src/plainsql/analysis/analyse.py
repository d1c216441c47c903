"""One statement in, all that is known of it out."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from psycopg import Connection, pq

from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.describe import Probe
from plainsql.analysis.model import Analysis, ColumnFact, ParameterFact
from plainsql.analysis.reader import Node, read_tree

__all__ = ["Analyser"]


class Analyser:
    """Analyses statements against the schema that a connection sees. Nothing is executed.

    The connection is the analyser's own until it closes: its settings change, and where no transaction is open it
    is set to autocommit. The catalogue is read once; after a migration make a new analyser.

    Raises:
        ContractError: the server is older than PostgreSQL 16.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._autocommit = connection.autocommit
        if connection.info.transaction_status == pq.TransactionStatus.IDLE:
            connection.autocommit = True
        self.catalogue = Catalogue(connection)
        self._probe = Probe(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back as it was."""
        self._probe.close()
        if self._connection.info.transaction_status == pq.TransactionStatus.IDLE:
            self._connection.autocommit = self._autocommit

    def analyse(self, sql: str, parameters: tuple[str, ...] = ()) -> Analysis:
        """Say all that can be proved of a statement with ``$n`` parameters; ``parameters`` names them in order.

        Raises:
            RefusedError: PostgreSQL refuses the statement; a ``ContractError`` with ``sqlstate`` and ``position``.
        """
        described = self._probe.describe(sql)
        names = [*parameters, *(f"${n + 1}" for n in range(len(parameters), len(described.parameters)))]
        tree = read_tree(described.trees[0]) if described.trees else None
        return Analysis(
            parameters=tuple(
                ParameterFact(name, self.catalogue.type(oid), True, "not looked at yet")
                for name, oid in zip(names, described.parameters, strict=False)
            ),
            columns=tuple(
                ColumnFact(
                    column.name,
                    self.catalogue.type(column.type, column.modifier),
                    *self._nullable(tree, i, column.table, column.number),
                    origin=self.catalogue.column(column.table, column.number),
                )
                for i, column in enumerate(described.columns)
            ),
            rows="many" if described.columns else "none",
            rows_because="not looked at yet",
        )

    def _nullable(self, tree: Any, i: int, table: int, number: int) -> tuple[bool, str]:
        if not isinstance(tree, Node) or not table:
            return True, "not proved"
        entries = [e for e in tree.nodes("returningList") or tree.nodes("targetList") if not e.flag("resjunk")]
        expression = entries[i].node("expr") if i < len(entries) else None
        relation = self.catalogue.relation(table)
        if expression is None or expression.kind != "VAR" or relation is None or tree.items("groupingSets"):
            return True, "not proved"
        if expression.bits("varnullingrels") or tree.node("setOperations") is not None:
            return True, "not proved"
        proved, because = self.catalogue.column_is_not_null(relation, number)
        entry = tree.nodes("rtable")[expression.number("varno") - 1]
        if entry.number("relid") != table or expression.number("varreturningtype"):
            return True, "not proved"
        return not proved, because
