"""The enums of the database as Python types: one name and one definition for each, in one generated module.

The name is that of the type, ``product_status`` → ``ProductStatus``, if no other enum has it. Otherwise the
schema's name is put in front, ``ShopStatus``, except for the one of the schema ``public``. Modules import the
type and export it again.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from keyword import iskeyword
from typing import Final, Literal

from plainsql.analysis.model import PgType
from plainsql.codegen.python_types import IMPORTED_NAMES, Annotation
from plainsql.codegen.source_names import class_name, docstring_text, normalized, one_line, string_literal

__all__ = ["ENUM_STYLES", "EnumTypes", "member_names"]

ENUM_STYLES: Final = ("literal", "strenum")
"""The values of the setting ``enums``."""

_OF_THE_MODULE: Final = frozenset({"Final", "Literal", "StrEnum", "TypeAlias"})
_WORD_START: Final = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])")
_WIDTH: Final = 110


class EnumTypes:
    """The enums of one generated package, with their names."""

    def __init__(
        self,
        package: str,
        types: Iterable[PgType],
        style: str = "literal",
        taken: Collection[str] = (),
    ) -> None:
        """Name the enums in ``types`` and in the types that these consist of.

        ``taken`` are names that no enum gets: those of types that headers name.
        """
        self.module = f"{package}.enums" if package else "enums"
        """The import name of the module that defines them."""
        self.style: Literal["literal", "strenum"] = "strenum" if style == "strenum" else "literal"
        self._by_oid = {each.oid: each for type in types for each in _enums(type)}
        self._names: dict[int, str] = {}
        self._choose_names({*taken, *IMPORTED_NAMES, *_OF_THE_MODULE})

    def __bool__(self) -> bool:
        return bool(self._by_oid)

    @property
    def names(self) -> frozenset[str]:
        """The names that the module defines."""
        return frozenset([*self._names.values(), *self._tuple_names().values()])

    def annotation(self, type: PgType) -> Annotation | None:
        """Return the annotation of an enum; ``None`` for a type of another kind."""
        name = self._names.get(type.oid)
        return None if name is None else Annotation(name, frozenset({(self.module, name)}))

    def default(self, type: PgType, source: str) -> str:
        """Return the source of a default of a type; ``source`` is the label as a literal."""
        if self.style == "strenum" and (name := self._names.get(type.oid)) is not None:
            return f"{name}({source})"
        return source

    def render(self) -> str:
        """Return the definitions of the module, from its imports on."""
        in_order = sorted(self._by_oid.values(), key=lambda type: self._names[type.oid])
        is_strenum = self.style == "strenum"
        imports = "from enum import StrEnum" if is_strenum else "from typing import Final, Literal, TypeAlias"
        tuples = self._tuple_names()
        listed = "".join(f"    {string_literal(name)},\n" for name in sorted(self.names))
        return f"from __future__ import annotations\n\n{imports}\n\n__all__ = [\n{listed}]\n" + "".join(
            _class(self._names[type.oid], type)
            if is_strenum
            else _alias(self._names[type.oid], tuples[type.oid], type)
            for type in in_order
        )

    def _choose_names(self, taken: set[str]) -> None:
        named = defaultdict[str, list[PgType]](list)
        for type in sorted(self._by_oid.values(), key=lambda type: (type.schema, type.name)):
            named[class_name(type.name)].append(type)
        ambiguous: list[PgType] = []
        for name, types in sorted(named.items()):
            # A second schema with a type of that name changes no name of the schema public.
            chosen = [type for type in types if type.schema == "public"] or types
            if len(chosen) == 1 and name not in taken and not iskeyword(name):
                self._names[chosen[0].oid] = name
                taken.add(name)
            ambiguous += [type for type in types if type.oid not in self._names]
        for type in ambiguous:
            first = name = class_name(type.schema) + class_name(type.name)
            number = 1
            while name in taken:
                number += 1
                name = f"{first}{number}"
            self._names[type.oid] = name
            taken.add(name)

    def _tuple_names(self) -> dict[int, str]:
        """Return the name of the tuple of each enum's labels; a ``StrEnum`` needs none."""
        if self.style == "strenum":
            return {}
        taken = set(self._names.values())
        found: dict[int, str] = {}
        for oid, name in sorted(self._names.items(), key=lambda item: item[1]):
            first = written = normalized(f"{_WORD_START.sub('_', name).upper()}_LABELS")
            number = 1
            while written in taken:
                number += 1
                written = f"{first}_{number}"
            found[oid] = written
            taken.add(written)
        return found


