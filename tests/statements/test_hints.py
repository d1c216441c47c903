"""The text that a hint suggests is accepted: it is written into the file, which is read again."""

from __future__ import annotations

import re
from itertools import product

import pytest

from plainsql.errors import SqlFileError, SqlFolderError
from plainsql.statements import parse
from plainsql.statements.model import Statement

_RETURNS = re.compile(
    r"^(?:write(?:, for example,)?|did you mean|name .+, for example) (?:returns: )?(.+?)(?:[?;,]| or .*)?$"
)
KINDS = ["one", "optional", "many", "value", "count", "One", "opt", "list", "optionl", "single", "vaule"]
THINGS = [
    "",
    "value",
    "count",
    "Lead",
    "lead",
    "lead_notes",
    "Row",
    "9lead",
    "Lead Lead",
    "row",
    "x-y",
    "Lead;",
]


def read(header: str, body: str = "select 1 as n where 1 = :id\n") -> Statement | SqlFileError:
    try:
        return parse(f"{header}\n{body}", name="shop.users.q", path="q.sql")
    except SqlFileError as error:
        return error.errors[0] if isinstance(error, SqlFolderError) else error


def suggested(hint: str) -> str:
    """Return the first text that a hint suggests."""
    found = _RETURNS.match(hint.partition(";")[0])
    return re.split(r",| or ", found[1])[0] if found else ""


@pytest.mark.parametrize("colon", ["", ":"])
@pytest.mark.parametrize(("kind", "thing"), [*product(KINDS, THINGS)])
def test_what_a_hint_says_to_write_behind_returns_is_taken(kind: str, thing: str, colon: str) -> None:
    found = read(f"-- returns{colon} {kind} {thing}".rstrip())
    if isinstance(found, Statement):
        return
    assert found.hint
    wanted = suggested(found.hint)
    if not wanted or "(" in wanted:
        return  # all forms are listed, or a name is missing
    if wanted[0].isupper():  # the name alone
        wanted = f"{kind} {wanted}"
    fixed = read(f"-- returns: {wanted}")
    assert isinstance(fixed, Statement), f"{found.hint!r} leads to {fixed}"


@pytest.mark.parametrize("kind", ["Row", "Database", "Lead", "Query"])
def test_a_row_alone_is_given_a_kind_that_is_taken(kind: str) -> None:
    found = read(f"-- returns: {kind}")
    assert isinstance(found, SqlFileError)
    assert found.hint
    assert isinstance(read(f"-- returns: {suggested(found.hint)}"), Statement)


def test_one_value_is_said_to_be_written_value() -> None:
    for line in ("-- returns one value", "-- returns: one value", "-- return one value"):
        found = read(line)
        assert isinstance(found, SqlFileError)
        assert found.hint == "write returns: value"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["param token: encrypted"], "insert into t values (:token, :id)"),
        (["param token: encrypted"], "insert into t values (:token, :account)"),
        (["param token: encrypted (key)"], "insert into t values (:token, :tenant_id, :key2)"),
        (
            ["param token: encrypted (id)", "param id: encrypted (n)"],
            "insert into t values (:token, :id, :n)",
        ),
        (["param token: encrypted (id, id)"], "insert into t values (:token, :id)"),
    ],
)
def test_the_keys_that_a_hint_names_are_parameters(lines: list[str], body: str) -> None:
    header = ["returns: count", *lines]
    found = read("\n".join(f"-- {line}" for line in header), body)
    assert isinstance(found, SqlFileError)
    assert found.hint
    wanted = re.search(r"param (\w+): encrypted .*", found.hint)
    if wanted is None:
        assert found.hint == "name the columns that identify the row: encrypted (tenant_id, id)"
        return
    header = [wanted[0] if line.startswith(f"param {wanted[1]}:") else line for line in header]
    fixed = read("\n".join(f"-- {line}" for line in header), body)
    assert isinstance(fixed, Statement), f"{found.hint!r} leads to {fixed}"


def test_without_a_parameter_to_be_bound_to_none_is_named() -> None:
    found = read("-- returns: count\n-- param token: encrypted", "insert into t values (:token)")
    assert isinstance(found, SqlFileError)
    assert found.hint == "add a parameter that identifies the row, and name it in brackets"
