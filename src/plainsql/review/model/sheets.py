"""The content of the review: a sheet for each query, table and migration, in plain structs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from plainsql.check.release.release_check import ReleaseBreak
from plainsql.migrate.trace.model import MigrationTrace
from plainsql.plans.explain.observations import Observation
from plainsql.review.changes.change_sheets import Changes

__all__ = [
    "Access",
    "AllowanceNote",
    "Cached",
    "Caller",
    "ColumnSheet",
    "ColumnUsers",
    "FileChange",
    "IncomingKey",
    "IndexSheet",
    "Invalidated",
    "ListSheet",
    "MigrationSheet",
    "Note",
    "ParameterSheet",
    "PlanLine",
    "PlanSheet",
    "PlanUse",
    "PolicySheet",
    "QueryPlanSheet",
    "QuerySheet",
    "ResultColumn",
    "Review",
    "RollbackDifference",
    "RollbackProof",
    "RowLock",
    "SettingSheet",
    "StatementSheet",
    "TableConstraint",
    "TableSheet",
    "TriggerSheet",
]


class Note(Struct, frozen=True):
    """A finding or an error of the check, at its place."""

    name: str
    path: str
    line: int
    message: str
    detail: str | None = None
    hint: str | None = None
    is_error: bool = False


class AllowanceNote(Struct, frozen=True):
    """A finding that is allowed, with the reason."""

    finding: str
    reason: str
    path: str
    """The file that allows it: the query's own, or ``pyproject.toml``."""
    line: int


class Caller(Struct, frozen=True, order=True):
    """A place in the project's Python that uses a query."""

    path: str
    line: int
    text: str
    """The line, without the white space around it."""
    is_test: bool = False


class FileChange(Struct, frozen=True):
    """The last commit that changed a file, and its part of the diff."""

    commit: str = ""
    """The whole hash; empty if no commit is known."""
    author: str = ""
    date: str = ""
    """The time as git writes it: ISO 8601 with the author's offset."""
    subject: str = ""
    diff: tuple[str, ...] = ()
    """The lines of the diff's hunks, ``@@`` lines included."""
    is_cut: bool = False
    """True if the diff is longer than what is kept."""
    uncommitted: bool = False
    """True if the file differs from its last commit."""
    why_unknown: str = ""
    """The reason why no commit is known, in one phrase."""


class ParameterSheet(Struct, frozen=True):
    """A parameter of a query, or a choice of its lines."""

    name: str
    type: str
    """The type of PostgreSQL; the values of a choice."""
    nullable: bool
    because: str
    is_optional: bool = False
    """True if the query may be called without it."""
    default: str | None = None
    bounds: str = ""
    """``1..200``; empty if there are none."""
    is_encrypted: bool = False
    is_choice: bool = False
    written_to: tuple[str, ...] = ()
    """The columns into which the value goes unchanged, as ``schema.table.column``."""


class ListSheet(Struct, frozen=True):
    """The parents of a result, or one of its lists of child rows."""

    name: str
    """``orders[]``; empty for the parents."""
    key: tuple[str, ...]
    because: str


class ResultColumn(Struct, frozen=True):
    """A column of a query's result."""

    name: str
    type: str
    nullable: bool
    because: str
    table: str = ""
    """The table that the column comes from unchanged, as ``schema.table``; empty if there is none."""
    column: str = ""
    is_declared: bool = False
    """True if the header says whether it is nullable."""
    is_assumed: bool = False
    """True if only the settings declare it not null."""
    is_encrypted: bool = False


class Access(Struct, frozen=True):
    """One kind of use of a table by a query, over all its variants."""

    table: str
    """``schema.table``."""
    action: Literal["read", "insert", "update", "delete", "truncate", "cascade"]
    columns: tuple[str, ...]
    """The columns that it reads or writes, sorted."""
    whole_rows: bool
    """True if it uses whole rows."""
    bound: tuple[tuple[str, str], ...] = ()
    """``(column, parameter)`` pairs that hold for all rows that are used, in every variant."""
    compared: tuple[str, ...] = ()
    """The columns that are equal to a parameter in any variant."""
    via: tuple[str, ...] = ()
    """The views, policies, keys or triggers that lead to it, if the statement does not name the table."""


class RowLock(Struct, frozen=True):
    """A lock that a call takes."""

    mode: str
    """``for update``, ``row exclusive``."""
    table: str
    """``schema.table``; the words of the clause if it names an alias."""
    because: str
    on_rows: bool = True
    """False for a lock of the table."""


