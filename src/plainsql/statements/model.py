"""The values that a SQL file declares: a statement, its parameters, its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from plainsql.errors import Place

if TYPE_CHECKING:
    from decimal import Decimal

    from plainsql.statements.variants import Compiled, Variant

    Number: TypeAlias = int | Decimal
    Constant: TypeAlias = int | Decimal | str | bool | None

__all__ = [
    "DEFAULT_MAX_LAG_S",
    "Allowance",
    "Bounds",
    "CachePolicy",
    "Choice",
    "ColumnHint",
    "Encryption",
    "Example",
    "NamedError",
    "Parameter",
    "QuerySetting",
    "Returns",
    "Statement",
]

DEFAULT_MAX_LAG_S: Final = 10.0
"""The seconds that a replica may be behind if nothing else is said."""

ReturnKind: TypeAlias = Literal["one", "optional", "many", "count"]


@dataclass(frozen=True, slots=True)
class Returns:
    """``returns:``: the number of rows, and the type of one."""

    kind: ReturnKind
    row: str | None = None
    """The name of the row type; ``None`` for single values and for a count."""
    copied: bool = False
    """True for ``copied``: the count of the rows that a COPY stores."""

    @property
    def value(self) -> bool:
        """Report whether the result is the single column of a row, not the row."""
        return self.row is None and self.kind != "count"

    def __str__(self) -> str:
        """The form in the header: ``optional Lead``, ``many value``, ``value``, ``count``, ``copied``."""
        if self.kind == "count":
            return "copied" if self.copied else "count"
        if self.row is None:
            return "value" if self.kind == "one" else f"{self.kind} value"
        return f"{self.kind} {self.row}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """``param limit: 1..200 = 5``: the bounds and the default of a parameter."""

    low: Number | None = None
    """The least value, which is allowed; ``None`` for no lower bound."""
    high: Number | None = None
    """The greatest value, which is allowed; ``None`` for no upper bound."""
    default: Constant = None
    has_default: bool = False
    """True if ``default`` is the default: a default may be null."""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Encryption:
    """``encrypted``: the value of a parameter or a column is stored encrypted, bound to its row.

    ``digest of``: the value of a parameter is searched in such a column.
    """

    column: str
    """The column that stores it, as ``schema.table.column``; the value is bound to that, too."""
    keys: tuple[str, ...]
    """The names that identify the row: parameters of the same statement, or fields of the same row."""
    columns: tuple[str, ...]
    """The same as columns of the result: ``channel.id`` for a field of the nested row ``channel``."""
    bound: tuple[str, ...]
    """The same as columns of the table: the value is bound to these."""
    place: Place
    form: str = ""
    """The normal form that is searched: ``exactly``, ``email``, ``phone``; empty if the value is not."""
    scope: tuple[str, ...] = ()
    """The columns of the table that the search digest is bound to."""
    is_search: bool = False
    """True for ``digest of``: a text that is searched, and sent as its digests alone."""

    @property
    def words(self) -> str:
        """The header's words without the keys of the row: ``encrypted, searchable as email``."""
        if not self.form:
            return "encrypted"
        scope = f" ({', '.join(self.scope)})" if self.scope else ""
        form = "exactly" if self.form == "exactly" else f"as {self.form}"
        return f"{'digest' if self.is_search else 'encrypted, searchable'}{scope} {form}"

    @property
    def marks(self) -> tuple[str, ...]:
        """The keys in the form of ``Encrypted``: ``id``, or ``id=user_id`` for a column of another name."""
        pairs = zip(self.bound, self.keys, strict=True)
        return tuple(key if column == key else f"{column}={key}" for column, key in pairs)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ``:name`` of a statement."""

    name: str
    optional: bool
    """True if the statement may run without it: it is only on optional lines or lines of a choice."""
    places: tuple[Place, ...]
    """All its places, in the order of the text; at least one."""
    bounds: Bounds | None = None
    encryption: Encryption | None = None
    type: str | None = None
    """The Python type that the header gives it, as written: ``shop.types.CustomerId``."""
    description: str = ""
    """The text after the two dashes of its ``param`` line."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that chooses lines (``--? order=cheapest``, ``--? only_open``) and is not sent."""

    name: str
    values: tuple[str | bool, ...]
    """At least two, in the order of the text; ``(False, True)`` for a flag."""
    default: str | bool | None
    """``False`` for a flag without a default in the header."""
    place: Place
    """The place of its first mark."""
    description: str = ""
    """The text after the two dashes of its ``param`` line."""

    @property
    def is_flag(self) -> bool:
        """Report whether it is true or false, and its lines are those of true."""
        return isinstance(self.values[0], bool)


