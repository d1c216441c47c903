"""Creates valid rows: parents first, then a value for each column that needs one.

Values that a check refuses are replaced in savepoints, until the server accepts the row. The server is the
only judge of a check: no condition is evaluated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import combinations, product
from typing import Any, Final, NamedTuple

from plainsql.copy_rows import quote_name
from plainsql.errors import PlainsqlError
from plainsql.factories.candidate_values import candidates
from plainsql.factories.created_row import CreatedRow
from plainsql.factories.factory_tables import Column, Rule, Table, TypeFacts, read_tables
from plainsql.rows import Row
from plainsql.sqlstate_errors import (
    CheckViolation,
    ExclusionViolation,
    NotNullViolation,
    ServerError,
    UniqueViolation,
)

__all__ = ["Factory", "FactoryError"]

MAX_ATTEMPTS: Final = 600
"""The most inserts that are tried for one row."""


_MAX_JUMP: Final = 1 << 16
"""The most by which the number of a row grows if a key exists already."""


class FactoryError(PlainsqlError):
    """A factory finds no valid row: a value must be given."""


class Factory:
    """Creates valid rows in a database, with the parents that they need.

    Args:
        db: a ``plainsql.sync.Database``, its transaction, or ``plainsql.sync.over(connection)``. Rows are
            committed, unless a transaction is open there. Its role must be allowed to insert: use the owner.
    """

    def __init__(self, db: Any) -> None:
        self._db = db
        self.tables, self.types = read_tables(db)
        self.number = 0
        """The number of the last row: it makes values distinct."""
        self.accepted: dict[int, dict[str, int]] = {}
        """By table: the positions of the values that the server has accepted, among the candidates."""

    def create(self, table: str, /, **given: Any) -> CreatedRow:
        """Insert a row and return it.

        Args:
            table: ``shop.orders``, or a name that the search path finds.
            given: values of columns, and rows that it refers to: ``customer=customer`` for ``customer_id``.

        A column that is not given keeps its default or null, if the constraints of the table allow it.
        Raises ``FactoryError`` if it finds no valid row, and the server's error if a given value is refused.
        """
        found = self._find(table)
        with self._db.transaction() as transaction:
            return _Creation(self, transaction).create(found, given)

    def create_many(self, count: int, table: str, /, **given: Any) -> list[CreatedRow]:
        """Insert ``count`` rows with the same given values, and return them. They share no created parent."""
        return [self.create(table, **given) for _ in range(count)]

    def _find(self, name: str) -> Table:
        for table in self.tables.values():
            if name == table.full_name or (name == table.name and table.is_visible):
                return table
        names = [table.full_name for table in self.tables.values()]
        close = get_close_matches(name, names, 1) or [
            each.full_name for each in self.tables.values() if each.name == name
        ]
        raise FactoryError(
            f"there is no table {name!r}", hint=f"write {close[0]!r}" if close else "write its schema too"
        )


class _Text(NamedTuple):
    """A value as PostgreSQL reads it."""

    text: str


class _Omitted:
    """The column is left out of the insert."""


class _Parent:
    """The columns of a nullable foreign key get the key of a new parent."""


_OMITTED: Final = _Omitted()
_PARENT: Final = _Parent()


class _Slot(NamedTuple):
    """The values that one column, or one foreign key, may get; the first is tried first."""

    name: str
    columns: tuple[str, ...]
    options: list[Any]
    key: Rule | None = None


class _Creation:
    """The creation of one row and of its parents."""

    def __init__(self, factory: Factory, transaction: Any) -> None:
        self._factory = factory
        self._transaction = transaction
        self._pending: dict[int, dict[str, Any]] = {}
        """By table: the values of the rows that are being created, from the first to its parents."""

    def create(self, table: Table, given: Mapping[str, Any]) -> CreatedRow:
        self._factory.number += 1
        values = self._given(table, given)
        chosen = frozenset(values)
        self._pending[table.relation] = values
        try:
            for key in table.foreign_keys:
                if self._needs_parent(table, key, values):
                    self._fill(table, key, values)
            return self._insert(table, values, chosen)
        finally:
            del self._pending[table.relation]

    # What is given ------------------------------------------------------------------------------------

    def _given(self, table: Table, given: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, CreatedRow | Row):
                values |= self._reference(table, name, value)
            elif name in table.columns:
                values[name] = value
            else:
                close = get_close_matches(name, table.columns, 1)
                raise FactoryError(
                    f"{table.full_name} has no column {name!r}",
                    hint=f"write {close[0]!r}" if close else f"its columns are {', '.join(table.columns)}",
                )
        return values

    def _reference(self, table: Table, name: str, row: CreatedRow | Row) -> dict[str, Any]:
        """Return the columns of the foreign key that a given row is the parent of."""
        tables = self._factory.tables
        if isinstance(row, CreatedRow):
            what = f"a row of {row.table}"
            keys = [key for key in table.foreign_keys if tables[key.target].full_name == row.table]
        else:
            what = type(row).__name__
            keys = [
                key for key in table.foreign_keys if all(hasattr(row, each) for each in key.target_columns)
            ]
        found = [key for key in keys if _is_named(key, name)]
        found = found or [key for key in keys if any(each.startswith(f"{name}_") for each in key.columns)]
        if not found and isinstance(row, CreatedRow) and len(keys) == 1:
            found = keys
        if not found and name in table.columns and isinstance(row, Row):
            return {name: row}  # a value of a composite type
        if len({tuple(key.columns) for key in found}) != 1:
            raise FactoryError(
                f"{table.full_name}: {'several' if found else 'no'} foreign "
                f"{'keys fit' if found else 'key fits'} {name}={what}",
                hint="name it after the key's column without its ending: customer=… for customer_id",
            )
        (key, *_) = found
        return {
            column: row[target] if isinstance(row, CreatedRow) else getattr(row, target)
            for column, target in zip(key.columns, key.target_columns, strict=True)
        }

    # Parents ------------------------------------------------------------------------------------------

    def _needs_parent(self, table: Table, key: Rule, values: Mapping[str, Any]) -> bool:
        missing = [name for name in key.columns if name not in values]
        return any(self._is_required(table.columns[name]) for name in missing)

    def _is_required(self, column: Column) -> bool:
        return column.not_null or self._factory.types[column.type].not_null

    def _fill(self, table: Table, key: Rule, values: dict[str, Any]) -> None:
        """Create the parent of a key, or reserve the key of a row that is being created."""
        pairs = list(zip(key.columns, key.target_columns, strict=True))
        if key.target in self._pending:
            pending = self._pending[key.target]
            if key.target != table.relation:
                self._defer(table, key)
            for column, target in pairs:
                if column not in values:
                    if target not in pending:
                        pending[target] = self._reserved(self._factory.tables[key.target], target)
                    values[column] = pending[target]
            return
        parent = self._factory.tables[key.target]
        row = self.create(parent, {target: values[column] for column, target in pairs if column in values})
        for column, target in pairs:
            values[column] = row[target]

    def _defer(self, table: Table, key: Rule) -> None:
        """Let the constraints be checked at the end: the parent is inserted after this row."""
        if not key.is_deferrable:
            circle = [*self._pending, key.target]
            names = [self._factory.tables[each].full_name for each in circle]
            raise FactoryError(
                f"{table.full_name}: {key.name} closes a circle of keys that are not null",
                detail=" → ".join(names),
                hint="make one of them deferrable or nullable, or give an existing row",
            )
        self._transaction.sql("set constraints all deferred")

    def _reserved(self, table: Table, name: str) -> Any:
        """Return the value that a column will have in a row that is not inserted yet."""
        column = table.columns[name]
        sql = self._transaction.sql
        if column.sequence is not None:
            return sql("select nextval(:name::regclass)", type=int, returns="one", name=column.sequence)
        type_ = self._factory.types[column.type]
        if column.default_text is not None:
            text = f"select ({column.default_text})::{type_.sql}::text"
            return _Text(sql(text, type=str, returns="one"))
        return self._options(table, column)[0]

    # The row ------------------------------------------------------------------------------------------

    def _options(self, table: Table, column: Column) -> list[Any]:
        """Return the values that a column may get."""
        factory = self._factory
        rules = [rule.text for rule in table.rules if rule.kind in "cp" and column.name in rule.columns]
        found = candidates(
            factory.types[column.type], column.modifier, column.name, factory.number, rules, factory.types
        )
        return [_Text(text) for text in found]

    def _slots(self, table: Table, values: Mapping[str, Any]) -> dict[str, _Slot]:
        """Return the choices that are left: for columns, and for keys that may be null."""
        slots: dict[str, _Slot] = {}
        in_keys: set[str] = set()
        for key in table.foreign_keys:
            free = tuple(name for name in key.columns if name not in values)
            if free and in_keys.isdisjoint(free):
                in_keys.update(free)
                slots[key.name] = _Slot(key.name, free, [_OMITTED, _PARENT], key)
        for column in table.columns.values():
            if column.name in values or column.name in in_keys or column.is_generated:
                continue
            options = self._options(table, column)
            if column.fills_itself or not self._is_required(column):
                options.insert(0, _OMITTED)
            elif not options:
                raise FactoryError(
                    f"{table.full_name}: {column.name}: no value is known for the type "
                    f"{self._factory.types[column.type].sql}",
                    hint=f"give it: create({table.full_name!r}, {column.name}=…)",
                )
            slots[column.name] = _Slot(column.name, (column.name,), options)
        return slots

    def _insert(self, table: Table, values: dict[str, Any], chosen: frozenset[str]) -> CreatedRow:
        slots = self._slots(table, values)
        positions = dict.fromkeys(slots, 0) | {
            name: position
            for name, position in self._factory.accepted.get(table.relation, {}).items()
            if name in slots and position < len(slots[name].options)
        }
        searches: dict[str, Iterator[dict[str, int]]] = {}
        involved: Rule | None = None
        jump = 1
        for _ in range(MAX_ATTEMPTS):
            try:
                with self._transaction.transaction() as savepoint:
                    row = self._try(savepoint, table, values, slots, positions)
            except (CheckViolation, ExclusionViolation, UniqueViolation, NotNullViolation) as error:
                involved = self._violated(table, error)
                if involved is None:
                    raise
                names = [
                    name for name, slot in slots.items() if not set(involved.columns).isdisjoint(slot.columns)
                ]
                if not names:
                    raise
                if isinstance(error, UniqueViolation | ExclusionViolation):
                    self._factory.number += jump
                    jump = min(jump * 2, _MAX_JUMP)
                    slots = self._slots(table, values)
                    positions = {
                        name: min(position, len(slots[name].options) - 1)
                        for name, position in positions.items()
                    }
                    names = [name for name in names if self._is_fixed(slots[name], positions[name])]
                    if not names:
                        continue
            except ServerError as error:
                # A candidate that the type does not take, such as a text that is too long.
                if involved is None or not error.sqlstate.startswith("22"):
                    raise
                names = [
                    name for name, slot in slots.items() if not set(involved.columns).isdisjoint(slot.columns)
                ]
            else:
                self._factory.accepted[table.relation] = positions
                return row
            search = searches.setdefault(involved.name, _search(names, slots, dict(positions)))
            change = next(search, None)
            if change is None:
                break
            positions |= change
        assert involved is not None
        shown = ", ".join(name for name in involved.columns if name not in chosen)
        raise FactoryError(
            f"{table.full_name}: {shown}: no value was found for {involved.name or 'its partitions'}",
            detail=involved.text.strip(),
            hint=f"give it: create({table.full_name!r}, {shown.partition(',')[0]}=…)",
        )

    def _is_fixed(self, slot: _Slot, position: int) -> bool:
        """Return whether another number leaves the value of a slot as it is."""
        option = slot.options[position]
        if not isinstance(option, _Text):
            return option is _OMITTED
        return not any(character.isdigit() for character in option.text)

    def _violated(self, table: Table, error: ServerError) -> Rule | None:
        """Return the rule that the server's error is about, with its columns."""
        if isinstance(error, NotNullViolation):
            names = [error.column] if error.column in table.columns else []
            text = f"{error.column} is not null"
            return Rule(table.relation, f"not null {error.column}", "n", False, text, names, 0, [])
        name = error.constraint or ""
        for rule in table.rules:
            if rule.name == name and (name or rule.kind == "p"):
                return rule
        for other in self._factory.tables.values():  # a partition, whose rules have names of their own
            if other.full_name == error.table and other is not table:
                for rule in other.rules:
                    if rule.name == name and name:
                        return rule
        # The check of a domain: the columns of the domain, and of domains over it.
        columns = []
        text = ""
        for column in table.columns.values():
            type_: TypeFacts | None = self._factory.types[column.type]
            while type_ is not None:
                if name in type_.rules:
                    columns.append(column.name)
                    text = type_.rule_texts[type_.rules.index(name)]
                type_ = self._factory.types.get(type_.base)
        return Rule(table.relation, name, "c", False, text, columns, 0, []) if columns else None

    def _try(
        self,
        savepoint: Any,
        table: Table,
        values: Mapping[str, Any],
        slots: Mapping[str, _Slot],
        positions: Mapping[str, int],
    ) -> CreatedRow:
        row = dict(values)
        for name, slot in slots.items():
            option = slot.options[positions[name]]
            if isinstance(option, _Parent):
                assert slot.key is not None
                inner = _Creation(self._factory, savepoint)
                inner._pending = self._pending
                inner._fill(table, slot.key, row)
            elif not isinstance(option, _Omitted):
                row[name] = option
        target = f"{quote_name(table.schema)}.{quote_name(table.name)}"
        if not row:
            sql = f"insert into {target} default values returning *"
            return CreatedRow(table.full_name, savepoint.sql(sql, type=dict, returns="one"))
        placeholders = [
            f":p{index}::text::{self._factory.types[table.columns[name].type].sql}"
            if isinstance(value, _Text)
            else f":p{index}"
            for index, (name, value) in enumerate(row.items())
        ]
        overriding = any(table.columns[name].is_identity for name in row)
        sql = (
            f"insert into {target} ({', '.join(map(quote_name, row))})"
            f"{' overriding system value' if overriding else ''}"
            f" values ({', '.join(placeholders)}) returning *"
        )
        parameters = {
            f"p{index}": value.text if isinstance(value, _Text) else value
            for index, value in enumerate(row.values())
        }
        return CreatedRow(table.full_name, savepoint.sql(sql, type=dict, returns="one", **parameters))


def _is_named(key: Rule, name: str) -> bool:
    """Return whether ``name`` is a column of a key, or one without the name of the column it refers to."""
    pairs = zip(key.columns, key.target_columns, strict=True)
    return any(column in (name, f"{name}_{target}") for column, target in pairs)


def _search(
    names: list[str], slots: Mapping[str, _Slot], start: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """Yield the positions to try for some slots: of one slot at first, then of two at a time, and so on."""
    for count in range(1, len(names) + 1):
        for some in combinations(names, count):
            others = [
                [each for each in range(len(slots[name].options)) if each != start[name]] for name in some
            ]
            for found in product(*others):
                yield {**{name: start[name] for name in names}, **dict(zip(some, found, strict=True))}
