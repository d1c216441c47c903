"""The rounds of an embedding job: which step comes next, and what its answer means. They know no driver.

A worker of the job runs *rounds*. Each round is one transaction: read rows, embed their texts, write the
vectors. `embedding_job` runs the steps, with a loop for each kind of database.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec

from plainsql.errors import BindError, ContractError, PlainsqlError
from plainsql.query import many

__all__ = [
    "Embed",
    "EmbeddingJob",
    "Failure",
    "Filled",
    "ReadDimension",
    "ReadRows",
    "Refused",
    "Round",
    "RoundFailed",
    "Wait",
    "Write",
    "column_dimensions",
]

_LONGEST_WAIT_S: Final = 60.0


class Failure(msgspec.Struct, frozen=True, eq=False):
    """A row whose text could not be embedded."""

    key: Any
    """The value of the row's key; a tuple if the key has several columns."""
    error: Exception
    """The last error."""

    def __repr__(self) -> str:
        # The text of an error that is not ours may hold the text of the row.
        return f"Failure({type(self.error).__name__})"


class Filled(msgspec.Struct, frozen=True, eq=False):
    """The report of ``fill``: what this call has done. Other workers count for themselves."""

    done: int
    """The number of embeddings that are stored."""
    failures: tuple[Failure, ...]
    """The rows whose text could not be embedded: the next call tries them again."""
    seconds: float
    """The time since the call began."""

    @property
    def failed(self) -> int:
        """The number of rows whose text could not be embedded."""
        return len(self.failures)

    def __repr__(self) -> str:
        return f"Filled(done={self.done}, failed={self.failed}, seconds={self.seconds:.1f})"


# -- Steps ------------------------------------------------------------------------------------------------


class Wait(NamedTuple):
    """A pause between rounds, in which no row is held."""

    seconds: float


class Round(NamedTuple):
    """One transaction over at most ``size`` rows."""

    size: int


class ReadRows(NamedTuple):
    """A call of the list query; its answer is the rows."""

    parameters: Mapping[str, Any]


class ReadDimension(NamedTuple):
    """A call of ``column_dimensions``; its answer is a list of numbers."""

    tables: list[str]
    column: str


class Embed(NamedTuple):
    """A call of the embedding function; its answer is what it returns, or ``Refused``."""

    texts: list[str]


class Write(NamedTuple):
    """A batch of the set query; its answer is the list of results."""

    sets: list[dict[str, Any]]


class Refused(NamedTuple):
    """The answer of ``Embed`` if the function failed."""

    error: Exception


class RoundFailed(Exception):  # noqa: N818 - it ends the transaction, and no caller sees it
    """The texts of a round could not be embedded: its transaction is rolled back."""

    def __init__(self, keys: list[Any], error: Exception) -> None:
        super().__init__()
        self.keys = keys
        self.error = error


Steps = Generator[ReadRows | ReadDimension | Embed | Write, Any, int]
"""The steps of one round; they return the number of rows that it was about."""
Rounds = Generator[Wait | Round, "int | RoundFailed | None", None]


@many[int, Any](
    "plainsql.vector.column_dimensions",
    "vector/embedding_rounds.py",
    1,
    """\
select distinct a.atttypmod as dimension
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_type as t on a.atttypid = t.oid
where
  a.attrelid = any(array(select to_regclass(n.name) from unnest(:tables::text[]) as n (name)))
  and a.attname = :column
  and t.typname = any('{vector,halfvec,sparsevec}')
  and a.atttypmod > 0""",
    read_only=True,
    session_clean=True,
)
def column_dimensions(*, tables: list[str], column: str) -> tuple[Any, ...]:
    """The dimensions that the columns of this name have in the tables."""
    return (tables, column)


# -- The job ----------------------------------------------------------------------------------------------


class _Pace:
    """The rate limit: a slot for each call of the embedding function, at equal distances."""

    def __init__(self, rate: float | None) -> None:
        self._distance = 0.0 if rate is None else 1 / rate
        self._next = 0.0

    def reserve(self) -> float:
        """Reserve the next slot, and return the seconds until it begins."""
        now = time.monotonic()
        begins = max(now, self._next)
        self._next = begins + self._distance
        return begins - now


