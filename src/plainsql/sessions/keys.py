"""Session ids that cannot be guessed, and the keys in Redis that belong to them."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b

from plainsql.errors import BindError

__all__ = ["SessionKeys", "UserKeys", "new_name", "parse"]

_SECRET_ID = re.compile(r"([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{32})", re.ASCII)
_NAMED_ID = re.compile(r"([A-Za-z0-9_-]{16}):([A-Za-z0-9_-]{1,64})", re.ASCII)
_MAX_USER_CHARACTERS = 1024

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """One session's id and keys."""

    user: UserKeys
    name: str
    """The name in the index: ``.`` before a random name, ``:`` before a given one."""

    @property
    def id(self) -> str:
        return self.user.tag + self.name

    @property
    def is_named(self) -> bool:
        """True if the name was given, and a later session may have it again."""
        return self.name.startswith(":")

    @property
    def session(self) -> str:
        return self.user.sessions + self.name

    @property
    def fence(self) -> str:
        return f"{self.user.fence}:{self.name}"


@dataclass(frozen=True, slots=True)
class UserKeys:
    """One user's keys. All hold the same tag in braces, by which a cluster chooses the slot."""

    prefix: str
    tag: str

    @classmethod
    def of(cls, prefix: str, user: object) -> UserKeys:
        """Make the keys of a user. The name itself does not appear in them."""
        if not isinstance(user, str):
            raise BindError(f"user: expected a str, got {type(user).__name__}", hint="give str(id)")
        if not user:
            raise BindError("user: expected a name or an id, got ''", hint="give each visitor a random one")
        if len(user) > _MAX_USER_CHARACTERS:
            raise BindError(f"user: expected at most {_MAX_USER_CHARACTERS} characters, got {len(user)}")
        try:
            user.encode()
        except UnicodeEncodeError:
            raise BindError("user: expected a text, got one with half of a character (a surrogate)") from None
        digest = blake2b(user.encode(), digest_size=12).digest()
        return cls(prefix, urlsafe_b64encode(digest).decode())

    @property
    def index(self) -> str:
        return f"{self.prefix}:{{{self.tag}}}:index"

    @property
    def fence(self) -> str:
        return f"{self.prefix}:{{{self.tag}}}:fence"

    @property
    def sessions(self) -> str:
        """The prefix of the names."""
        return f"{self.prefix}:{{{self.tag}}}:s"

    def named(self, name: object) -> SessionKeys:
        """Make the keys of a session, with a random name of 192 bits if none is given."""
        if name is None:
            return SessionKeys(self, "." + new_name())
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise BindError("name: expected 1 to 64 letters, digits, '_' and '-', in ASCII")
        return SessionKeys(self, ":" + name)


def parse(prefix: str, session_id: object, *, named: bool) -> SessionKeys | None:
    """Read an id from an untrusted source; return None if it cannot be one.

    A session with a name is only found with ``named``: its id is no secret.

    Raises ``BindError`` for a value that is no text: a program decides about requests without an id.
    """
    if not isinstance(session_id, str):
        raise BindError(
            f"session id: expected a str, got {type(session_id).__name__}",
            hint="a request without one has no session: do not look it up",
        )
    found = _SECRET_ID.fullmatch(session_id) or (named and _NAMED_ID.fullmatch(session_id))
    if not found:
        return None
    tag = found[1]
    return SessionKeys(UserKeys(prefix, tag), session_id[len(tag) :])


def new_name() -> str:
    """Return 192 random bits as 32 characters."""
    return secrets.token_urlsafe(24)
