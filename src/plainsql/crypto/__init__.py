"""Encryption of columns: AES-256-GCM, bound to the row and the column, with a ring of keys.

A header marks what is encrypted (``param access_token: encrypted``, ``column access_token: encrypted``);
callers give and get text. The keys come from ``PLAINSQL_ENCRYPTION_KEYS``. Importing this imports no
cryptography: the first encrypted value does.
"""

from plainsql.crypto.columns import Encrypted, encrypt, encrypt_searchable, search_digests
from plainsql.crypto.keyring import KEYS_VARIABLE, KeyRing, new_key
from plainsql.crypto.rotation import Rotation
from plainsql.crypto.secret import Secret

__all__ = [
    "KEYS_VARIABLE",
    "Encrypted",
    "KeyRing",
    "Rotation",
    "Secret",
    "encrypt",
    "encrypt_searchable",
    "new_key",
    "search_digests",
]