class Invalidated(Struct, frozen=True):
    """A cached read and a write that makes its results stale."""

    query: str
    """The other query: the read on a write's sheet, the write on a read's."""
    tables: tuple[str, ...]
    by: tuple[str, ...]
    """The columns by which results for other values stay valid; empty if all results become stale."""


class Cached(Struct, frozen=True):
    """The cache of a read."""

    ttl: float | None
    """The time to live in seconds, which the project may set; None if it sets ``off``."""
    depends: tuple[str, ...]
    stale_after: tuple[Invalidated, ...]
    set_by: str = ""
    """The entry of the project that sets the time; empty if it is the header's."""
    header_ttl: float | None = None
    """The header's time, if an entry of the project sets another; else None."""


class SettingSheet(Struct, frozen=True):
    """A setting of the server that a query has."""

    name: str
    value: str
    """The value as the server takes it; ``:name`` for that of a parameter."""
    type: str = ""
    """The server's type of the setting, with its unit; empty if the query is refused."""


class PlanLine(Struct, frozen=True):
    """A node of a plan, with its depth in the tree."""

    depth: int
    label: str
    """``Index Scan``; with the name of its sub-plan in front, if it is one."""
    table: str = ""
    """``schema.table``; the function or the ``with`` item that it reads; empty for neither."""
    alias: str = ""
    index: str = ""
    keys: str = ""
    """The keys that it sorts or groups by."""
    rows: float = 0
    cost: float = 0
    """The cost of the node with those below it."""
    share: int = 0
    """The tenths of the plan's cost that are the node's own."""
    conditions: tuple[tuple[str, str], ...] = ()
    """``(kind, text)`` in the order in which a row passes them."""


class PlanUse(Struct, frozen=True):
    """A typical call that runs a plan."""

    variant: str
    """The choices and the optional parameters; empty for the only variant."""
    call: str
    """``common``, ``rare``, ``absent``, ``example``; empty for the generic plan without a call."""
    cached: str
    """The choice of the plan cache after five calls: ``custom``, ``generic``; ``joined`` for the statement of
    concurrent calls."""


class PlanSheet(Struct, frozen=True):
    """One shape of plan of a query."""

    lines: tuple[PlanLine, ...]
    """The nodes of the most expensive call, parents first."""
    uses: tuple[PlanUse, ...]
    least_cost: float
    most_cost: float
    shown: PlanUse
    """The call whose plan is shown."""


class QueryPlanSheet(Struct, frozen=True):
    """The plans of a query that run after five calls."""

    plans: tuple[PlanSheet, ...]
    observations: tuple[Observation, ...] = ()
    role: str = ""
    """The role as which it was planned, if not the owner's."""
    total_variants: int = 1
    explained_variants: int = 1
    left_out: int = 0
    """The number of further shapes."""


class QuerySheet(Struct, frozen=True):
    """The facts about one query."""

    name: str
    path: str
    source: str
    description: str
    returns: str
    """``optional Lead``, as the header has it."""
    rows: str
    """The number of rows that is proved: ``one``, ``optional``, ``many``, ``none``; empty if the query is
    refused."""
    rows_because: str = ""
    proof: str = ""
    """The unique index that proves the number of rows; empty if none does."""
    proof_table: str = ""
    """Its table, as ``schema.table``."""
    effect: Literal["reads", "writes", "unknown"] = "unknown"
    effect_because: str = ""
    session: str = ""
    """The reason why the session is reset after a call; empty if it is proved to stay clean."""
    volatility: str = ""
    is_by_key: bool = False
    not_batched_because: str = ""
    variants: int = 1
    optional_lines: tuple[int, ...] = ()
    """The lines of the file that may be left out, 1-based."""
    parameters: tuple[ParameterSheet, ...] = ()
    columns: tuple[ResultColumn, ...] = ()
    lists: tuple[ListSheet, ...] = ()
    """The keys of the parents and of their lists of child rows; empty without lists."""
    streams: bool = False
    """True if the rows of each parent are proved to follow one another."""
    accesses: tuple[Access, ...] = ()
    triggers: tuple[str, ...] = ()
    row_security: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """The settings that row-level security requires."""
    own_settings: tuple[SettingSheet, ...] = ()
    """The settings of its ``set`` lines."""
    violations: tuple[str, ...] = ()
    """The constraints that its writes may violate, each with the object that leads there."""
    opaque: tuple[str, ...] = ()
    cached: Cached | None = None
    ends: tuple[Invalidated, ...] = ()
    """The cached reads whose results it makes stale."""
    locks: tuple[RowLock, ...] = ()
    plans: QueryPlanSheet | None = None
    """``None`` if it was not planned."""
    notes: tuple[Note, ...] = ()
    allowances: tuple[AllowanceNote, ...] = ()
    callers: tuple[Caller, ...] = ()
    change: FileChange = FileChange()

    @property
    def module(self) -> str:
        """The folder of the query: ``realty.leads``."""
        return self.name.rpartition(".")[0]

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]


