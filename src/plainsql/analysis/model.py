"""The facts about a statement, each with its reason; this module does not know how they are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from plainsql.dependencies import Change, Dependency
from plainsql.statements.page_text import PageKey

__all__ = [
    "Action",
    "Analysis",
    "Attribute",
    "ColumnFact",
    "ColumnRef",
    "Finding",
    "Origin",
    "ParameterFact",
    "PgType",
    "RowCount",
    "RowLevel",
    "SettingFact",
    "Shape",
    "ShapeKind",
    "TableUse",
    "TypeKind",
    "Violation",
    "Volatility",
]

TypeKind = Literal["base", "enum", "domain", "composite", "array", "range", "multirange", "pseudo"]
RowCount = Literal["one", "optional", "many", "none"]
ShapeKind = Literal["value", "array", "row", "json", "null", "scalar", "object", "list", "tuple", "map"]
Volatility = Literal["immutable", "stable", "volatile"]
Action = Literal["read", "insert", "update", "delete", "truncate", "cascade"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a composite type."""

    name: str
    type: PgType
    not_null: bool = False
    number: int = field(default=0, compare=False)
    """Its number in PostgreSQL, which counts attributes that were dropped."""


@dataclass(frozen=True, slots=True)
class PgType:
    """A type of the server, with everything that a Python type is made from."""

    oid: int
    schema: str
    name: str
    """The catalog's name: ``int4``, ``_text``, ``mood``."""
    kind: TypeKind
    element: PgType | None = None
    """The element of an array, the subtype of a range or multirange, the base type of a domain."""
    labels: tuple[str, ...] = ()
    """The labels of an enum, in its order."""
    attributes: tuple[Attribute, ...] = ()
    """The attributes of a composite type, in order."""
    not_null: bool = False
    """True if a domain, or a domain below it, refuses null."""
    modifier: int = -1
    """The ``atttypmod`` if it is known, such as the dimension of a ``vector``; -1 otherwise."""

    def __str__(self) -> str:
        """Return the name as SQL writes it: ``integer``, ``text[]``, ``realty.message_type``."""
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


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """One source of a value that is unchanged, or one use of a parameter that gives it the same meaning."""

    columns: tuple[ColumnRef, ...] = ()
    """The column, then the columns below it: a view's, that of its table, that of a partitioned table."""
    references: tuple[ColumnRef, ...] = ()
    """The columns that foreign keys of these refer to, directly or through others: they hold the same values.
    """
    domains: tuple[str, ...] = ()
    """The domain of the value as ``schema.name``, then the domains below it."""


@dataclass(frozen=True, slots=True)
class ParameterFact:
    """The facts about one parameter of a statement."""

    name: str
    type: PgType
    nullable: bool
    """True if ``None`` is a sensible argument: the value goes into a nullable column, or no strict operator
    uses it.
    """
    because: str
    """The reason, in one phrase."""
    written_to: tuple[ColumnRef, ...] = ()
    """The columns into which the statement writes the value unchanged."""
    compared: bool = False
    """True if an operator compares the value."""
    comment: str = ""
    """The comment on the column, if the statement writes the value into one column only."""
    origins: tuple[Origin, ...] = ()
    """The columns that it is compared with or stored in, as one value or as the elements of an array."""
    elements_not_null: bool = False
    """True if all of these columns are never null: an element that is null is stored in none of them."""


