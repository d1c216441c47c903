"""Tensors of PyTorch as parameters and in rows to copy.

PyTorch is in none of the environments, and without it these tests are skipped.
"""

from __future__ import annotations

from typing import Any

import pytest

import plainsql
from plainsql.query import bits, elements
from plainsql.types import BitString
from plainsql.vector import HalfVector, SparseVector, Vector
from tests.types.both import Both

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

KINDS = (("vector", Vector), ("halfvec", HalfVector), ("sparsevec", SparseVector))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "int64"])
def test_a_tensor_of_any_real_numbers_is_a_vector(both: Both, dtype: str) -> None:
    tensor = torch.tensor([1.0, 8.0, 1.5]).to(getattr(torch, dtype))
    expected = [1, 8, 1] if dtype == "int64" else [1, 8, 1.5]
    for type_name, make in KINDS:
        assert both.sent_back(type_name, tensor) == make(expected)


def test_a_part_of_a_tensor_has_its_own_numbers(both: Both) -> None:
    matrix = torch.arange(9.0).reshape(3, 3)
    with torch.inference_mode():
        inferred = matrix[1] + 1
    for sent, expected in ((matrix[1], [3, 4, 5]), (matrix[:, 1], [1, 4, 7]), (inferred, [4, 5, 6])):
        assert both.sent_back("vector", sent) == Vector(expected)
    assert both.sent_back("vector[]", elements([*matrix])) == [Vector(row.tolist()) for row in matrix]


def test_a_tensor_of_bools_is_bits(both: Both) -> None:
    assert both.sent_back("bit(3)", bits(torch.tensor([True, False, True]))) == BitString.from_int(5, 3)


def test_a_tensor_that_numpy_cannot_read_is_refused(both: Both) -> None:
    imaginary = torch.tensor([1 + 2j]).conj().imag  # its signs are changed when it is read
    for tensor in (
        torch.ones(2, requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
        torch.ones(2, device="meta"),
        torch.ones(2).to_sparse(),
        imaginary,
    ):
        for error in both.errors("select :a::vector", a=tensor):
            assert isinstance(error, plainsql.BindError)
            assert "cannot be read by NumPy" in str(error)
    assert both.sent_back("vector", imaginary.resolve_neg()) == Vector([-2])
    for error in both.errors("select :a::vector", a=torch.ones(1, 2)):
        assert "it has 2 dimensions, and a vector is an array of one" in str(error)


def test_rows_with_tensors_are_copied(both: Both) -> None:
    both.over_psycopg.sql("create table public.tensors (id bigint, embedding vector(2))")
    matrix = torch.tensor([[1.0, 2.0], [3.0, 4.5]]).to(torch.bfloat16)
    columns = ("id", "embedding")
    both.runner.run(both.over_asyncpg.copy_in("public.tensors", [*enumerate(matrix)], columns=columns))
    both.over_psycopg.copy_in("public.tensors", [*enumerate(matrix, 2)], columns=columns)
    found = both.value("select array_agg(embedding order by id) from public.tensors")
    assert found == [Vector(row.tolist()) for row in (*matrix, *matrix)]


def test_a_vector_of_a_row_becomes_a_tensor(both: Both) -> None:
    back = both.sent_back("vector", torch.tensor([1.0, 2.5]))
    assert torch.from_numpy(back.to_numpy()).tolist() == [1.0, 2.5]
