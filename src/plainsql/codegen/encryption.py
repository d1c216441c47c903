"""Encrypted parameters and columns: their generated code, and the check of their headers against the
facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from keyword import iskeyword

from plainsql.analysis.model import Analysis, ColumnFact, Finding, ParameterFact, PgType, TableUse
from plainsql.codegen.python_types import Annotation
from plainsql.codegen.source_names import string_literal
from plainsql.errors import ContractError
from plainsql.statements import Encryption, Parameter, Statement

__all__ = [
    "ENCRYPTED_PARAMETER",
    "ColumnBindings",
    "annotate_encrypted",
    "check_encrypted",
    "encrypt_expression",
    "encrypting_function",
    "unbound_encryption",
]

ENCRYPTED_PARAMETER = Annotation("str")
"""The annotation of an encrypted parameter."""

_CRYPTO = "plainsql.crypto"
_KEY_TYPES = frozenset({"uuid", "int2", "int4", "int8", "text", "varchar"})
"""Types whose values have one text each, whichever driver or format carries them."""


def annotate_encrypted(encryption: Encryption) -> Annotation:
    """Return the annotation of an encrypted column."""
    arguments = ", ".join(map(string_literal, (encryption.column, *encryption.marks)))
    return Annotation(
        f"Annotated[Secret, Encrypted({arguments})]",
        frozenset({("typing", "Annotated"), (_CRYPTO, "Secret"), (_CRYPTO, "Encrypted")}),
    )


def encrypting_function(encryption: Encryption) -> str:
    """Return the function of ``plainsql.crypto`` that makes the sent value of a parameter."""
    if encryption.is_search:
        return "search_digests"
    return "encrypt_searchable" if encryption.form else "encrypt"


def encrypt_expression(parameter: Parameter, function: str) -> str:
    """Return the expression of a parameter's sent value.

    ``function`` is the module's name for its ``encrypting_function``.
    """
    encryption = parameter.encryption
    assert encryption is not None
    parts = [string_literal(encryption.column), f'"{parameter.name}"', parameter.name]
    if encryption.form:
        parts.append(string_literal(encryption.form))
    if encryption.form and not encryption.is_search:
        scope = ", ".join(map(string_literal, encryption.scope))
        parts.append(f"({scope}{',' if len(encryption.scope) == 1 else ''})")
    parts += [
        f'**{{"{column}": {key}}}' if iskeyword(column) else f"{column}={key}"
        for column, key in zip(encryption.bound, encryption.keys, strict=True)
    ]
    return f"{function}({', '.join(parts)})"


def check_encrypted(statement: Statement, variants: Sequence[Analysis]) -> None:
    """Raise ``ContractError`` if an encrypted parameter or column contradicts its header."""
    for analysis in variants:
        for encryption, fact, facts in _parameters(statement, analysis):
            _check_parameter(statement, encryption, fact, facts)
        columns = {column.name: column for column in analysis.columns}
        for hint in statement.columns:
            if hint.encryption is not None:
                _check_column(statement, hint.encryption, columns[hint.name], columns, analysis)


def unbound_encryption(statement: Statement, analysis: Analysis) -> Iterator[Finding]:
    """Yield the findings about encrypted parameters that may be written into a row they are not bound to."""
    for encryption, fact, _ in _parameters(statement, analysis):
        if encryption.is_search:
            continue
        writes = _writes(encryption, analysis)
        keys = " and ".join(f":{key}" for key in encryption.keys)
        if not writes and not fact.written_to and not fact.compared:
            yield Finding(
                "unbound-encryption",
                f"{fact.name} is encrypted for the row of {keys}, and is not seen to be written there",
                hint=f"write it into {encryption.column}",
            )
        for use in writes:
            free = [key for key in encryption.keys if not _bound_to(use, key)]
            if free:
                yield Finding(
                    "unbound-encryption",
                    f"{fact.name} is encrypted for the row of {keys}, and the {use.action} may write it into "
                    f"rows that are not bound to {' and '.join(f':{key}' for key in free)}",
                    hint="compare the row's key with these parameters for equality, or name in the header "
                    "those that it is compared with",
                )
                break


class ColumnBindings:
    """The columns that bind each encrypted column's values: the same ones wherever it is written and read."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Statement, tuple[frozenset[str], ...]]] = {}
        self._searches: dict[str, tuple[Statement, Encryption]] = {}
        """The first statement that writes or searches a column's digests, and how."""
        self._unsearchable: dict[str, tuple[Statement, Encryption]] = {}
        """The first statement that writes a column's values without digests."""

    def check(self, statement: Statement, variants: Sequence[Analysis]) -> None:
        """Raise ``ContractError`` if a statement binds a column's values to other columns than an earlier
        one.
        """
        for encryption in statement.encryptions:
            self._check_search(statement, encryption)
        for encryption, keys in _keys(statement, variants):
            first, known = self._known.setdefault(encryption.column, (statement, keys))
            if len(known) != len(keys) or not all(a & b for a, b in zip(known, keys, strict=True)):
                raise _error(
                    statement,
                    encryption,
                    f"{encryption.column} is bound to {_listed(keys)} here, "
                    f"and to {_listed(known)} in {first.path}",
                    "name the same columns in the same order: a value written with one could not be read "
                    "with the other",
                )
            for columns, named, key in zip(keys, encryption.bound, encryption.keys, strict=True):
                if named not in columns:
                    raise _error(
                        statement,
                        encryption,
                        f"{encryption.column} is bound to {_listed(keys)}, and {named} is none of these",
                        f"name the column of {key}: encrypted ({min(columns)} = {key})",
                    )

    def _check_search(self, statement: Statement, encryption: Encryption) -> None:
        """Raise ``ContractError`` if a column's digests are made here in another way than elsewhere."""
        column = encryption.column
        if not encryption.form:
            if any(parameter.encryption is encryption for parameter in statement.parameters):
                self._unsearchable.setdefault(column, (statement, encryption))
        else:
            first, known = self._searches.setdefault(column, (statement, encryption))
            if (known.form, known.scope) != (encryption.form, encryption.scope):
                raise _error(
                    statement,
                    encryption,
                    f"{column} is searched {_manner(encryption)} here, and {_manner(known)} in {first.path}",
                    "write the same in both: a digest made in one way is not found in the other",
                )
        if column in self._searches and column in self._unsearchable:
            searching, known = self._searches[column]
            writing, plain = self._unsearchable[column]
            raise _error(
                writing,
                plain,
                f"{column} is searched {_manner(known)} in {searching.path}, and written without a digest",
                f"no search would find the row: write {_searchable(plain, known)}",
            )