def member_names(labels: Sequence[str]) -> list[str]:
    """Return the name of a member for each label, all different: ``in progress`` → ``IN_PROGRESS``.

    Upper case keeps them apart from the methods of ``str``. Labels that differ only in characters that no
    name has get the names of these characters: ``A+`` → ``A_PLUS_SIGN``.
    """
    plain = [_plain_member(label) for label in labels]
    shared = Counter(plain)
    spelt = [
        name if name and (shared[name] == 1 or normalized(label) == name) else _spelt_member(label)
        for name, label in zip(plain, labels, strict=True)
    ]
    # A label that is a name already keeps it.
    taken = {name for name, label in zip(spelt, labels, strict=True) if normalized(label) == name}
    found: list[str] = []
    for first, label in zip(spelt, labels, strict=True):
        name, number = first, 1
        while name in found or (name in taken and normalized(label) != name):
            number += 1
            name = f"{first}_{number}"
        found.append(name)
    return found


def _enums(type: PgType) -> Iterator[PgType]:
    """Yield the enums that a type consists of; one without labels has no value, and no name."""
    if type.kind == "enum" and type.labels:
        yield type
    if type.element is not None:
        yield from _enums(type.element)
    for attribute in type.attributes:
        yield from _enums(attribute.type)


def _plain_member(label: str) -> str:
    """Return the words of a label in upper case; empty if it has no character of a name."""
    upper = normalized(normalized(label).upper())
    words = "".join(c if f"a{c}".isidentifier() and c != "_" else " " for c in upper).split()
    name = "_".join(words)
    return name if not name or name.isidentifier() else f"LABEL_{name}"


def _spelt_member(label: str) -> str:
    """Return the name of a label in which other characters are spelt out."""
    if not label:
        return "EMPTY"
    parts = [
        c if f"a{c}".isidentifier() or c == " " else f" {unicodedata.name(c, f'U{ord(c):04X}')} "
        for c in normalized(label)
    ]
    return _plain_member("".join(parts)) or "LABEL"


def _alias(name: str, tuple_name: str, type: PgType) -> str:
    labels = [string_literal(label) for label in type.labels]
    comma = "," if len(labels) == 1 else ""
    return (
        f"\n{name}: TypeAlias = {_bracketed('Literal[', labels, ']')}\n{_described(type)}\n\n"
        f"{tuple_name}: Final[tuple[{name}, ...]] = {_bracketed('(', labels, f'{comma})')}\n"
        f'"""The labels of the enum in its order."""\n'
    )


def _bracketed(opening: str, parts: Sequence[str], closing: str) -> str:
    """Return a list on one line if it is short, else with a part on each line."""
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) < _WIDTH - 30:
        return line
    return f"{opening}\n" + "".join(f"    {part},\n" for part in parts) + closing.lstrip(",")


def _class(name: str, type: PgType) -> str:
    members = "".join(
        f"    {member} = {string_literal(label)}\n"
        for member, label in zip(member_names(type.labels), type.labels, strict=True)
    )
    return f"\n\nclass {name}(StrEnum):\n    {_described(type)}\n\n{members}"


def _described(type: PgType) -> str:
    text = one_line(f"The enum `{type}`.")
    return f'"""{docstring_text(text)}"""'
