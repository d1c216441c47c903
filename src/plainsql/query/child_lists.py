"""Joined records → parents with lists of child rows, in one pass and in the order of the records.

A row type with a field ``orders: list[Order]`` takes the columns of an order from each joined record. Records
with the same key belong to one parent. In a single chain of lists, each record is one row of the innermost
list. With several lists in one row, each record is one of all pairs, and the rows of every list are
distinguished by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import starmap
from operator import itemgetter
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec

from plainsql.rows import Build, Record, Row, child_row, leaves, row_maker, width

__all__ = ["ParentRun", "grouped_builder"]

T = TypeVar("T")

_Get = Callable[[Record], Any]
_Keys = Mapping[str, tuple[str, ...]]


def grouped_builder(row: type[Row], keys: _Keys) -> Build:
    """Make the function that turns joined records into a list of ``row``.

    ``keys`` holds the columns of the key of each level, by its name (``""``, ``"orders[]"``). A level that is
    not in it is grouped by all of its columns, and has no row if all of them are null.

    The returned function raises ``DecodeError`` if a JSON value does not fit its type.
    """
    level = _level_of(row, keys)
    columns = width(row)
    single = level.lists[0] if len(level.lists) == 1 and not level.lists[0].lists else None
    if single is not None and single.shown is not None:
        return _chain_builder(level, single, single.shown, columns)

    def build(records: Iterable[Record]) -> list[Any]:
        rows: list[Any] = []
        known: dict[Any, list[_Rows]] = {}
        for record in records:
            if len(record) != columns:
                raise TypeError
            level.add(record, rows, known)
        return rows

    return build


def _chain_builder(parent: _Level, child: _Level, shown: int, columns: int) -> Build:
    """Make the builder of parents with one list, which is most of them.

    A child is made of every record, without a call of Python if no value needs a conversion; that of a record
    without a child is dropped.
    """
    key_of, make_parent, make_children, mark_of = parent.key, parent.make, child.make_all, itemgetter(shown)

    def build(records: Iterable[Record]) -> list[Any]:
        records = records if isinstance(records, list) else list(records)
        if records and len(records[0]) != columns:
            raise TypeError
        rows: list[Any] = []
        known: dict[Any, list[Any]] = {}
        last, children = _NO_KEY, list[Any]()
        keys, marks = map(key_of, records), map(mark_of, records)
        for record, key, mark, made in zip(records, keys, marks, make_children(records), strict=True):
            if key != last:
                found = known.get(key)
                if found is None:
                    found = known[key] = []
                    rows.append(make_parent(record, (found,)))
                last, children = key, found
            if mark is not None:
                children.append(made)
        return rows

    return build


_NO_KEY: Any = object()
_Rows = tuple[list[Any], dict[Any, Any]]
"""The rows of one list of one parent, with the lists of each by its key."""


class _Level:
    """The columns of the parents, or of the rows of one list."""

    __slots__ = ("absent", "is_distinct", "key", "lists", "make", "make_all", "shown")

    def __init__(
        self,
        make: Callable[[Record, Sequence[Any]], Any],
        make_all: Callable[[Iterable[Record]], Iterable[Any]],
        key: _Get,
        shown: int | None,
        absent: Callable[[Record], bool],
        lists: list[_Level],
        *,
        is_distinct: bool,
    ) -> None:
        self.make = make
        """Makes a row of a record and its lists."""
        self.make_all = make_all
        """Makes a row of each record; of a level without lists."""
        self.key = key
        self.shown = shown
        """The column that is null if there is no row; None if all columns are."""
        self.absent = absent
        self.lists = lists
        self.is_distinct = is_distinct
        """True if records of the same key are one row."""

    def add(self, record: Record, rows: list[Any], known: dict[Any, list[_Rows]]) -> None:
        """Add a record to the rows of one parent, whose lists ``known`` has by the key of the row."""
        if self.absent(record):
            return
        if not self.is_distinct:
            rows.append(self.make(record, ()))
            return
        key = self.key(record)
        inner = known.get(key)
        if inner is None:
            inner = known[key] = [([], {}) for _ in self.lists]
            rows.append(self.make(record, [each for each, _ in inner]))
        for level, (children, below) in zip(self.lists, inner, strict=True):
            level.add(record, children, below)


def _level_of(row: type[Row], keys: _Keys) -> _Level:
    names = {name: index for index, (name, _) in enumerate(leaves(row))}
    annotations = [annotation for _, annotation in leaves(row)]
    is_chain = _is_chain(row)

    def level(row: type[Row], path: str, start: int) -> tuple[_Level, int]:
        hints = get_type_hints(row, include_extras=True)
        own: list[int] = []
        lists: list[_Level] = []
        order: list[int] = []
        """The place of each value among the own columns and, after them, the lists."""
        list_places: list[int] = []
        at = start
        for field in msgspec.structs.fields(row):
            child = child_row(hints[field.name])
            if child is not None:
                inner, at = level(child, f"{path}.{field.name}[]".removeprefix("."), at)
                lists.append(inner)
                list_places.append(len(order))
                order.append(-len(lists))
                continue
            end = at + _columns_of(hints[field.name])
            order += range(len(own), len(own) + end - at)
            own += range(at, end)
            at = end
        key = keys.get(path)
        positions = own if key is None else [names[name] for name in key]
        make, values = row_maker(row), _values(own)
        made = _Level(
            _maker(make, own, [place if place >= 0 else len(own) - place - 1 for place in order]),
            lambda records: starmap(make, map(values, records)),
            _key(positions, proved=key is not None, annotations=annotations),
            None if key is None else positions[0],
            _absence(positions, path, proved=key is not None),
            lists,
            is_distinct=bool(lists) or not is_chain or not path,
        )
        return made, at

    return level(row, "", 0)[0]


def _columns_of(annotation: Any) -> int:
    """Return the number of columns of a field: more than one for a nested row."""
    arms = [annotation, *get_args(annotation)]
    nested = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, Row)), None)
    return 1 if nested is None else width(nested)


def _is_chain(row: type[Row]) -> bool:
    """Return whether no row has more than one list."""
    hints = get_type_hints(row, include_extras=True)
    children = [child for hint in hints.values() if (child := child_row(hint)) is not None]
    return not children or (len(children) == 1 and _is_chain(children[0]))


def _maker(
    make: Callable[..., Any], own: list[int], order: list[int]
) -> Callable[[Record, Sequence[Any]], Any]:
    """Return the function that makes a row of a record and its lists.

    ``own`` are the positions of its columns, and ``order`` is that of its fields among these and the lists.
    """
    get = _values(own)
    if order == sorted(order):  # the lists are the last fields
        return lambda record, lists: make(*get(record), *lists)
    arranged = itemgetter(*order)
    return lambda record, lists: make(*arranged((*get(record), *lists)))


def _values(positions: list[int]) -> _Get:
    """Return the function that takes the values at these positions out of a record, as a sequence."""
    if positions and positions == list(range(positions[0], positions[-1] + 1)):
        return itemgetter(slice(positions[0], positions[-1] + 1))
    return itemgetter(*positions) if positions else lambda record: ()


def _key(positions: list[int], *, proved: bool, annotations: list[Any]) -> _Get:
    """Return the function that takes the key out of a record."""
    get: _Get = itemgetter(positions[0]) if len(positions) == 1 else _values(positions)
    if not proved:
        return lambda record: _hashable(get(record))
    if any(Decimal in (annotations[i], *get_args(annotations[i])) for i in positions):
        return lambda record: _comparable(get(record))
    if len(positions) > 1:
        return lambda record: tuple(get(record))
    return get


def _hashable(value: Any) -> Any:
    """Return a value that equals another if these two are equal, and that has a hash."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return _comparable(value)