@dataclass(frozen=True, slots=True)
class ColumnHint:
    """``column NAME: …``: facts that the author knows better than the analysis."""

    name: str
    type: str | None
    """The Python type as written: ``whatsapp.Payload``, ``list[whatsapp.Item]``."""
    nullable: bool | None
    """``None`` leaves it to the analysis."""
    place: Place
    encryption: Encryption | None = None
    description: str = ""
    """The text after the two dashes."""
    elements: bool | None = None
    """True if elements of its array may be null, False if none is; ``None`` leaves it to the analysis."""

    @property
    def not_null(self) -> tuple[str, ...]:
        """Return the names of what it calls not null: the column, and ``tags[]`` for its elements."""
        names = [self.name] if self.nullable is False else []
        return (*names, f"{self.name}[]") if self.elements is False else tuple(names)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """``cache: 5m``: how long a read may be answered without PostgreSQL. All times are in seconds."""

    ttl: float
    local: float | None = None
    """The time that the tier in the process may keep an entry; ``None`` turns that tier off."""
    stale: float | None = None
    """The time after ``ttl`` in which an entry is served while one caller refreshes it; ``None`` for none."""
    negative: bool = True
    """True if "no row" is cached, too."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """``allow: FINDING: REASON``: a finding of the check that the author accepts, with the reason."""

    finding: str
    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class Example:
    """``example: id = 42, state = 'open'``: the values of a typical call."""

    values: tuple[tuple[str, Constant], ...]
    """Names with their values, in the order of the line."""
    place: Place

    @property
    def text(self) -> str:
        """The values as the header has them: ``id = 42, state = 'open'``."""
        return ", ".join(f"{name} = {_constant_text(value)}" for name, value in self.values)


def _constant_text(value: Constant) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class NamedError:
    """``error customers_email_key: EmailTaken``: the class of the error if the constraint is violated."""

    constraint: str
    """The name of the constraint, or of the unique index, as the server reports it."""
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class QuerySetting:
    """``set: hnsw.ef_search = :ef``: a setting of the server that this statement alone runs with."""

    name: str
    """The name in lower case."""
    value: str | None
    """The value as the server reads it; ``None`` if a parameter has it."""
    parameter: str | None
    """The parameter that has the value."""
    place: Place
    value_place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL file: one query, its header read and its text compiled."""

    name: str
    """The name, made from the path: ``realty.leads.get_by_id``."""
    path: str
    """The file as the user knows it; the first part of every place."""
    source: str
    r"""The text of the whole file, with line ends as ``\n``."""
    description: str
    """The comment at the top, without its marks; empty lines divide its paragraphs. May be empty."""
    returns: Returns
    parameters: tuple[Parameter, ...]
    """In the order of their first places in the text."""
    choices: tuple[Choice, ...]
    columns: tuple[ColumnHint, ...]
    cache: CachePolicy | None
    allow: tuple[Allowance, ...]
    autobatch: bool
    """False if ``autobatch: off`` forbids that concurrent calls share a round trip."""
    body: str
    """The statement with ``:name``, without the header and the closing semicolon."""
    body_line: int
    """The 1-based line of the file at which ``body`` begins."""
    compiled: Compiled
    examples: tuple[Example, ...] = ()
    errors: tuple[NamedError, ...] = ()
    paged: bool = False
    """True if ``page: key`` declares pages."""
    deprecated: str = ""
    """The text of the ``deprecated`` line; empty if the query is not deprecated."""
    settings: tuple[QuerySetting, ...] = ()
    """The settings of the ``set`` lines, in their order."""
    setting_parameters: tuple[Parameter, ...] = ()
    """The parameters that the text does not have, and only settings take."""
    replica: float | None = None
    """The seconds that a replica may be behind for it to run there; None if it runs on the primary."""

    @property
    def encryptions(self) -> tuple[Encryption, ...]:
        """The encrypted and searched parameters, then the encrypted columns; most statements have none."""
        of_all = [parameter.encryption for parameter in self.parameters]
        of_all += [hint.encryption for hint in self.columns]
        return tuple(encryption for encryption in of_all if encryption is not None)

    @property
    def module(self) -> str:
        """The module, which is the folder: ``realty.leads``; empty for a file at the top."""
        return self.name.rpartition(".")[0]

    @property
    def function(self) -> str:
        """The last part of the name: ``get_by_id``."""
        return self.name.rpartition(".")[2]

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of that name.

        Raises ``KeyError`` if there is none.
        """
        for parameter in (*self.parameters, *self.setting_parameters):
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    def variant(self, given: Iterable[str] = (), choices: Mapping[str, str | bool] | None = None) -> Variant:
        """Return the text to send for these optional parameters and choices.

        See :meth:`Compiled.variant`.
        """
        return self.compiled.variant(given, choices)

    def variants(self) -> tuple[Variant, ...]:
        """Return every text of this statement. See :meth:`Compiled.variants`."""
        return self.compiled.variants()
