"""The header's claims about the elements of arrays: ``column tags: elements not null``."""

from __future__ import annotations

from dataclasses import replace

from plainsql.analysis.model import ColumnFact, Shape
from plainsql.codegen.modules import Checked
from plainsql.errors import ContractError
from plainsql.statements import ColumnHint

__all__ = ["with_element_claims"]


def with_element_claims(checked: Checked) -> Checked:
    """Apply the claims of a statement's header to the shapes of its columns.

    Raises ``ContractError`` if a column is no array.
    """
    claims = {hint.name: hint for hint in checked.statement.columns if hint.elements is not None}
    if not claims:
        return checked
    return replace(
        checked,
        variants=tuple(
            replace(
                analysis,
                columns=tuple(
                    _claimed(column, claims[column.name], checked.statement.name)
                    if column.name in claims
                    else column
                    for column in analysis.columns
                ),
            )
            for analysis in checked.variants
        ),
    )


def _claimed(column: ColumnFact, claim: ColumnHint, statement: str) -> ColumnFact:
    if column.shape is None or column.shape.kind != "array" or not column.shape.parts:
        raise ContractError(
            f"{statement}: the header speaks of the elements of {column.name}, but it is {column.type}",
            place=claim.place,
            hint="remove the claim, or write it for an array",
        )
    return replace(column, shape=_with_elements(column.shape, nullable=bool(claim.elements)))


def _with_elements(array: Shape, *, nullable: bool) -> Shape:
    """Return the shape of an array with the claim about its elements, those of every dimension."""
    (element,) = array.parts
    if element.kind == "array" and element.parts:
        return replace(array, parts=(_with_elements(element, nullable=nullable),))
    because = f"the header says so ({element.because})"
    return replace(array, parts=(replace(element, nullable=nullable, because=because, assumed=False),))