def _comparable(value: Any) -> Any:
    """Return a value that equals itself, as the NaN of PostgreSQL does."""
    if isinstance(value, tuple):
        return tuple(map(_comparable, value))
    return value if value == value else "NaN"  # noqa: PLR0124 (not so NaN)


def _absence(positions: list[int], path: str, *, proved: bool) -> Callable[[Record], bool]:
    if not path:
        return lambda record: False
    if proved:
        shown = positions[0]
        return lambda record: record[shown] is None
    get = _values(positions)
    return lambda record: all(value is None for value in get(record))


class ParentRun(Generic[T]):
    """The records of a stream; those of the last parent are kept until the next parent begins."""

    def __init__(self, build: Callable[[Sequence[Record]], list[T]], row: type[Row], keys: _Keys) -> None:
        self._build = build
        self._key = _level_of(row, keys).key
        self._kept: list[Record] = []

    def add(self, records: Sequence[Record]) -> list[T]:
        """Return the parents that are complete with these records."""
        last = self._key(records[-1]) if records else None
        begin = len(records)
        while begin and self._key(records[begin - 1]) == last:
            begin -= 1
        if not begin and (not self._kept or self._key(self._kept[-1]) == last):
            self._kept += records
            return []
        complete = [*self._kept, *records[:begin]]
        self._kept = list(records[begin:])
        return self._build(complete)

    def end(self) -> list[T]:
        """Return the last parent, if there is one."""
        kept, self._kept = self._kept, []
        return self._build(kept) if kept else []