@dataclass
class EmbeddingJob:
    """One call of ``fill``: its options, and what its workers have done so far."""

    list_query: Any
    set_query: Any
    batch: int
    rate: float | None
    attempts: int
    backoff: float
    max_failed: int
    dimension: int | None
    key: tuple[str, ...]
    text: str
    embedding: str
    parameters: Mapping[str, Any]
    report: Callable[[Filled], object] | None

    done: int = 0
    _failed: dict[Any, Exception] = field(default_factory=dict)
    _is_proved: bool = False
    """True when the list query was seen not to list a row that the set query has written."""
    _is_read: bool = False
    """True when the dimension of the column was read."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._pace = _Pace(self.rate)
        # The largest page that a round may read, as failed rows come before the others.
        try:
            self.list_query.compiled.bind((), self._page(self.batch + self.max_failed))
        except BindError as error:
            error.detail = (
                f"fill reads up to {self.batch + self.max_failed} rows at a time: batch={self.batch} and the "
                f"failed ones, max_failed={self.max_failed}"
            )
            error.hint = error.hint or "pass a smaller batch or max_failed"
            raise

    def filled(self) -> Filled:
        """Return the report of what is done so far."""
        failures = tuple(Failure(key, error) for key, error in self._failed.items())
        return Filled(self.done, failures, time.monotonic() - self._began)

    # The rounds of a worker -----------------------------------------------------------------------------

    def rounds(self) -> Rounds:
        """Yield the waits and rounds of one worker until there is no row left for it.

        Rows whose texts failed together are tried again, and then one by one: one bad text must not keep the
        others from being embedded. No row is held while it waits.
        """
        attempt = alone = 0
        while True:
            if (seconds := self._pace.reserve()) > 0:
                yield Wait(seconds)
            outcome = yield Round(1 if alone else self.batch)
            if isinstance(outcome, RoundFailed):
                attempt += 1
                if alone or (attempt >= self.attempts and len(outcome.keys) == 1):
                    self._fail(outcome)
                    alone, attempt = max(alone - 1, 0), 0
                elif attempt >= self.attempts:
                    alone, attempt = len(outcome.keys), 0
                else:
                    # Full jitter: workers that failed together do not come back together.
                    yield Wait(random.uniform(0, min(self.backoff * 2**attempt, _LONGEST_WAIT_S)))
            elif outcome:
                alone, attempt = max(alone - 1, 0), 0
            else:
                return
            if self.report is not None:
                self.report(self.filled())

    def _fail(self, outcome: RoundFailed) -> None:
        for key in outcome.keys:
            self._failed[key] = outcome.error
        if len(self._failed) > self.max_failed:
            outcome.error.add_note(
                f"fill: {len(self._failed)} texts could not be embedded, max_failed={self.max_failed}"
            )
            raise outcome.error

    # The steps of a round ---------------------------------------------------------------------------------

    def steps(self, size: int) -> Steps:
        """Yield the steps of one round, and return the number of its rows."""
        limit = size + len(self._failed)
        listed = yield ReadRows(self._page(limit))
        rows = [row for row in listed if self._key(row) not in self._failed][:size]
        if not rows:
            return 0
        if self.dimension is None and not self._is_read:
            self._is_read = True
            tables = [change.table for change in self.set_query.compiled.changes if change.table != "*"]
            found = (yield ReadDimension(tables, self.embedding)) if tables else []
            # Two tables may have a column of the name: which of them is written is not known then.
            self.dimension = found[0] if len(found) == 1 else None
        keys = [self._key(row) for row in rows]
        answer = yield Embed([self._text(row) for row in rows])
        if isinstance(answer, Refused):
            raise RoundFailed(keys, answer.error)
        vectors = self._checked(answer, keys)
        results = yield Write(
            [
                {**self._key_values(row), self.embedding: vector}
                for row, vector in zip(rows, vectors, strict=True)
            ]
        )
        written = [key for key, result in zip(keys, results, strict=True) if result not in (0, None, [])]
        if len(written) < len(keys):
            raise ContractError(
                f"fill: {self.set_query.name} changed no row for a row of {self.list_query.name}",
                hint="both must find a row by the same key; row-level security must allow the change",
            )
        if not self._is_proved:
            still = {self._key(row) for row in (yield ReadRows(self._page(limit)))}
            if still.intersection(written):
                raise ContractError(
                    f"fill: {self.list_query.name} still lists a row after {self.set_query.name}",
                    hint="list the rows whose embedding is null",
                )
            self._is_proved = True
        return len(rows)

    def committed(self, rows: int) -> int:
        """Count the rows of a round whose transaction has committed, and return their number."""
        self.done += rows
        return rows

    # Rows and vectors -------------------------------------------------------------------------------------

    def _page(self, limit: int) -> dict[str, Any]:
        return {**self.parameters, "limit": limit}

    def _key_values(self, row: Any) -> dict[str, Any]:
        return {name: self._column(row, name, "key") for name in self.key}

    def _key(self, row: Any) -> Any:
        values = [*self._key_values(row).values()]
        return tuple(values) if len(values) > 1 else values[0]

    def _text(self, row: Any) -> str:
        text = self._column(row, self.text, "text")
        if not isinstance(text, str):
            raise ContractError(
                f"fill: {self.list_query.name}: expected a text in the column {self.text}, got "
                f"{type(text).__name__}",
                hint="coalesce it to '', or leave such rows out",
            )
        return text

    def _column(self, row: Any, name: str, option: str) -> Any:
        try:
            return getattr(row, name)
        except AttributeError:
            raise BindError(
                f"fill: {self.list_query.name} has no column {name!r}",
                hint=f"name it in the SQL, or pass {option}=",
            ) from None

    def _checked(self, answer: Any, keys: list[Any]) -> list[Any]:
        """Return the vectors, after comparing their number and dimension. Raises ``BindError``."""
        vectors = _as_list(answer)
        if vectors is None or len(vectors) != len(keys):
            got = type(answer).__name__ if vectors is None else f"{len(vectors)}"
            raise BindError(
                f"fill: embed: expected {len(keys)} vectors, one for each text, got {got}",
                hint="return an array of shape (texts, dimension), or a list of vectors",
            )
        for vector in vectors:
            dimension = _dimension(vector)
            if dimension is None:
                raise BindError(
                    f"fill: embed: expected a vector for each text, got {type(vector).__name__}",
                    hint="return an array of shape (texts, dimension), or a list of vectors",
                )
            if self.dimension is None:
                self.dimension = dimension
            if dimension != self.dimension:
                raise BindError(
                    f"fill: embed: expected vectors of {self.dimension} dimensions, got {dimension}",
                    hint="take the model that the column was made for; nothing of this batch is stored",
                )
        if not all(map(_is_finite, vectors)):
            raise RoundFailed(keys, PlainsqlError("fill: embed returned a vector with NaN or infinity"))
        return vectors


def _as_list(value: Any) -> list[Any] | None:
    """Return the vectors of what an embedding function returned; None if it is no list of them."""
    if isinstance(value, str | bytes | Mapping):
        return None
    as_array = getattr(value, "__array__", None)
    try:
        # One conversion for all: the rows of a tensor would each be one.
        return list(as_array() if as_array is not None else value)
    except TypeError:
        return None


def _dimension(vector: Any) -> int | None:
    if isinstance(vector, str | bytes | Mapping):
        return None
    if callable(getattr(vector, "dimensions", None)):  # pgvector's own
        return int(vector.dimensions())
    shape = getattr(vector, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) == 1 else None
    return len(vector) if isinstance(vector, Sequence) else None


def _is_finite(vector: Any) -> bool:
    """Return whether all numbers are finite: the sum of others is not."""
    if callable(getattr(vector, "sum", None)):  # an array's own, which is faster
        return isfinite(float(vector.sum()))
    return isfinite(sum(vector.to_list() if callable(getattr(vector, "to_list", None)) else vector))
