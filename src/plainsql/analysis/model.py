"""What is known of a statement: facts with the reason for each, and nothing of how they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from plainsql.reach import Change, Dependence

__all__ = [
    "Action",
    "Analysis",
    "Attribute",
    "ColumnFact",
    "ColumnRef",
    "Finding",
    "ParameterFact",
    "PgType",
    "RowCount",
    "TableUse",
    "TypeKind",
    "Volatility",
]

TypeKind = Literal["base", "enum", "domain", "composite", "array", "range", "multirange", "pseudo"]
RowCount = Literal["one", "optional", "many", "none"]
Volatility = Literal["immutable", "stable", "volatile"]
Action = Literal["read", "insert", "update", "delete", "truncate", "cascade"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a composite type."""

    name: str
    type: PgType
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class PgType:
    """A type of the server, with what a Python type is made from."""

    oid: int
    schema: str
    name: str
    """The catalog's name: ``int4``, ``_text``, ``mood``."""
    kind: TypeKind
    element: PgType | None = None
    """Of an array: its element; of a range or multirange: its subtype; of a domain: its base type."""
    labels: tuple[str, ...] = ()
    """Of an enum, in its order."""
    attributes: tuple[Attribute, ...] = ()
    """Of a composite, in order."""
    not_null: bool = False
    """Of a domain: whether it, or a domain below it, refuses null."""
    modifier: int = -1
    """``atttypmod`` where known: the dimension of a ``vector``; -1 otherwise."""

    def __str__(self) -> str:
        """The name as SQL writes it: ``integer``, ``text[]``, ``realty.message_type``."""
        if self.kind == "array" and self.element is not None:
            return f"{self.element}[]"
        name = _SQL_NAMES.get(self.name, self.name) if self.schema == "pg_catalog" else self.name
        if self.modifier >= 0 and self.name in ("vector", "halfvec", "sparsevec"):
            name = f"{name}({self.modifier})"
        return name if self.schema in ("pg_catalog", "public") else f"{self.schema}.{name}"


_SQL_NAMES = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bpchar": "char",
    "varbit": "bit varying",
}


@dataclass(frozen=True, slots=True, order=True)
class ColumnRef:
    """A column of a table: ``realty.leads.email``."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class ParameterFact:
    """What a statement's parameter takes."""

    name: str
    type: PgType
    nullable: bool
    """True if ``None`` is a sensible argument: it lands in a nullable column, or nothing strict meets it."""
    because: str
    """The reason, in one phrase."""
    written_to: tuple[ColumnRef, ...] = ()
    """The columns that it is written into as it is."""
    compared: bool = False
    """True if an operator meets it somewhere."""


@dataclass(frozen=True, slots=True)
class ColumnFact:
    """What a statement's result column holds."""

    name: str
    type: PgType
    nullable: bool
    """False only where it is proved that PostgreSQL cannot return null here."""
    because: str
    """The reason, in one phrase: ``not-null column``, ``left join may not match``."""
    origin: ColumnRef | None = None
    """The table's column it comes from unchanged, if it does."""
    nullable_group: int | None = None
    """Columns that come through the same outer join share a number: they are null together."""
    nullable_in_group: bool = True
    """True if it can be null where the outer join did match; equals ``nullable`` without a group."""
    overridden: bool = False
    """True if the header overrode the answer."""
    position: int = 0
    """Of its alias or expression: 1-based, in characters of the text analysed; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that a statement reads or writes."""

    schema: str
    table: str
    columns: tuple[str, ...] = ()
    """The columns read or written, sorted; empty where the use is of the whole row."""
    action: Action = "read"
    bound: tuple[tuple[str, str], ...] = ()
    """``(column, parameter)`` pairs: every row read or written has ``column = :parameter``."""
    via: str = ""
    """What led here when the statement does not name the table: a view, a foreign key, a trigger."""
    returned: tuple[tuple[str, str], ...] = ()
    """Of a write, ``(column, result)`` pairs: every row written had and has in ``column`` what a row of the
    statement's result says in its column ``result``; with two results, the one or the other."""
    moved: tuple[tuple[str, str], ...] = ()
    """Of an update, ``(column, parameter)`` pairs, two for a column: every row had the one and gets the
    other."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing ``plainsql check`` says of a statement."""

    name: str
    """The finding's name, as ``allow:`` and the documentation write it."""
    message: str
    position: int = 0
    """1-based, in characters of the text that was analysed; 0 where the statement as a whole is meant."""
    hint: str = ""
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is known of one statement (of one variant of it)."""

    parameters: tuple[ParameterFact, ...]
    """In the order of their first appearance."""
    columns: tuple[ColumnFact, ...]
    rows: RowCount
    """How many rows at the most: ``none`` where the statement returns no columns."""
    rows_because: str
    reads: tuple[TableUse, ...] = ()
    writes: tuple[TableUse, ...] = ()
    triggers: tuple[str, ...] = ()
    """``schema.table.trigger`` of each user trigger that the writes may fire."""
    volatility: Volatility = "volatile"
    read_only: bool = False
    """True if it is proved to change nothing."""
    session_safe: bool = False
    """True if it is proved to leave nothing behind in the session."""
    not_read_only: str = ""
    """Why ``read_only`` is not proved, in one phrase; empty where it is."""
    not_session_safe: str = ""
    """Why ``session_safe`` is not proved, in one phrase; empty where it is."""
    row_security: tuple[str, ...] = ()
    """``schema.table`` of each table used that has row-level security: the rows depend on who asks."""
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Tables, and the settings of the session without which row-level security lets nothing of them through:
    ``("shop.orders", ("app.jwt_tenant",))``."""
    settings_read: tuple[str, ...] = ()
    """The settings that anything evaluated reads, by name; ``*`` where a name is not known."""
    opaque: tuple[str, ...] = ()
    """Functions, triggers, rules and statements that may read or write tables that are not listed here."""
    by_key: bool = False
    """True if it finds at most one row by a unique key that its parameters are compared with, and nothing
    else depends on them: concurrent calls of it may run as one statement.
    """
    lost_by_joining: str = ""
    """What its plan would lose if concurrent calls ran as one statement, in one phrase."""
    findings: tuple[Finding, ...] = field(default=())
    dependences: tuple[Dependence, ...] = ()
    """The rows that its result depends on."""
    changes: tuple[Change, ...] = ()
    """The rows that it may change; one for each table."""
    caching: tuple[Finding, ...] = ()
    """Findings that count only where results are cached: this statement's, or, of ``hidden-writes``, any."""
