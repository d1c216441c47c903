"""The classes of a module: rows, nested rows and composite types, named when all of them are known.

A row has the name in its header. A nested row is named after its prefix, and a composite type has its own
name, if the name is unique in the module. Otherwise the name gets longer: ``LeadOwner``, ``ShopItem``. The
choice does not depend on the order of the files.
"""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from plainsql.analysis.model import PgType
from plainsql.codegen.python_types import Annotation, imported_path, reference
from plainsql.codegen.source_names import class_name
from plainsql.codegen.source_places import key_place
from plainsql.errors import ContractError
from plainsql.statements import Statement
from plainsql.statements.suggestions import singular

__all__ = [
    "Classes",
    "Field",
    "RowClass",
    "child_class",
    "child_key",
    "composite_class",
    "nested_class",
    "row_class",
    "row_key",
    "side_by_side",
]

_NULL_SUFFIX = " | None"
_REFERENCE = re.compile("«([^»]*)»")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class to generate."""

    name: str
    annotation: Annotation
    nullable: bool
    description: str = ""
    """The text of its docstring: one line, without a mark at its end."""
    key: str = ""
    """Its key in JSON, if that is another name."""
    optional: bool = False
    """True if its key may be missing in JSON."""


@dataclass(slots=True, eq=False)
class RowClass:
    """A class to generate: a row, a nested row or a composite."""

    key: str
    """The key that annotations refer to it by: ``row Lead``, ``nested Lead.owner``, ``type 16384``."""
    name: str
    """The name that it has if that is unique in the module; in the end, its final name."""
    qualified: str
    """The name that it has otherwise; the same as ``name`` for a row."""
    fields: list[Field]
    base: str
    described: str
    """The text of its docstring."""
    source: Statement
    """The first statement that needed it, for messages."""

    @property
    def shape(self) -> list[tuple[str, str]]:
        """Return the parts that must be equal in two classes that are one."""
        return [(f.name, f.annotation.text) for f in self.fields]

    def absorb(self, other: RowClass) -> None:
        """Make a field nullable if it is in another class of the same shape."""
        self.fields = [
            replace(
                mine,
                nullable=mine.nullable or theirs.nullable,
                description=mine.description or theirs.description,
                optional=mine.optional or theirs.optional,
            )
            for mine, theirs in zip(self.fields, other.fields, strict=True)
        ]
        if self.key.startswith("json "):
            # It has no name of its own: the shortest one does not depend on the order of the files.
            self.qualified, self.described = min((each.qualified, each.described) for each in (self, other))


def row_key(name: str) -> str:
    """Return the key of the row that a header names."""
    return f"row {name}"


def row_class(name: str, fields: list[Field], statement: Statement) -> RowClass:
    """Make the class of a row that a header names."""
    described = f"A row of `{statement.module}`."
    return RowClass(row_key(name), name, name, fields, "Row", described, statement)


def nested_class(row: str, prefix: str, fields: list[Field], statement: Statement) -> RowClass:
    """Make the class of the columns ``"prefix.…"`` of a row."""
    name, described = class_name(prefix), f"The nested `{prefix}` of a row."
    qualified = (row if "." not in row else class_name(row)) + name
    return RowClass(f"nested {row}.{prefix}", name, qualified, fields, "Row", described, statement)


def child_class(row: str, path: str, fields: list[Field], statement: Statement) -> RowClass:
    """Make the class of the rows of a list, the columns ``"orders[].…"`` of a row."""
    name = class_name(singular(path.removesuffix("[].").rpartition(".")[2]))
    described = f"A row of the list `{path.removesuffix('[].')}` of `{row}`."
    key = child_key(row, path)
    qualified = row + "".join(class_name(singular(part)) for part in path.split("[].") if part)
    return RowClass(key, name, qualified, fields, "Row", described, statement)


def child_key(row: str, path: str) -> str:
    """Return the key of the class of a list's rows."""
    return f"nested {row}.{path.removesuffix('.')}"


def composite_class(type: PgType, fields: list[Field], statement: Statement) -> RowClass:
    """Make the class of a composite type."""
    name, described = class_name(type.name), f"The composite type `{type}`."
    qualified = class_name(type.schema) + name
    return RowClass(f"type {type.oid}", name, qualified, fields, "Composite", described, statement)