@dataclass(frozen=True, slots=True)
class SettingFact:
    """The server's facts about a setting that a query has."""

    name: str
    type: Literal["bool", "integer", "real", "enum", "string"]
    unit: str
    """The unit of a number, such as ``kB`` or ``ms``; empty if it has none."""
    low: int | Decimal | None = None
    """The least value; None without one."""
    high: int | Decimal | None = None
    labels: tuple[str, ...] = ()
    """The values of an enum."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The proved inside of a value: elements of an array, fields of a row, the structure of built JSON.

    ``value``, ``array`` and ``row`` are values of SQL. The others are JSON: ``json`` is any JSON value,
    ``null`` is the constant, and ``scalar`` is a value of ``type`` as JSON has it. An ``object`` has known
    keys, and a ``map`` has keys that only the data knows. A ``tuple`` has elements of different types.
    """

    kind: ShapeKind
    nullable: bool = True
    because: str = ""
    """The reason, in one phrase: ``left join may not match``."""
    type: PgType | None = None
    """The type of an SQL value, or of the value that a ``scalar`` is made from."""
    name: str = ""
    """The name of a field, or the key in an object."""
    parts: tuple[Shape, ...] = ()
    """The fields of a row or an object, the elements of a tuple; else one shape for all elements. A list
    without parts is empty.
    """
    optional: bool = False
    """True if the key may be missing."""
    assumed: bool = False
    """True if nothing is known about null, and the type without null is the one that callers can use."""
    origins: tuple[Origin, ...] = ()
    """All sources of a value; empty if one of them is not known."""


@dataclass(frozen=True, slots=True)
class ColumnFact:
    """The facts about one result column of a statement."""

    name: str
    type: PgType
    nullable: bool
    """False only if it is proved that PostgreSQL cannot return null here."""
    because: str
    """The reason, in one phrase: ``not-null column``, ``left join may not match``."""
    origin: ColumnRef | None = None
    """The table column that it comes from unchanged, if there is one."""
    nullable_group: int | None = None
    """The number of its outer join: columns with the same number are null together."""
    nullable_in_group: bool = True
    """True if it can be null when the outer join has found a match; equals ``nullable`` without a group."""
    overridden: bool = False
    """True if the header overrode the answer."""
    assumed: bool = False
    """True if it is not null by a column that the settings declare so, and by no proof."""
    position: int = 0
    """The position of its alias or expression: 1-based, in characters of the analysed text; 0 if it is not
    known.
    """
    comment: str = ""
    """The comment on the column that it comes from unchanged."""
    origins: tuple[Origin, ...] = ()
    """All sources of its values, or of the elements of its arrays; empty if one of them is not known."""
    shape: Shape | None = None
    """The inside of its values; ``None`` if they have none, or if nothing is known about it."""


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that a statement reads or writes."""

    schema: str
    table: str
    columns: tuple[str, ...] = ()
    """The columns read or written, sorted: all of them for a whole row. Empty if it needs none (``count(*)``,
    a delete), or if they are not known (a function, a trigger).
    """
    action: Action = "read"
    bound: tuple[tuple[str, str], ...] = ()
    """``(column, parameter)`` pairs: every row read or written has ``column = :parameter``."""
    via: str = ""
    """The object that leads here if the statement does not name the table: a view, a foreign key, a trigger.
    """
    returned: tuple[tuple[str, str], ...] = ()
    """``(column, result)`` pairs of a write: in every row written, ``column`` had and has the value of the
    result column ``result``. With two pairs for a column, it had the one value and has the other.
    """
    moved: tuple[tuple[str, str], ...] = ()
    """``(column, parameter)`` pairs of an update, two for a column: every row had the one value and gets the
    other.
    """

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint that a statement's writes may violate."""

    kind: Literal["unique", "foreign key", "check", "not null", "exclusion"]
    name: str
    """The constraint or the unique index; empty for a column that is not null."""
    table: str
    """The table of the constraint, as ``schema.table``."""
    columns: tuple[str, ...] = ()
    """The columns that it reads, sorted."""
    via: str = ""
    """The object that leads here if the statement does not name the table: a view, a foreign key, a trigger.
    """
    deferred: bool = False
    """True if it is checked at the commit."""
    names: tuple[str, ...] = ()
    """The names that the server may report: its own first, then those of the partitions."""

    def __str__(self) -> str:
        return self.name or f"{self.table}.{self.columns[0]}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a statement that ``plainsql check`` reports."""

    name: str
    """The name of the finding, as ``allow:`` and the documentation write it."""
    message: str
    position: int = 0
    """1-based, in characters of the analysed text; 0 if the finding is about the whole statement."""
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    large: str = ""
    """The table, as ``schema.table``, that it is a finding for if production has many rows of it."""
    setting: tuple[str, str] | None = None
    """The setting, and the value, that it is a finding for if a ``set`` line of the header gives it."""


