"""Nulls in what a query builds: elements over an outer join, and keys that may be null or are not there."""

from __future__ import annotations

from tests.codegen.kitchen.queries import kitchen


def read(row: kitchen.Built) -> None:
    # refused by mypy: Item "None" of "str | None" has no attribute "upper"
    # refused by pyright: "upper" is not a known attribute of "None"
    row.names[0].upper()
    # refused by mypy: Item "None" of "Cooks | None" has no attribute "name"
    # refused by pyright: "name" is not a known attribute of "None"
    print(row.cooks[0].name)
    # refused by mypy: "Helper" has no attribute "mail"
    # refused by pyright: Cannot access attribute "mail" for class "Helper"
    print(row.helpers[0].mail)
    # refused by mypy: Item "None" of "str | None" has no attribute "upper"
    # refused by pyright: "upper" is not a known attribute of "None"
    row.short.class_.upper()
