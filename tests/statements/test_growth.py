"""Large files: the cost of reading a statement grows as its text does, and no error is raw."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from plainsql.errors import SqlFileError
from plainsql.statements import parse

COUNT = "-- returns: count\nselect count(*) from t where true\n"
SHAPES: dict[str, Callable[[int], str]] = {
    "optional lines of one parameter": lambda n: COUNT + "".join(f"  and a{i} = :p  --?\n" for i in range(n)),
    "optional lines of many": lambda n: COUNT + "".join(f"  and a = :p{i}  --?\n" for i in range(n)),
    "lines of a choice": lambda n: COUNT + "".join(f"  and a = {i}  --? order=v{i}\n" for i in range(n)),
    "parameters of the header": lambda n: (
        "-- returns: count\n"
        + "".join(f"-- param p{i}: 1..5\n" for i in range(n))
        + COUNT.partition("\n")[2]
        + "".join(f"  and a = :p{i}\n" for i in range(n))
    ),
    "parameters that are not there": lambda n: (
        "-- returns: count\n" + "".join(f"-- param p{i}: 1..5\n" for i in range(n)) + "select 1"
    ),
    "columns": lambda n: (
        "-- returns: many Lead\n" + "".join(f"-- column c{i}: not null\n" for i in range(n)) + "select 1 as a"
    ),
    "what goes on": lambda n: "-- returns: count\n-- allow: some-thing: a\n" + "--   b\n" * n + "select 1",
    "keys of an encrypted value": lambda n: (
        f"-- returns: count\n-- param q: encrypted as a.b.c ({', '.join(f'p{i}' for i in range(n))})\n"
        + COUNT.partition("\n")[2]
        + "".join(f"  and a = :p{i}\n" for i in range(n))
        + "and a = :q"
    ),
    "parameters of one line": lambda n: COUNT + f"and a in ({', '.join(f':p{i}' for i in range(n))})",
}


def steps(text: str) -> int:
    """The lines of Python that reading the text takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(SqlFileError):
            parse(text, name="q", path="q.sql")
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_text_takes_twice_the_steps(shape: str) -> None:
    small, large = (steps(SHAPES[shape](n)) for n in (200, 400))
    assert small > 200
    assert large < 2.2 * small


def kept(text: str) -> int:
    """The peak of bytes that reading the text takes."""
    tracemalloc.start()
    try:
        with suppress(SqlFileError):
            parse(text, name="q", path="q.sql")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_text_takes_twice_the_memory(shape: str) -> None:
    kept(SHAPES[shape](10))  # made once
    small, large = (kept(SHAPES[shape](n)) for n in (1000, 2000))
    assert large < 2.6 * small


@pytest.mark.parametrize(
    "lines",
    [
        f"-- param p: 1..{'9' * 5000}",
        f"-- param p: {'9' * 5000}..",
        f"-- param p: 1..5 = {'9' * 5000}",
        f"-- param p: -{'9' * 5000}.5..",
        f"-- column a: {'int | ' * 20_000}int",
        f"-- column a: {'list[' * 20_000}int{']' * 20_000}",
        f"-- cache: {'9' * 5000}x",
    ],
)
def test_what_python_cannot_read_is_an_error_of_the_file(lines: str) -> None:
    with pytest.raises(SqlFileError) as caught:
        parse(f"-- returns: many Lead\n{lines}\nselect 1 as a where 1 = :p", name="q", path="q.sql")
    assert str(caught.value).startswith("q.sql:2:")


def test_more_texts_than_python_writes_numbers_for_are_refused() -> None:
    text = COUNT + "".join(f"  and a = :p{i}  --?\n" for i in range(15_000))
    with pytest.raises(SqlFileError, match="texts result from the marked lines"):
        parse(text, name="q", path="q.sql")
