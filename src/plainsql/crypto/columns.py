"""Encryption of a query's parameters before they are sent, and decryption of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plainsql.crypto.keyring import KeyRing
from plainsql.crypto.secret import Secret
from plainsql.errors import BindError
from plainsql.types import UNSET, RowMark

__all__ = ["Encrypted", "encrypt"]


class Encrypted(RowMark):
    """The mark of an encrypted column: ``Annotated[Secret, Encrypted("shop.users.token", "id")]``.

    ``column`` is the column that stores the value, ``schema.table.column``. The keys are the columns that
    identify the row. Each is the field of that name in the same row, or another one: ``"id=user_id"``. A
    value can be decrypted only with the same column and the same keys.
    """

    __slots__ = ("column", "columns")

    def __init__(self, column: str, *keys: str) -> None:
        super().__init__(tuple(key.rpartition("=")[2] for key in keys))
        self.column = column
        self.columns = tuple(key.partition("=")[0] for key in keys)
        """The keys as columns of the table, in the order of ``names``."""

    def read(self, value: Any, others: Sequence[object]) -> Secret:
        """Decrypt a value that is not null. Raises ``EncryptionError``."""
        return Secret(KeyRing.from_environment().decrypt(value, self.column, self.columns, others))

    def encrypt(self, parameter: str, value: Any, others: Sequence[object]) -> Any:
        """Encrypt a parameter's value; null and ``UNSET`` are returned unchanged.

        Raises ``BindError`` if the value is no text, or if a key of the row is null.
        """
        if value is None or value is UNSET:
            return value
        if not isinstance(value, str):
            raise BindError(f"{parameter}: expected str, got {type(value).__name__}")
        try:
            return KeyRing.from_environment().encrypt(value, self.column, self.columns, others)
        except UnicodeEncodeError:
            pass
        # Raised here and not in the handler: the first error holds the text, and must not be its context.
        raise BindError(f"{parameter}: the text is not valid Unicode")

    def __repr__(self) -> str:
        return f"Encrypted({', '.join(map(repr, (self.column, *self._keys())))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Encrypted, (self.column, *self._keys())

    def _keys(self) -> list[str]:
        pairs = zip(self.columns, self.names, strict=True)
        return [name if column == name else f"{column}={name}" for column, name in pairs]


def encrypt(column: str, parameter: str, value: Any, /, **others: object) -> Any:
    """Encrypt a parameter's value for a row with the key columns ``others``. Generated code calls it.

    Raises what ``Encrypted.encrypt`` raises.
    """
    return Encrypted(column, *others).encrypt(parameter, value, tuple(others.values()))