class ColumnUsers(Struct, frozen=True):
    """The queries that read or write a column."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class ColumnSheet(Struct, frozen=True):
    """A column of a table."""

    name: str
    type: str
    not_null: bool
    default: str = ""
    generated: Literal["", "stored", "virtual", "identity"] = ""
    comment: str = ""
    users: ColumnUsers = ColumnUsers()
    keys: tuple[str, ...] = ()
    """The constraints that it is part of."""


class TableConstraint(Struct, frozen=True):
    """A constraint of a table."""

    name: str
    kind: str
    """``primary key``, ``foreign key``, ``unique``, ``check``, ``exclusion``, ``trigger``."""
    definition: str
    columns: tuple[str, ...] = ()
    references: str = ""
    """The table that a foreign key refers to, as ``schema.table``."""
    is_valid: bool = True


class IncomingKey(Struct, frozen=True):
    """A foreign key of another table that refers to this one."""

    name: str
    table: str
    definition: str


class IndexSheet(Struct, frozen=True):
    """An index, with the queries that use it."""

    name: str
    definition: str
    columns: tuple[str, ...]
    """The columns or expressions of its key, in order."""
    method: str
    is_unique: bool = False
    is_primary: bool = False
    is_valid: bool = True
    predicate: str = ""
    proves: tuple[str, ...] = ()
    """The queries whose number of rows it proves."""
    serves: tuple[str, ...] = ()
    """The queries whose conditions it can serve: they compare its first column with a value."""
    supports: tuple[str, ...] = ()
    """The constraints that it enforces, and the foreign keys whose checks it makes fast."""
    plans: tuple[str, ...] | None = None
    """The queries whose plans use it; ``None`` if no plans are known."""
    size_bytes: int | None = None
    needs: tuple[str, ...] = ()
    """The reasons to keep it that are no constraint: ``unique rows``, ``replica identity``, ``cluster``."""
    partitions: tuple[str, ...] = ()
    """The names of the partitions' indexes that belong to it, on all levels."""
    is_attached: bool = False
    """True if it is part of the index of the partitioned table."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons to keep it though no query uses it."""
        return (*self.supports, *self.needs)

    @property
    def users(self) -> tuple[str, ...]:
        """The queries that use it: by their plans if these are known, else by proof and conditions."""
        if self.plans is not None:
            return self.plans
        return tuple(sorted({*self.proves, *self.serves}))


class PolicySheet(Struct, frozen=True):
    """A policy of row-level security."""

    name: str
    command: str
    is_permissive: bool
    roles: tuple[str, ...]
    using: str
    check: str


class TriggerSheet(Struct, frozen=True):
    """A user's trigger."""

    name: str
    definition: str
    is_enabled: bool = True


