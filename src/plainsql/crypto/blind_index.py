"""The digests by which encrypted values are found: HMAC-SHA-256 of a normal form of the text.

Equal texts of one column have equal digests under one key, and nothing else is to be read from a digest
without the key. Its key is derived from a key of the ring by HKDF-SHA-256, for each column its own: a digest
of one column equals none of another one, and the key that encrypts computes no digest.

A digest is not truncated. Fewer bytes would make different texts equal, so that a search finds the wrong rows
and a unique index refuses values that are new.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from plainsql.crypto.envelope import same_key, with_lengths
from plainsql.errors import BindError, SettingsError

__all__ = ["FORMS", "derived_key", "search_digest"]

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE: Final = re.compile(r"\+?[\d\s().\-/\u2010-\u2015]+")


def _exact(text: str) -> str:
    return text


def _email(text: str) -> str | None:
    """Return an address in lower case without spaces around it, in Unicode's form NFKC."""
    found = unicodedata.normalize("NFKC", text).strip().lower()
    return found if _EMAIL.fullmatch(found) else None


def _phone(text: str) -> str | None:
    """Return ``+`` and the digits; ``00`` at the front is the same as ``+``."""
    found = unicodedata.normalize("NFKC", text).strip()
    if not _PHONE.fullmatch(found):
        return None
    digits = "".join(str(unicodedata.digit(each)) for each in found if each.isdigit())
    if not found.startswith("+"):
        digits = digits.removeprefix("00")
    return f"+{digits}" if digits else None


FORMS: Final[Mapping[str, Callable[[str], str | None]]] = MappingProxyType(
    {"exactly": _exact, "email": _email, "phone": _phone}
)
"""The normal forms by the names that headers have; None for a text that has none."""

_EXPECTED: Final = {
    "email": ("an e-mail address", "it is searched as email: it needs a name, @ and a host, without spaces"),
    "phone": ("a telephone number", "it is searched as phone: digits, spaces and ().-/ with a + in front"),
}


def derived_key(key: bytes, column: str) -> bytes:
    """Return the key of a column's digests, which is derived from a key of the ring."""
    try:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise SettingsError(
            "encrypted columns need the library cryptography", hint="pip install 'plainsql[crypto]'"
        ) from None
    info = with_lengths([b"plainsql search digest", column.encode()])
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)


def search_digest(
    key: bytes,
    column: str,
    parameter: str,
    text: str,
    form: str,
    names: Sequence[str],
    values: Sequence[object],
) -> bytes:
    """Return the digest of a text, bound to the columns ``names`` with ``values``, such as the tenant.

    Raises ``BindError`` if the text has not the form, or if a value that it is bound to is null.
    """
    normal = FORMS[form](text)
    if normal is None:
        expected, hint = _EXPECTED[form]
        raise BindError(f"{parameter}: expected {expected}, and the text is none", hint=hint)
    parts = [form.encode()]
    for name, value in zip(names, values, strict=True):
        parts += [name.encode(), same_key(column, name, value)]
    return hmac.digest(key, with_lengths([*parts, normal.encode()]), "sha256")
