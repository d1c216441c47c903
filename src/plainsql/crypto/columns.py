"""Encryption of a query's parameters before they are sent, and decryption of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plainsql.crypto.blind_index import search_digest
from plainsql.crypto.keyring import KeyRing
from plainsql.crypto.secret import Secret
from plainsql.errors import BindError
from plainsql.types import UNSET, RowMark

__all__ = ["Encrypted", "encrypt", "encrypt_searchable", "search_digests"]


class Encrypted(RowMark):
    """The mark of an encrypted column: ``Annotated[Secret, Encrypted("shop.users.token", "id")]``.

    ``column`` is the column that stores the value, ``schema.table.column``. The keys are the columns that
    identify the row. Each is the field of that name in the same row, or another one: ``"id=user_id"``. A
    value can be decrypted only with the same column and the same keys.
    """

    __slots__ = ("column", "columns", "form", "scope")

    def __init__(self, column: str, *keys: str, form: str = "", scope: Sequence[str] = ()) -> None:
        super().__init__(tuple(key.rpartition("=")[2] for key in keys))
        self.column = column
        self.form = form
        """The normal form by which written values are searched; empty if they are not searched."""
        self.scope = tuple(scope)
        """The keys that the search digest is bound to."""
        self.columns = tuple(key.partition("=")[0] for key in keys)
        """The keys as columns of the table, in the order of ``names``."""

    def read(self, value: Any, others: Sequence[object]) -> Secret:
        """Decrypt a value that is not null. Raises ``EncryptionError``."""
        return Secret(KeyRing.from_environment().decrypt(value, self.column, self.columns, others))

    def encrypt(self, parameter: str, value: Any, others: Sequence[object]) -> Any:
        """Encrypt a parameter's value; null and ``UNSET`` are returned unchanged.

        Raises ``BindError`` if the value is no text, or if a key of the row is null.
        """
        if not _is_text(parameter, value):
            return value
        try:
            ring, digest = KeyRing.from_environment(), b""
            if self.form:
                key = ring.search_keys(self.column)[0]
                values = [others[self.columns.index(name)] for name in self.scope]
                digest = search_digest(key, self.column, parameter, value, self.form, self.scope, values)
            return ring.encrypt(value, self.column, self.columns, others, digest)
        except UnicodeEncodeError:
            pass
        # Raised here and not in the handler: the first error holds the text, and must not be its context.
        raise BindError(f"{parameter}: the text is not valid Unicode")

    def digests(self, parameter: str, value: Any, others: Sequence[object]) -> Any:
        """Return the digests of a searched text under all keys of the ring, the first key's first.

        Null and ``UNSET`` are returned unchanged. Raises ``BindError`` if the value is no text or has not the
        form, or if a key in ``others`` is null.
        """
        if not _is_text(parameter, value):
            return value
        try:
            return [
                search_digest(key, self.column, parameter, value, self.form, self.columns, others)
                for key in KeyRing.from_environment().search_keys(self.column)
            ]
        except UnicodeEncodeError:
            pass
        # Raised here and not in the handler, as in ``encrypt``.
        raise BindError(f"{parameter}: the text is not valid Unicode")

    def __repr__(self) -> str:
        search = f", form={self.form!r}, scope={self.scope!r}" if self.form else ""
        return f"Encrypted({', '.join(map(repr, (self.column, *self._keys())))}{search})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.column, self._keys(), self.form, self.scope)

    def _keys(self) -> list[str]:
        pairs = zip(self.columns, self.names, strict=True)
        return [name if column == name else f"{column}={name}" for column, name in pairs]


def _restored(column: str, keys: Sequence[str], form: str, scope: Sequence[str]) -> Encrypted:
    return Encrypted(column, *keys, form=form, scope=scope)


def _is_text(parameter: str, value: Any) -> bool:
    """Return whether a value is a text, False for null and ``UNSET``. Raises ``BindError`` for others."""
    if value is None or value is UNSET:
        return False
    if not isinstance(value, str):
        raise BindError(f"{parameter}: expected str, got {type(value).__name__}")
    return True


def encrypt(column: str, parameter: str, value: Any, /, **others: object) -> Any:
    """Encrypt a parameter's value for a row with the key columns ``others``. Generated code calls it.

    Raises what ``Encrypted.encrypt`` raises.
    """
    return Encrypted(column, *others).encrypt(parameter, value, tuple(others.values()))


def encrypt_searchable(
    column: str, parameter: str, value: Any, form: str, scope: Sequence[str], /, **others: object
) -> Any:
    """Encrypt a parameter's value with its search digest in front. Generated code calls it.

    ``form`` is the normal form that is searched, and ``scope`` has the keys that the digest is bound to.
    Raises what ``Encrypted.encrypt`` raises, and ``BindError`` for a text that has not the form.
    """
    mark = Encrypted(column, *others, form=form, scope=scope)
    return mark.encrypt(parameter, value, tuple(others.values()))


def search_digests(column: str, parameter: str, value: Any, form: str, /, **others: object) -> Any:
    """Return the digests that a searched text has under the keys of the ring, the first key's first.

    Generated code calls it. Raises what ``Encrypted.digests`` raises.
    """
    mark = Encrypted(column, *others, form=form, scope=tuple(others))
    return mark.digests(parameter, value, tuple(others.values()))