def _manner(encryption: Encryption) -> str:
    form = "exactly" if encryption.form == "exactly" else f"as {encryption.form}"
    return f"({', '.join(encryption.scope)}) {form}" if encryption.scope else form


def _searchable(written: Encryption, search: Encryption) -> str:
    """Return the header's value of a written parameter with the form of a search."""
    keys = ", ".join(
        key if key == column else f"{column} = {key}"
        for column, key in zip(written.bound, written.keys, strict=True)
    )
    scope = f" ({', '.join(search.scope)})" if search.scope or len(written.bound) > 1 else ""
    form = "exactly" if search.form == "exactly" else f"as {search.form}"
    return f"encrypted ({keys}), searchable{scope} {form}"


def _keys(
    statement: Statement, variants: Sequence[Analysis]
) -> Iterator[tuple[Encryption, tuple[frozenset[str], ...]]]:
    """Yield the columns of the table that encrypted values are bound to, if they are known."""
    for analysis in variants:
        for encryption, _, _ in _parameters(statement, analysis):
            for use in () if encryption.is_search else _writes(encryption, analysis):
                keys = tuple(_bound_to(use, key) for key in encryption.keys)
                if all(keys):
                    yield encryption, keys
        columns = {column.name: column for column in analysis.columns}
        for hint in statement.columns:
            if hint.encryption is None:
                continue
            origins = [columns[name].origin for name in hint.encryption.columns]
            table = hint.encryption.column.rpartition(".")[0]
            if all(origin and f"{origin.schema}.{origin.table}" == table for origin in origins):
                yield hint.encryption, tuple(frozenset({origin.column}) for origin in origins if origin)


def _parameters(
    statement: Statement, analysis: Analysis
) -> Iterator[tuple[Encryption, ParameterFact, dict[str, ParameterFact]]]:
    facts = {fact.name: fact for fact in analysis.parameters}
    for parameter in statement.parameters:
        if parameter.encryption is not None and parameter.name in facts:
            yield parameter.encryption, facts[parameter.name], facts


def _writes(encryption: Encryption, analysis: Analysis) -> list[TableUse]:
    table, _, column = encryption.column.rpartition(".")
    return [
        use
        for use in analysis.writes
        if str(use) == table and use.action in ("insert", "update") and column in use.columns
    ]


