"""pgvector's types: its own values are sent and read back; other sequences of numbers are sent."""

from __future__ import annotations

import json
import pickle
from array import array
from typing import Any

import asyncpg
import pgvector
import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

import plainsql
from plainsql.query import bits, elements
from plainsql.types import BitString
from plainsql.vector import HalfVector, SparseVector, Vector
from tests.types.both import Both

property_test = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

singles = st.floats(allow_nan=False, allow_infinity=False, width=32)
halves = st.floats(allow_nan=False, allow_infinity=False, width=16)


@property_test
@given(st.lists(singles, min_size=1, max_size=50))
def test_vectors_come_back_to_the_last_bit(both: Both, numbers: list[float]) -> None:
    back = both.sent_back("vector", Vector(numbers))
    assert type(back) is Vector
    assert back == Vector(numbers)


@property_test
@given(st.lists(halves, min_size=1, max_size=50))
def test_half_vectors_come_back_to_the_last_bit(both: Both, numbers: list[float]) -> None:
    back = both.sent_back("halfvec", HalfVector(numbers))
    assert type(back) is HalfVector
    assert back == HalfVector(numbers)


@property_test
@given(st.dictionaries(st.integers(0, 99), singles.filter(bool), max_size=20))
def test_sparse_vectors_come_back_to_the_last_bit(both: Both, numbers: dict[int, float]) -> None:
    sent = SparseVector(numbers, 100)
    back = both.sent_back("sparsevec", sent)
    assert type(back) is SparseVector
    assert (back.dimensions(), back.indices(), back.values()) == (100, sent.indices(), sent.values())


@pytest.mark.parametrize("numbers", [[1.0, 2.5], (1.0, 2.5), array("f", [1.0, 2.5]), array("d", [1.0, 2.5])])
@pytest.mark.parametrize(
    ("type_name", "make"), [("vector", Vector), ("halfvec", HalfVector), ("sparsevec", SparseVector)]
)
def test_sequences_of_numbers_are_vectors(both: Both, type_name: str, make: Any, numbers: Any) -> None:
    assert both.sent_back(type_name, numbers) == make([1.0, 2.5])


class Tensor:
    """An object that NumPy can read, as PyTorch's tensors, JAX's arrays and pandas' series are."""

    def __init__(self, numbers: list[float]) -> None:
        self._numbers = numbers

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        numpy = pytest.importorskip("numpy")
        return numpy.array(self._numbers, *args, **kwargs)


