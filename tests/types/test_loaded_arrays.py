"""Arrays for the parameters of loaded queries, whose types are not known beforehand: no bytes by mistake."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plainsql
from plainsql import sync
from plainsql.errors import BindError
from plainsql.types import BitString
from plainsql.vector import HalfVector, Vector
from tests.types.both import Both

TYPES = {"bits": "bit(32)", "vector": "vector", "half": "halfvec", "numbers": "float8[]", "data": "bytea"}
FLOATS = np.array([1.0, 0.0, 0.5, 2.0], "float32")
BITS = BitString.from_int(0xB0B0B0B0, 32)
Send = Callable[[str, object], Awaitable[Any]]


@pytest.fixture(params=["async", "sync"])
async def send(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, both: Both
) -> AsyncGenerator[Send]:
    """Return a function that sends a value to a loaded query, and returns it as it came back."""
    for name, type_ in TYPES.items():
        (tmp_path / f"{name}.sql").write_text(f"-- returns: value\nselect :it::{type_} as it\n")
    queries = plainsql.load(tmp_path)
    if request.param == "sync":
        with sync.connect(database_url) as script:

            async def of_script(name: str, value: object) -> Any:
                return queries[name](script, it=value)

            yield of_script
    else:
        async with plainsql.connect(database_url) as db:

            async def of_database(name: str, value: object) -> Any:
                return await queries[name](db, it=value)

            yield of_database


NOT_BITS = [
    np.array([1.0], "float32"),
    np.array([1.0, 0.0], "float16"),
    np.array([1, 0, 1, 1], "int8"),
    np.array([7], "int32"),
    np.ma.masked_array([1.0], [True], "float32"),
    array("f", [1.0]),
    memoryview(array("i", [7])),
]


@pytest.mark.parametrize("numbers", NOT_BITS, ids=["f4", "f2", "i1", "i4", "masked", "array", "memoryview"])
async def test_numbers_are_no_bits(send: Send, numbers: Any) -> None:
    """Each of them has as many bytes as the type has bits."""
    for name in ("bits", "data"):
        with pytest.raises(BindError, match=r"it: expected (bit|bytea), got "):
            await send(name, numbers)


async def test_bools_and_bytes_are_bits(send: Send) -> None:
    bools = np.array([True, False, True, True, False, False, False, False] * 4)
    for sent in (bools, np.packbits(bools), np.packbits(bools).tobytes(), array("B", b"\xb0" * 4), BITS):
        assert await send("bits", sent) == BITS
    assert await send("data", memoryview(b"\xb0")) == b"\xb0"


async def test_arrays_are_still_vectors_and_numbers(send: Send) -> None:
    for sent in (FLOATS, FLOATS.astype("float64"), FLOATS.astype("float16"), array("f", FLOATS)):
        assert await send("vector", sent) == Vector(FLOATS.tolist())
        assert await send("half", sent) == HalfVector(FLOATS.tolist())
    assert await send("vector", FLOATS[::2]) == Vector([1.0, 0.5])
    assert await send("numbers", FLOATS) == FLOATS.tolist()
    assert await send("numbers", FLOATS.reshape(2, 2)) == [[1.0, 0.0], [0.5, 2.0]]
    for wrong in (FLOATS.reshape(2, 2), np.ma.masked_array(FLOATS, [True, False, False, False])):
        with pytest.raises(BindError, match="expected vector"):
            await send("vector", wrong)