class TableSheet(Struct, frozen=True):
    """The facts about one table or view."""

    name: str
    """``schema.table``."""
    kind: str
    """``table``, ``partitioned table``, ``view``, ``materialized view``, ``foreign table``."""
    comment: str = ""
    definition: str = ""
    """The query of a view."""
    partition_of: str = ""
    """The partitioned table and the bounds, as they are shown."""
    parent: str = ""
    """The partitioned table that it is a partition of."""
    partition_key: str = ""
    row_security: Literal["", "on", "forced"] = ""
    columns: tuple[ColumnSheet, ...] = ()
    constraints: tuple[TableConstraint, ...] = ()
    referenced_by: tuple[IncomingKey, ...] = ()
    indexes: tuple[IndexSheet, ...] = ()
    policies: tuple[PolicySheet, ...] = ()
    triggers: tuple[TriggerSheet, ...] = ()
    rows: float | None = None
    """The estimated rows of production; ``None`` if its statistics are not there."""
    size_bytes: int | None = None
    queries: tuple[tuple[str, str], ...] = ()
    """Each query that uses it, with its actions as letters: ``R``, ``I``, ``U``, ``D``, ``T``, ``C``."""
    hidden_writers: tuple[str, ...] = ()
    """The triggers and functions that write it; the columns that they set are not known."""
    migrations: tuple[str, ...] = ()
    """The migrations that name it."""

    @property
    def schema(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def is_stored(self) -> bool:
        """True if it has rows of its own."""
        return self.kind in ("table", "partitioned table", "foreign table")

    @property
    def has_own_columns(self) -> bool:
        """True if its columns are its own: not those of a view or of the partitioned table."""
        return self.is_stored and not self.parent

    @property
    def readers(self) -> tuple[str, ...]:
        """The queries that read it."""
        return tuple(query for query, uses in self.queries if "R" in uses)

    @property
    def writers(self) -> tuple[str, ...]:
        """The queries that write it."""
        return tuple(query for query, uses in self.queries if set(uses) - {"R"})

    @property
    def unread(self) -> tuple[ColumnSheet, ...]:
        """The columns that no query reads; none of a view or a partition."""
        return tuple(column for column in self.columns if self.has_own_columns and not column.users.reads)

    @property
    def unwritten(self) -> tuple[ColumnSheet, ...]:
        """The columns that no query writes; none of a view or a partition."""
        return tuple(column for column in self.columns if self.has_own_columns and not column.users.writes)

    @property
    def has_other_writers(self) -> bool:
        """True if other programs fill it: no query inserts, or none writes a column that is not null."""
        return not any("I" in uses for _, uses in self.queries) or any(
            column.not_null and not (column.default or column.generated) for column in self.unwritten
        )

    @property
    def unused_indexes(self) -> tuple[IndexSheet, ...]:
        """The indexes that no query uses; the index of a partitioned table counts for its partitions."""
        return tuple(index for index in self.indexes if not index.users and not index.is_attached)


class StatementSheet(Struct, frozen=True):
    """One statement of a migration."""

    text: str
    line: int
    """The 1-based line of the file at which it begins."""
    tables: tuple[str, ...] = ()
    """The tables that it names, as ``schema.table``."""


class RollbackDifference(Struct, frozen=True):
    """A difference that a migration and its rollback leave, or the error of one of them."""

    text: str
    """The object, what was expected and what was found."""
    is_in_rollback: bool = True
    """True if the rollback is the file to correct, False if the migration is."""


class RollbackProof(Struct, frozen=True):
    """The outcome of a migration that went up, down and up again."""

    kind: Literal["proved", "keeps", "wrong", "none", "unknown"] = "unknown"
    """``keeps`` something on purpose, ``none`` for no rollback, ``unknown`` if it was not run."""
    reason: str = ""
    """The reason of ``keeps`` and ``unknown``."""
    differences: tuple[RollbackDifference, ...] = ()
    """The differences of ``wrong``."""


class MigrationSheet(Struct, frozen=True):
    """One migration with its rollback."""

    name: str
    """``realty/0001_tables``."""
    path: str
    source: str
    is_transactional: bool
    statements: tuple[StatementSheet, ...]
    rollback_path: str = ""
    """Empty if there is no rollback."""
    rollback: str = ""
    proof: RollbackProof = RollbackProof()
    tables: tuple[str, ...] = ()
    """The tables that it names."""
    queries: tuple[str, ...] = ()
    """The queries that use one of them."""
    notes: tuple[Note, ...] = ()
    trace: MigrationTrace | None = None
    """The locks, rewrites and hazards of its statements; ``None`` if it was not traced."""
    breaks: tuple[ReleaseBreak, ...] = ()
    """The queries of the ref that it breaks, the allowed ones too."""
    change: FileChange = FileChange()


class Review(Struct, frozen=True):
    """The content of all pages."""

    project: str
    version: str
    """The version of plainsql."""
    queries: tuple[QuerySheet, ...]
    tables: tuple[TableSheet, ...]
    migrations: tuple[MigrationSheet, ...]
    notes: tuple[Note, ...]
    """The findings and errors of all files."""
    schema_origin: str = ""
    """The setting that makes the schema."""
    remarks: tuple[str, ...] = ()
    """The limits of what the pages say: a shallow clone, no statistics."""
    changes: Changes | None = None
    """The changes since a git ref; ``None`` if none was named."""
    has_history: bool = False
    has_plans: bool = False
    plan_notes: tuple[str, ...] = ()
    """The limits of the plans, one sentence each."""
    statistics_day: str = ""
    """The day of production's statistics, as ``2026-01-31``; empty without statistics."""
    has_sizes: bool = False
