"""The comparison of a JSON type that a header declares with the JSON that the query builds.

Both shapes are known only in part: the type's from its source, which is not run, and the JSON's from the
analysed query. A pair that cannot be compared is no difference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.analysis.model import Shape
from plainsql.codegen.python_types import below_domains

__all__ = ["Difference", "TypeSource", "differences"]

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})
_NUMBERS: Final = _INTEGERS | {"float4", "float8", "numeric"}
_JSON_FORM: Final = {"list": "array", "tuple": "array", "object": "object", "map": "object", "null": "null"}
_ACCEPTS: Final = {
    # The Python type → the types of SQL, or the forms of JSON, that msgspec decodes into it.
    "int": _INTEGERS,
    "float": _NUMBERS,
    "Decimal": _NUMBERS | {"text"},
    "bool": frozenset({"bool"}),
    "str": frozenset({"text", "date", "time", "timestamp", "timestamptz", "uuid"}),
    "bytes": frozenset({"text"}),
    "date": frozenset({"date", "text"}),
    "time": frozenset({"time", "text"}),
    "datetime": frozenset({"timestamp", "timestamptz", "text"}),
    "UUID": frozenset({"uuid", "text"}),
    "list": frozenset({"array"}),
    "tuple": frozenset({"array"}),
    "set": frozenset({"array"}),
    "frozenset": frozenset({"array"}),
    "dict": frozenset({"object"}),
}
_KNOWN_TEXTS: Final = frozenset({"date", "time", "timestamp", "timestamptz", "uuid"})
_STRUCT_BASES: Final = frozenset({"Struct", "msgspec.Struct", "TypedDict", "typing.TypedDict"})
_OTHER_KEYS: Final = frozenset({"rename", "tag", "tag_field", "array_like"})
"""Options of a struct after which its keys are not its fields' names."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a declared type that the query does not build."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


class TypeSource:
    """The classes of a module, read from its source."""

    def __init__(self, file: Path | None) -> None:
        """Read a file; without one there are only the types of Python itself."""
        self.classes: dict[str, ast.ClassDef] = {}
        if file is None:
            return
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node


@dataclass(frozen=True, slots=True)
class _DeclaredField:
    key: str
    annotation: ast.expr
    required: bool


def differences(written: str, shape: Shape, source: TypeSource, path: str) -> Iterator[Difference]:
    """Yield the parts of a declared type that the query does not build.

    ``written`` is the type as a header has it, and ``source`` the module that it is looked up in.
    """
    yield from _compare(ast.parse(written, mode="eval").body, shape, source, path, ())


def _compare(
    annotation: ast.expr, shape: Shape, source: TypeSource, path: str, within: tuple[str, ...]
) -> Iterator[Difference]:
    arms, accepts_null = _arms(annotation)
    if shape.kind == "json" or not arms or any(_name(arm) in ("Any", "object", "Json") for arm in arms):
        return
    # The column's own null is not part of its JSON.
    is_known = all(_is_known(arm, source) for arm in arms)
    if within and is_known and shape.nullable and not accepts_null and not shape.optional:
        got = f"null ({shape.because})" if shape.because else "null"
        yield Difference(path, ast.unparse(annotation), got)
    if len(arms) > 1 or shape.kind == "null":
        return
    (arm,) = arms
    name, form = _name(arm).rpartition(".")[2], _form(shape)
    if name not in source.classes and (accepted := _ACCEPTS.get(name)) is not None:
        if form not in accepted:
            yield Difference(path, ast.unparse(arm), _described(shape))
        elif isinstance(arm, ast.Subscript):
            yield from _inside(arm, name, shape, source, path, within)
    elif name in source.classes and name not in within:
        yield from _class(name, shape, source, path, within)


def _inside(
    arm: ast.Subscript, name: str, shape: Shape, source: TypeSource, path: str, within: tuple[str, ...]
) -> Iterator[Difference]:
    """Yield the differences of the elements of a list, or of the values of a dict."""
    inner = arm.slice
    if name == "tuple" or (name == "dict") != isinstance(inner, ast.Tuple):
        return
    within = (*within, "")
    if isinstance(inner, ast.Tuple):
        for part in shape.parts:
            yield from _compare(inner.elts[-1], part, source, f"{path}.{part.name or '*'}", within)
        return
    for part in shape.parts[:1] if shape.kind == "list" else shape.parts:
        yield from _compare(inner, part, source, f"{path}[]", within)


