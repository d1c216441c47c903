"""What a SQL file says, as values: a statement, its parameters, what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from plainsql.errors import Place

if TYPE_CHECKING:
    from decimal import Decimal

    from .variants import Compiled, Variant

    Number: TypeAlias = int | Decimal
    Constant: TypeAlias = int | Decimal | str | bool | None

__all__ = [
    "Allowance",
    "Bounds",
    "CachePolicy",
    "Choice",
    "ColumnHint",
    "Encryption",
    "Parameter",
    "Returns",
    "Statement",
]

ReturnKind: TypeAlias = Literal["one", "optional", "many", "count"]


@dataclass(frozen=True, slots=True)
class Returns:
    """``returns:`` how many rows come back, and what one of them is."""

    kind: ReturnKind
    row: str | None = None
    """The name of the row type; ``None`` where single values or a count come back."""

    @property
    def value(self) -> bool:
        """Whether the single column of a row is returned, and not the row."""
        return self.row is None and self.kind != "count"

    def __str__(self) -> str:
        """The form the header has it in: ``optional Lead``, ``many value``, ``value``, ``count``."""
        if self.kind == "count":
            return "count"
        if self.row is None:
            return "value" if self.kind == "one" else f"{self.kind} value"
        return f"{self.kind} {self.row}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """``param limit: 1..200 = 5``: what a parameter's value may be, and is when it is not given."""

    low: Number | None = None
    """The least value, itself allowed; ``None`` where there is none."""
    high: Number | None = None
    """The greatest value, itself allowed; ``None`` where there is none."""
    default: Constant = None
    has_default: bool = False
    """Whether ``default`` counts: a default may be null."""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Encryption:
    """``encrypted``: the value of a parameter or a column is stored encrypted, bound to its row."""

    column: str
    """Where it is stored, as ``schema.table.column``; the value is bound to that, too."""
    keys: tuple[str, ...]
    """What says which row it is: parameters of the same statement, or fields of the same row."""
    columns: tuple[str, ...]
    """The same as columns of the result: ``channel.id`` for a field of the nested row ``channel``."""
    bound: tuple[str, ...]
    """The same as columns of the table, which is what the value is bound to."""
    place: Place

    @property
    def marks(self) -> tuple[str, ...]:
        """The keys as ``Encrypted`` takes them: ``id``, or ``id=user_id`` for a column called otherwise."""
        pairs = zip(self.bound, self.keys, strict=True)
        return tuple(key if column == key else f"{column}={key}" for column, key in pairs)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ``:name`` of a statement."""

    name: str
    optional: bool
    """Whether the statement may run without it: it stands on optional lines or on lines of a choice only."""
    places: tuple[Place, ...]
    """Everywhere it stands, in the order of the text; at least one."""
    bounds: Bounds | None = None
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that chooses lines (``--? order=cheapest``) and is no parameter of the SQL."""

    name: str
    values: tuple[str, ...]
    """At least two, in the order of the text."""
    default: str | None
    place: Place
    """Its first mark."""


@dataclass(frozen=True, slots=True)
class ColumnHint:
    """``column NAME: …``: what the author knows better than the analysis."""

    name: str
    type: str | None
    """The Python type of a JSON column as written: ``whatsapp.Payload``, ``list[whatsapp.Item]``."""
    nullable: bool | None
    """``None``: as the analysis finds it."""
    place: Place
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """``cache: 5m``: how long a read may be answered without PostgreSQL. All times in seconds."""

    ttl: float
    local: float | None = None
    """How long the tier in the process may hold an entry; ``None``: there is no such tier."""
    stale: float | None = None
    """For how long after ``ttl`` an entry is served while one caller refreshes it; ``None``: not at all."""
    negative: bool = True
    """Whether "no row" is cached too."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """``allow: FINDING: REASON``: a finding of the review that the author answers for."""

    finding: str
    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL file: one query, its header read and its text compiled."""

    name: str
    """The path as a name: ``realty.leads.get_by_id``."""
    path: str
    """The file as the user knows it; the first part of every place."""
    source: str
    """The text of the whole file, line ends as ``\\n``."""
    description: str
    """The comment at the top, without its marks; paragraphs parted by an empty line. May be empty."""
    returns: Returns
    parameters: tuple[Parameter, ...]
    """In the order in which they first stand in the text."""
    choices: tuple[Choice, ...]
    columns: tuple[ColumnHint, ...]
    cache: CachePolicy | None
    allow: tuple[Allowance, ...]
    autobatch: bool
    """False if ``autobatch: off`` forbids that concurrent calls share a round trip."""
    body: str
    """The statement itself, with ``:name``, without the header and the closing semicolon."""
    body_line: int
    """The 1-based line of the file at which ``body`` begins."""
    compiled: Compiled

    @property
    def encryptions(self) -> tuple[Encryption, ...]:
        """Of all encrypted parameters, then columns; most statements have none."""
        of_all = [parameter.encryption for parameter in self.parameters]
        of_all += [hint.encryption for hint in self.columns]
        return tuple(encryption for encryption in of_all if encryption is not None)

    @property
    def module(self) -> str:
        """The folder as a module: ``realty.leads``; empty for a file at the top."""
        return self.name.rpartition(".")[0]

    @property
    def function(self) -> str:
        """The last part of the name: ``get_by_id``."""
        return self.name.rpartition(".")[2]

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name.

        Raises ``KeyError`` where there is none.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    def variant(self, given: Iterable[str] = (), choices: Mapping[str, str] | None = None) -> Variant:
        """The text to send when these optional parameters are given and these choices made.

        See :meth:`Compiled.variant`.
        """
        return self.compiled.variant(given, choices)

    def variants(self) -> tuple[Variant, ...]:
        """Every text that this statement can become. See :meth:`Compiled.variants`."""
        return self.compiled.variants()
