"""SQL files as statements: text in, values out.

A file goes through these modules in this order: ``discovery`` finds it, ``header``, ``header_values``,
``header_encryption`` and ``header_examples`` read the comments at its top, ``scanner`` divides the rest into
tokens, ``placeholders`` finds the parameters, ``optional_lines`` the conditional lines, and ``variants``
makes the texts to send; ``copy_statement`` reads a COPY. ``compilation`` calls these four, and ``parser``
calls all and returns a ``model.Statement``; ``catalog`` does so for a
whole folder. ``safe_text`` shortens the statements of other programs for people.

These modules know no database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainsql.statements.catalog import Catalog, LoadedFile, load, load_sound
    from plainsql.statements.compilation import compile_body
    from plainsql.statements.model import (
        Allowance,
        Bounds,
        CachePolicy,
        Choice,
        ColumnHint,
        Encryption,
        Example,
        Parameter,
        Returns,
        Statement,
    )
    from plainsql.statements.parser import parse
    from plainsql.statements.scanner import Kind, Token, scan
    from plainsql.statements.variants import MAX_VARIANTS, Compiled, Variant, is_value

__all__ = [
    "MAX_VARIANTS",
    "Allowance",
    "Bounds",
    "CachePolicy",
    "Catalog",
    "Choice",
    "ColumnHint",
    "Compiled",
    "Encryption",
    "Example",
    "Kind",
    "LoadedFile",
    "Parameter",
    "Returns",
    "Statement",
    "Token",
    "Variant",
    "compile_body",
    "is_value",
    "load",
    "load_sound",
    "parse",
    "scan",
]

_HOMES = {
    "compilation": ("compile_body",),
    "catalog": ("Catalog", "LoadedFile", "load", "load_sound"),
    "model": (
        "Allowance",
        "Bounds",
        "CachePolicy",
        "Choice",
        "ColumnHint",
        "Encryption",
        "Example",
        "Parameter",
        "Returns",
        "Statement",
    ),
    "parser": ("parse",),
    "scanner": ("Kind", "Token", "scan"),
    "variants": ("MAX_VARIANTS", "Compiled", "Variant", "is_value"),
}


def __getattr__(name: str) -> object:
    # Generated modules compile their text and read no header: they must not import what reads files.
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
