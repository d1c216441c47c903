"""Encrypted parameters and columns in generated code, and what the header says of them held to the facts."""

from __future__ import annotations

from plainsql.analysis.model import ColumnFact, ParameterFact, PgType
from plainsql.codegen.naming import string_literal
from plainsql.codegen.python_types import Annotation
from plainsql.errors import ContractError
from plainsql.statements import Encryption, Parameter, Statement

__all__ = [
    "PARAMETER",
    "annotate_encrypted",
    "check_encrypted_column",
    "check_encrypted_parameter",
    "encrypting",
]

PARAMETER = Annotation("str")
"""The annotation of an encrypted parameter."""

_CRYPTO = "plainsql.crypto"
_KEYS = frozenset({"uuid", "int2", "int4", "int8", "text", "varchar"})
"""Types whose values have one text each, whichever way they travel."""


def annotate_encrypted(encryption: Encryption) -> Annotation:
    """Return the annotation of an encrypted column."""
    arguments = ", ".join(map(string_literal, (encryption.column, *encryption.keys)))
    return Annotation(
        f"Annotated[Secret, Encrypted({arguments})]",
        frozenset({("typing", "Annotated"), (_CRYPTO, "Secret"), (_CRYPTO, "Encrypted")}),
    )


def encrypting(parameter: Parameter, function: str) -> str:
    """Return the expression that encrypts a parameter; ``function`` is how the module calls ``encrypt``."""
    assert parameter.encryption is not None
    keys = ", ".join(f"{key}={key}" for key in parameter.encryption.keys)
    column = string_literal(parameter.encryption.column)
    return f'{function}({column}, "{parameter.name}", {parameter.name}, {keys})'


def check_encrypted_column(
    statement: Statement, encryption: Encryption, column: ColumnFact, others: tuple[ColumnFact, ...]
) -> None:
    """Raise ``ContractError`` where a column cannot hold what its header says, or its row cannot be known."""
    _check_type(statement, encryption, column.name, column.type)
    known = {other.name: other.type for other in others}
    for name in encryption.columns:
        if name not in known:
            raise _error(
                statement,
                encryption,
                f"{column.name} is bound to {' and '.join(encryption.columns)}, "
                f"and {name} is not among the columns",
                f"select {name} too, or name what says which row it is: "
                f"column {column.name}: encrypted ({encryption.keys[-1]})",
            )
        _check_key(statement, encryption, name, known[name])


def check_encrypted_parameter(
    statement: Statement, encryption: Encryption, fact: ParameterFact, others: dict[str, ParameterFact]
) -> None:
    """Raise ``ContractError`` where a parameter does not go into a column that can hold it."""
    _check_type(statement, encryption, f":{fact.name}", fact.type)
    for name in encryption.keys:
        _check_key(statement, encryption, f":{name}", others[name].type)


def _check_type(statement: Statement, encryption: Encryption, what: str, type: PgType) -> None:
    if _base(type).name != "bytea":
        raise _error(
            statement,
            encryption,
            f"{what} is {type}, and what is encrypted is bytea",
            "make the column bytea: alter table … alter column … type bytea",
        )


def _check_key(statement: Statement, encryption: Encryption, what: str, type: PgType) -> None:
    if _base(type).name not in _KEYS:
        raise _error(
            statement,
            encryption,
            f"{what} is {type}, and a value can be bound to uuid, integers, text and varchar only",
            "name other columns in the header: encrypted (tenant_id, id)",
        )


def _base(type: PgType) -> PgType:
    while type.kind == "domain" and type.element is not None:
        type = type.element
    return type


def _error(statement: Statement, encryption: Encryption, message: str, hint: str) -> ContractError:
    return ContractError(f"{statement.name}: {message}", place=encryption.place, hint=hint)