def _bound_to(use: TableUse, parameter: str) -> frozenset[str]:
    return frozenset(column for column, name in use.bound if name == parameter)


def _check_parameter(
    statement: Statement, encryption: Encryption, fact: ParameterFact, facts: dict[str, ParameterFact]
) -> None:
    if encryption.is_search:
        _check_search(statement, encryption, fact, facts)
        return
    if fact.compared:
        raise _error(
            statement,
            encryption,
            f":{fact.name} is encrypted, and compared: it equals nothing, "
            "for one text is encrypted to other bytes each time",
            "search its digests: write it as encrypted, searchable, and declare "
            f"param {fact.name}: digest of {encryption.column} here",
        )
    _check_type(statement, encryption, f":{fact.name}", fact.type)
    other = next((str(column) for column in fact.written_to if str(column) != encryption.column), None)
    if other is not None:
        raise _error(
            statement,
            encryption,
            f":{fact.name} is encrypted for {encryption.column}, and written into {other}",
            f"write: param {fact.name}: encrypted as {other}",
        )
    for name in encryption.keys:
        # A parameter on an optional line may be missing: the call then raises an error.
        if name in facts:
            _check_key_type(statement, encryption, f":{name}", facts[name].type)


def _check_search(
    statement: Statement, encryption: Encryption, fact: ParameterFact, facts: dict[str, ParameterFact]
) -> None:
    column = f"{encryption.column.rpartition('.')[2]}_digest"
    type = _base(fact.type)
    if type.kind != "array" or type.element is None or _base(type.element).name != "bytea":
        raise _error(
            statement,
            encryption,
            f":{fact.name} is {fact.type}, and the digests of a text are bytea[], one for each key",
            f"compare it with a column of digests: {column} = any(:{fact.name})",
        )
    if fact.written_to or not fact.compared:
        raise _error(
            statement,
            encryption,
            f":{fact.name} is searched, and "
            + (f"written into {fact.written_to[0]}" if fact.written_to else "not compared"),
            f"compare it with a column of digests: {column} = any(:{fact.name})",
        )
    for name in encryption.keys:
        if name in facts:
            _check_key_type(statement, encryption, f":{name}", facts[name].type)


def _check_column(
    statement: Statement,
    encryption: Encryption,
    column: ColumnFact,
    columns: dict[str, ColumnFact],
    analysis: Analysis,
) -> None:
    _check_type(statement, encryption, column.name, column.type)
    for name in encryption.columns:
        if name not in columns:
            raise _error(
                statement,
                encryption,
                f"{column.name} is bound to {' and '.join(encryption.columns)}, "
                f"and {name} is not among the columns",
                f"select {name} too, or name the columns that identify the row, such as encrypted (id)",
            )
        _check_key_type(statement, encryption, name, columns[name].type)
    table = encryption.column.rpartition(".")[0]
    # A view's column is named after the view; only the tables that are read show what is below it.
    through_view = any(str(use) == table and use.via for use in analysis.reads)
    if column.origin is not None and str(column.origin) != encryption.column and not through_view:
        raise _error(
            statement,
            encryption,
            f"{column.name} is {column.origin}, and its header takes it for {encryption.column}",
            f"write: encrypted as {column.origin}",
        )


def _check_type(statement: Statement, encryption: Encryption, what: str, type: PgType) -> None:
    if _base(type).name != "bytea":
        raise _error(
            statement,
            encryption,
            f"{what} is {type}, and encrypted values are bytea",
            "make the column bytea in a migration, or remove the line",
        )


def _check_key_type(statement: Statement, encryption: Encryption, what: str, type: PgType) -> None:
    if _base(type).name not in _KEY_TYPES:
        raise _error(
            statement,
            encryption,
            f"{what} is {type}, and a value can be bound to uuid, integers, text and varchar only",
            "name other columns in the header, such as encrypted (id)",
        )


def _base(type: PgType) -> PgType:
    while type.kind == "domain" and type.element is not None:
        type = type.element
    return type


def _listed(keys: Sequence[frozenset[str]]) -> str:
    return f"({', '.join('|'.join(sorted(names)) for names in keys)})"


def _error(statement: Statement, encryption: Encryption, message: str, hint: str) -> ContractError:
    return ContractError(f"{statement.name}: {message}", place=encryption.place, hint=hint)