@pytest.mark.parametrize(
    ("type_name", "make"), [("vector", Vector), ("halfvec", HalfVector), ("sparsevec", SparseVector)]
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_objects_that_numpy_can_read_are_vectors(both: Both, type_name: str, make: Any, dtype: str) -> None:
    numpy = pytest.importorskip("numpy")
    numbers = numpy.array([1.0, 9.0, 2.0], dtype)
    for sent in (numbers, numbers[::2], Tensor([1.0, 2.0])):
        expected = make([float(number) for number in numpy.asarray(sent)])
        assert both.sent_back(type_name, sent) == expected
    assert both.sent_back(f"{type_name}[]", elements([numbers, Tensor([3.0])])) == [
        make([1.0, 9.0, 2.0]),
        make([3.0]),
    ]


@pytest.mark.parametrize("type_name", ["bit(9)", "bit varying(9)"])
def test_bools_are_bits(both: Both, type_name: str) -> None:
    numpy = pytest.importorskip("numpy")
    bools = [True, False, True, True, False, False, False, False, True]
    sent: object
    texts = ["101100001", BitString.from_int(0b101100001, 9), pgvector.Bit(bools)]
    for sent in (bools, tuple(bools), numpy.array(bools), [*numpy.array(bools)], *texts):
        assert both.sent_back(type_name, bits(sent)) == BitString.from_int(0b101100001, 9)
    packed = numpy.packbits(bools[:8])  # a buffer of bytes, as it was
    assert both.sent_back("bit(8)", bits(packed)) == BitString.from_int(0b10110000, 8)
    assert bits(None) is None


class Exported:
    """An array that offers DLPack alone, as those of libraries for GPUs do."""

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    def __dlpack__(self, **options: Any) -> Any:
        return self._numbers.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._numbers.__dlpack_device__()


class Sparse:
    """A sparse array with the interface of SciPy's: ``(row, column)`` and the number there."""

    def __init__(self, numbers: dict[int, float], shape: tuple[int, ...]) -> None:
        numpy = pytest.importorskip("numpy")
        self.shape, self.data = shape, numpy.array([*numbers.values()])
        self.coords = (numpy.zeros(len(numbers), int), numpy.array([*numbers]))[-len(shape) :]

    def tocoo(self) -> Sparse:
        return self


def test_arrays_of_other_libraries_are_vectors(both: Both) -> None:
    numpy = pytest.importorskip("numpy")
    numbers = numpy.array([0.0, 1.5, 0.0])
    for sent in (
        Exported(numbers),
        pl.Series(numbers),
        pl.Series(numbers).to_arrow(),
        Sparse({1: 1.5}, (3,)),
        Sparse({1: 1.5}, (1, 3)),
        pgvector.Vector([0, 1.5, 0]),
        HalfVector([0, 1.5, 0]),
        SparseVector({1: 1.5}, 3),
    ):
        for type_name, make in (("vector", Vector), ("halfvec", HalfVector), ("sparsevec", SparseVector)):
            assert both.sent_back(type_name, sent) == make([0, 1.5, 0])


def test_an_array_that_is_no_vector_is_refused_with_the_reason(both: Both) -> None:
    numpy = pytest.importorskip("numpy")
    for value, why in (
        (numpy.zeros((2, 2)), "it has 2 dimensions, and a vector is an array of one"),
        (numpy.array(["17", "2"]), "an array of str64 holds no real numbers"),
        (numpy.array([1j, 2]), "an array of complex128 holds no real numbers"),
        (numpy.array(["2026-01-01"], "M8[D]"), "an array of datetime64[D] holds no real numbers"),
        (numpy.array([1e300, 17]), "a number in it is out of range for float32"),
        (numpy.ma.array([1.0, 17.0], mask=[False, True]), "numbers in it are masked"),
        (Sparse({0: 17.0}, (2, 2)), "it has the shape (2, 2), and a vector has one row"),
    ):
        for error in both.errors("select :a::vector", a=value):
            assert isinstance(error, plainsql.BindError)
            assert error.message == f"test.types.value: a: expected vector, got {type(value).__name__}"
            assert error.detail == why
    for error in both.errors("select :a::sparsevec", a={3: 1.0}):
        assert "SparseVector({…}, dimensions)" in str(error)
    for error in both.errors("select :a::halfvec", a=numpy.array([1e6])):
        assert "out of range for float16" in str(error)


@pytest.mark.parametrize(
    ("type_name", "value", "form"),
    [
        ("vector", Vector([1, 2.5]), [1.0, 2.5]),
        ("halfvec", HalfVector([1, 2.5]), [1.0, 2.5]),
        ("sparsevec", SparseVector([1, 2.5]), "{1:1.0,2:2.5}/2"),
    ],
)
def test_a_vector_is_an_array_a_key_and_json(both: Both, type_name: str, value: Any, form: Any) -> None:
    numpy = pytest.importorskip("numpy")
    back = both.sent_back(type_name, value)
    assert {back: 1}[value] == 1
    assert pickle.loads(pickle.dumps(back)) == back
    assert numpy.asarray(back).tolist() == [1, 2.5]
    assert numpy.asarray(back, "float64").dtype == "float64"
    if type_name != "sparsevec":
        view = numpy.asarray(back)
        assert numpy.shares_memory(view, back.to_numpy())
        assert not view.flags.writeable
        assert numpy.array(back).flags.writeable
    adapter: TypeAdapter[Any] = TypeAdapter(type(back))
    assert json.loads(plainsql.to_json(back)) == json.loads(adapter.dump_json(back)) == form
    assert adapter.validate_json(json.dumps(form)) == back
    theirs: Any = getattr(pgvector, type(back).__name__)([1, 2.5])
    assert back == theirs
    assert theirs == back


def test_an_array_of_other_numbers_is_not_taken_for_bits(both: Both) -> None:
    numpy = pytest.importorskip("numpy")
    for value in (numpy.array([1, 0]), numpy.array([1.0, 0]), array("i", [1, 0]), "102", [1, 0], [[True]]):
        message = both.refusals("select :a::bit(2)", a=bits(value))
        assert message.startswith("test.types.value: a: expected bit, got ")
    assert both.sent_back("bit(2)", numpy.array([True, False])) == BitString.from_int(2, 2)
    assert both.refusals("select :a::bit(64)", a=numpy.array([1])).endswith("expected bit, got list")


@pytest.mark.parametrize("type_name", ["vector", "halfvec", "sparsevec"])
def test_arrays_of_vectors_come_back(both: Both, type_name: str) -> None:
    back = both.sent_back(f"{type_name}[]", elements([[1.0, 0.0], None, [0.5, 2.0]]))
    assert [None if value is None else value.to_list() for value in back] == [[1.0, 0.0], None, [0.5, 2.0]]


@pytest.mark.parametrize("value", ["[1,2]", b"1", 7, ["a"], {"a": 1}])
def test_other_values_than_sequences_of_numbers_are_refused(both: Both, value: object) -> None:
    assert "expected vector, got" in both.refusals("select :a::vector", a=value)


def test_a_wrong_dimension_is_an_error_of_the_server(both: Both) -> None:
    errors = both.errors("select :a::vector(3)", a=[1.0])
    for error, driver in zip(errors, (asyncpg.DataError, psycopg.DataError), strict=True):
        assert "expected 3 dimensions, not 1" in str(error)
        assert isinstance(error, plainsql.ServerError)
        assert isinstance(error, driver)
        assert error.sqlstate == "22000"


def test_bit_vectors_are_bit_strings(both: Both) -> None:
    bits = BitString.from_int(5, 8)
    assert both.value("select :a::bit(8) <~> :b::bit(8)", a=bits, b=BitString.from_int(0, 8)) == 2.0


def test_distances_take_vectors_as_parameters(both: Both) -> None:
    assert both.value("select :a::vector <=> :b::vector", a=[1.0, 0.0], b=[0.0, 1.0]) == 1.0