@dataclass(frozen=True, slots=True)
class RowLevel:
    """The rows of one list of child rows, or the parents: the columns that distinguish them."""

    path: str
    """The prefix of its columns, ``orders[].``; empty for the parents."""
    key: tuple[str, ...]
    """The columns by which two of its rows in one parent differ; none of them is null in a row that exists.
    The innermost list of a single chain needs only one column that is not null in every row.
    """
    not_null: tuple[str, ...]
    """The columns of its own that are not null in any row that exists."""
    because: str
    """The reason, in one phrase: ``the unique key orders_pkey (id)``."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """All facts about one variant of a statement."""

    parameters: tuple[ParameterFact, ...]
    """The parameters in the order of their first appearance."""
    columns: tuple[ColumnFact, ...]
    rows: RowCount
    """The greatest number of rows; ``none`` if the statement returns no columns."""
    rows_because: str
    reads: tuple[TableUse, ...] = ()
    writes: tuple[TableUse, ...] = ()
    triggers: tuple[str, ...] = ()
    """``schema.table.trigger`` of each user trigger that the writes may fire."""
    volatility: Volatility = "volatile"
    read_only: bool = False
    """True if the statement is proved to change nothing."""
    session_safe: bool = False
    """True if the statement is proved to leave nothing behind in the session."""
    not_read_only: str = ""
    """The reason why ``read_only`` is not proved, in one phrase; empty if it is."""
    not_session_safe: str = ""
    """The reason why ``session_safe`` is not proved, in one phrase; empty if it is."""
    row_security: tuple[str, ...] = ()
    """``schema.table`` of each used table that has row-level security: its rows depend on the session."""
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Tables, each with the settings that row-level security requires before it shows any row:
    ``("shop.orders", ("app.jwt_tenant",))``.
    """
    settings_read: tuple[str, ...] = ()
    """The names of the settings that any evaluated expression reads; ``*`` if a name is not known."""
    opaque: tuple[str, ...] = ()
    """Functions, triggers, rules and statements that may read or write tables that are not listed here."""
    by_key: bool = False
    """True if the statement finds at most one row by a unique key that it compares with its parameters, and
    nothing else depends on them. Concurrent calls of it may then run as one statement.
    """
    lost_by_batching: str = ""
    """The loss in its plan if concurrent calls ran as one statement, in one phrase; empty if there is none.
    """
    findings: tuple[Finding, ...] = field(default=())
    dependencies: tuple[Dependency, ...] = ()
    """The rows that the result depends on."""
    changes: tuple[Change, ...] = ()
    """The rows that the statement may change; one entry for each table."""
    violations: tuple[Violation, ...] = ()
    """The constraints that its writes may violate, in the order of tables and names."""
    page_keys: tuple[PageKey, ...] = ()
    """The columns of a total order of its rows, all of them selected."""
    not_paged_because: str = ""
    """The reason why ``page_keys`` is empty, in one phrase."""
    in_order: bool = False
    """True if the rows are proved to come back in the same order each time."""
    caching: tuple[Finding, ...] = ()
    """Findings that count only if results are cached: the statement's own, or any query's for
    ``hidden-writes``.
    """
    levels: tuple[RowLevel, ...] = ()
    """The parents and the lists of child rows that are proved; empty without child rows. ``rows`` then
    counts parents.
    """
    contiguous: bool = False
    """True if the rows of each parent are proved to follow one another, by the order or by their number."""