class Classes:
    """The classes of one module."""

    def __init__(self) -> None:
        self._by_key: dict[str, RowClass] = {}

    def __iter__(self) -> Iterator[RowClass]:
        """Iterate over the classes, each once."""
        return iter(dict.fromkeys(self._by_key.values()))

    def name(self, key: str) -> str:
        """Return the name of the class with this key."""
        if (path := imported_path(key)) is not None:
            return path.rpartition(".")[2]
        return self._by_key[key].name

    def referred(self, row: RowClass) -> list[RowClass]:
        """Return the classes that a class's annotations name, in their order."""
        keys = [key for field in row.fields for key in _REFERENCE.findall(field.annotation.text)]
        return [self._by_key[key] for key in keys if imported_path(key) is None]

    def add(self, new: RowClass, statement: Statement) -> None:
        """Add a class, or merge it with the class of its key.

        Raises ``ContractError`` if that class has other fields.
        """
        known = self._by_key.setdefault(new.key, new)
        if known is new:
            return
        if known.shape != new.shape:
            raise self._differs(known, new, statement)
        # The same columns: a column that is null in one query can be null in the shared class.
        known.absorb(new)

    def choose_names(self, others: Iterable[str]) -> None:
        """Give each class its name; ``others`` are the names of the module's fields and functions."""
        taken = {*others, *keyword.kwlist}
        rows = {row.name: row for row in self if row.key == row_key(row.name)}
        chosen = set(rows)
        ambiguous: list[RowClass] = []
        for name, nested in self._grouped("nested "):
            row = rows.get(name) or nested[0]
            same = [each for each in nested if self._full_shape(each) == self._full_shape(row)]
            if name in taken or (name not in rows and len(same) < len(nested)):
                same = []
            for each in same:
                self._unite(row, each)
                chosen.add(name)
            ambiguous += [each for each in nested if each not in same]
        for name, composites in self._grouped("type "):
            if len(composites) == 1 and name not in chosen | taken:
                chosen.add(name)
            else:
                ambiguous += composites
        for name, objects in self._grouped("json "):
            if len(objects) == 1 and name not in chosen | taken:
                chosen.add(name)
            else:
                ambiguous += objects
        for row in ambiguous:
            row.name, number = row.qualified, 1
            while row.name in chosen | taken:
                number += 1
                row.name = f"{row.qualified}{number}"
            chosen.add(row.name)

    def _full_shape(self, row: RowClass) -> list[tuple[str, str, object]]:
        """Return the shape of a class, with the shapes of the nested classes that it names."""
        shape: list[tuple[str, str, object]] = []
        for name, annotation in row.shape:
            text = annotation
            keys = [key for key in _REFERENCE.findall(annotation) if key.startswith("nested ")]
            for key in keys:
                text = text.replace(reference(key), "")
            shape.append((name, text, [self._full_shape(self._by_key[key]) for key in keys]))
        return shape

    def _grouped(self, kind: str) -> list[tuple[str, list[RowClass]]]:
        """Return the classes of a kind that share a name, in an order that depends on the SQL alone."""
        groups: dict[str, list[RowClass]] = defaultdict(list)
        for row in sorted(self, key=lambda row: (row.qualified, row.described)):
            if row.key.startswith(kind):
                groups[row.name].append(row)
        return sorted(groups.items())

    def _unite(self, row: RowClass, other: RowClass) -> None:
        if row is not other:
            row.absorb(other)
            self._by_key[other.key] = row

    def _differs(self, known: RowClass, new: RowClass, statement: Statement) -> ContractError:
        if new.key.startswith("nested "):
            row, _, prefix = new.key.removeprefix("nested ").partition(".")
            message = f'its "{prefix}." differs from the "{prefix}." of the {row} of {known.source.path}'
            hint = (
                f'select the same columns "{prefix}.…" in the same order, or name another row in the header'
            )
        else:
            message = f"its {new.name} differs from the {new.name} of {known.source.path}"
            hint = "select the same columns in the same order, or name another row in 'returns:'"
        return ContractError(
            f"{statement.name}: {message}",
            place=key_place(statement, "returns"),
            detail=side_by_side(self._shown(new), self._shown(known)),
            hint=hint,
        )

    def _shown(self, row: RowClass) -> list[tuple[str, str]]:
        def shown(annotation: str) -> str:
            return _REFERENCE.sub(lambda found: self.name(found[1]), annotation)

        return [(f.name, shown(f.annotation.text) + _NULL_SUFFIX * f.nullable) for f in row.fields]


def side_by_side(mine: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> str:
    """Return two lists of names and types, one line for each pair, marked if they differ by more than
    null.
    """
    left = [f"{name}: {type}" for name, type in mine]
    right = [f"{name}: {type}" for name, type in theirs]
    width = max(map(len, left), default=0)
    rows = max(len(left), len(right))
    left += [""] * (rows - len(left))
    right += [""] * (rows - len(right))
    return "\n" + "\n".join(
        f"    {a:<{width}}  {' ' if _are_alike(a, b) else '|'}  {b}".rstrip()
        for a, b in zip(left, right, strict=True)
    )


def _are_alike(mine: str, theirs: str) -> bool:
    """Return whether two fields differ by null at most."""
    return mine.removesuffix(_NULL_SUFFIX) == theirs.removesuffix(_NULL_SUFFIX)
