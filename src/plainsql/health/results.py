"""The results of checks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from plainsql.errors import PlainsqlError

__all__ = ["Check", "Health", "State", "failure"]

State = Literal["ok", "warning", "failed", "skipped"]


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    name: str
    state: State
    text: str
    """The result in one line, without secrets."""
    hint: str | None = None
    """One thing to do."""
    found: dict[str, Any] = {}
    """The same result as values."""

    @property
    def ok(self) -> bool:
        """False if the check failed; a warning and a skipped check are no failures."""
        return self.state != "failed"


class Health(msgspec.Struct, frozen=True):
    """The results of all checks, by ``db.check()``. ``health["postgresql"]`` is one of them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True if no check failed."""
        return all(check.ok for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """Return the check of a name. Raises ``KeyError`` if there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)


def failure(name: str, error: BaseException) -> Check:
    """Return the failed check of an error."""
    if isinstance(error, PlainsqlError):
        text = f"{error.message}: {error.detail}" if error.detail else error.message
        return Check(name, "failed", text, error.hint)
    return Check(name, "failed", str(error).partition("\n")[0] or type(error).__name__)