def _class(
    name: str, shape: Shape, source: TypeSource, path: str, within: tuple[str, ...]
) -> Iterator[Difference]:
    fields = _fields(source.classes[name], source, ())
    if fields is None:
        return
    if _form(shape) != "object":
        yield Difference(path, name, _described(shape))
        return
    parts = {part.name: part for part in shape.parts}
    for field in fields if shape.kind == "object" else ():
        part = parts.get(field.key)
        where = f"{path}.{field.key}"
        if field.required and (part is None or part.optional):
            got = "no such key" if part is None else "a key that may be missing"
            yield Difference(where, ast.unparse(field.annotation), got)
        if part is not None:
            yield from _compare(field.annotation, part, source, where, (*within, name))


def _fields(node: ast.ClassDef, source: TypeSource, within: tuple[str, ...]) -> list[_DeclaredField] | None:
    """Return the fields of a class; ``None`` if they cannot be known from its source."""
    bases = [_name(base) for base in node.bases]
    inherited: list[_DeclaredField] = []
    for base in bases:
        if base in _STRUCT_BASES:
            continue
        if base not in source.classes or base in within:
            return None
        above = _fields(source.classes[base], source, (*within, node.name))
        if above is None:
            return None
        inherited += above
    is_dataclass = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if (not bases and not is_dataclass) or (node.decorator_list and not is_dataclass):
        return None
    if options.keys() & _OTHER_KEYS:
        return None
    total = options.get("total")
    optional = isinstance(total, ast.Constant) and total.value is False
    own = [
        field
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        if (field := _field(each, each.target.id, optional=optional)) is not None
    ]
    names = {field.key for field in own}
    return [*(field for field in inherited if field.key not in names), *own]


def _field(node: ast.AnnAssign, name: str, *, optional: bool) -> _DeclaredField | None:
    annotation, required, key = node.annotation, node.value is None and not optional, name
    wrapper = _name(annotation).rpartition(".")[2]
    if wrapper == "ClassVar":
        return None
    if wrapper in ("NotRequired", "Required") and isinstance(annotation, ast.Subscript):
        annotation, required = annotation.slice, wrapper == "Required"
    if isinstance(node.value, ast.Call) and _name(node.value.func).rpartition(".")[2] == "field":
        given = {keyword.arg: keyword.value for keyword in node.value.keywords}
        required = not given.keys() & {"default", "default_factory"}
        renamed = given.get("name")
        if renamed is not None:
            if not isinstance(renamed, ast.Constant) or not isinstance(renamed.value, str):
                return None
            key = renamed.value
    return _DeclaredField(key, annotation, required)


def _arms(annotation: ast.expr) -> tuple[list[ast.expr], bool]:
    """Return the types of a union without null, and whether null is one of them."""
    if isinstance(annotation, ast.Constant):
        if annotation.value is None:
            return [], True
        if isinstance(annotation.value, str):
            try:
                return _arms(ast.parse(annotation.value, mode="eval").body)
            except SyntaxError:
                return [], True
    if isinstance(annotation, ast.BinOp):
        left, right = _arms(annotation.left), _arms(annotation.right)
        return [*left[0], *right[0]], left[1] or right[1]
    if isinstance(annotation, ast.Subscript):
        name = _name(annotation).rpartition(".")[2]
        inner = annotation.slice
        if name == "Annotated" and isinstance(inner, ast.Tuple):
            return _arms(inner.elts[0])
        if name == "Literal":
            return [annotation], any(
                isinstance(each, ast.Constant) and each.value is None for each in ast.walk(inner)
            )
        if name == "Optional":
            return _arms(inner)[0], True
        if name == "Union" and isinstance(inner, ast.Tuple):
            parts = [_arms(each) for each in inner.elts]
            return [arm for arms, _ in parts for arm in arms], any(null for _, null in parts)
    return [annotation], False


def _is_known(arm: ast.expr, source: TypeSource) -> bool:
    """Return whether a type is no alias, behind which null may be."""
    name = _name(arm).rpartition(".")[2]
    return name in _ACCEPTS or name == "Literal" or _name(arm) in source.classes


def _name(node: ast.expr) -> str:
    """Return the dotted name of a type, without what is in its brackets."""
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _form(shape: Shape) -> str:
    """Return the form of a value in JSON: a number's type, the type of a text with a form, or ``text``."""
    if shape.kind != "scalar" or shape.type is None:
        return _JSON_FORM.get(shape.kind, "")
    name = below_domains(shape.type).name
    return name if name in _NUMBERS | _KNOWN_TEXTS or name == "bool" else "text"


def _described(shape: Shape) -> str:
    return str(shape.type) if shape.kind == "scalar" else f"an {_form(shape)}"
