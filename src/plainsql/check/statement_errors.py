"""Refusals of the server and unforeseen errors, as errors with a place in the file."""

from __future__ import annotations

from plainsql.analysis import RefusedError
from plainsql.analysis.missing_features import server_hint
from plainsql.errors import ContractError, Place, PlainsqlError
from plainsql.statements import Variant
from plainsql.statements.server_errors import refusal
from plainsql.statements.unexpected_errors import FAULT_HINT, fault_detail

__all__ = ["FaultError", "describe_lines_taken", "fault_error", "placed_refusal"]


class FaultError(PlainsqlError):
    """A statement that cannot be checked for an unknown reason: a fault of plainsql, not of the file."""


def placed_refusal(error: RefusedError, variant: Variant) -> ContractError:
    """Return a refusal of a variant's text as an error of the file, in the server's words."""
    said = refusal(
        variant,
        error.message,
        sqlstate=error.sqlstate,
        position=error.position,
        detail=error.detail,
        hint=server_hint(error.message) or error.hint,
    )
    return ContractError(
        said.message, sqlstate=error.sqlstate, place=said.place, detail=said.detail, hint=said.hint
    )


def describe_lines_taken(variant: Variant, *, lines: bool, choices: bool) -> str:
    """Return a text that names the optional lines and the choices of a variant."""
    taken = sorted(variant.given) if lines else []
    if choices:
        taken += [name for name, value in variant.choices.items() if value is True]
        taken += [f"{name}={value}" for name, value in variant.choices.items() if isinstance(value, str)]
    parts = [f"with {', '.join(taken)}"] if taken else []
    without = [name for name, value in variant.choices.items() if value is False] if choices else []
    if without:
        parts.append(f"without {', '.join(without)}")
    if lines and not variant.given:
        parts.append("without any optional line")
    return " and ".join(parts)


def fault_error(error: Exception, place: Place) -> FaultError:
    """Return an unforeseen exception as an error of a file."""
    found = FaultError(
        "this query cannot be checked",
        place=place,
        detail=fault_detail(error),
        hint=FAULT_HINT,
    )
    found.__cause__ = error
    return found
