"""Projects without encryption pay nothing for it."""

from __future__ import annotations

import subprocess
import sys
from itertools import starmap
from typing import Any

from plainsql.query import Binder
from plainsql.query_folder import make_query
from plainsql.rows import Row, builder
from plainsql.statements import parse


class Plain(Row, frozen=True):
    id: int
    name: str


def test_a_row_without_encrypted_fields_is_made_by_its_type_itself() -> None:
    made: Any = builder(Plain)
    inside = dict(
        zip(made.__code__.co_freevars, (cell.cell_contents for cell in made.__closure__), strict=True)
    )
    assert inside["make"] is Plain
    assert "starmap" in made.__code__.co_names
    assert list(starmap(Plain, [(1, "a")])) == made([(1, "a")])


def test_a_loaded_query_without_encrypted_parts_is_bound_as_ever() -> None:
    statement = parse("-- Q.\n-- returns: value\nselect :a::text", name="a.b.c", path="c.sql")
    assert type(make_query(statement)._bind) is Binder


def test_no_cryptography_is_imported_before_a_value_is_encrypted() -> None:
    code = (
        "import sys, plainsql.crypto, plainsql.query_folder;"
        "import tests.crypto.project.queries.vault.channels;"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "False"
