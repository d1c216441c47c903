"""The range of a numeric option, checked when the command line is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["LOCK_RETRIES", "LOCK_TIMEOUT", "WAIT", "NumberRange"]


@dataclass(frozen=True, slots=True)
class NumberRange:
    """The values that an option accepts, as ``validator`` of its ``Parameter``."""

    noun: str
    """The kind of the number: ``seconds``, ``an integer``."""
    low: int
    high: int
    example: str
    above_low: bool = False
    """True if ``low`` itself is refused."""

    @property
    def expected(self) -> str:
        """The range in words."""
        if self.above_low:
            return f"{self.noun} above {self.low}, at most {self.high}"
        return f"{self.noun} from {self.low} to {self.high}"

    def __call__(self, _type: Any, value: float | tuple[float, ...] | None) -> None:
        """Raise ``ValueError`` if the value, or one of several, is outside of the range."""
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and not self._has(each):
                raise ValueError(f"expected {self.expected}")

    def _has(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and self.low <= value <= self.high
            and not (self.above_low and value == self.low)
        )


WAIT: Final = NumberRange("seconds", 0, 2**31, "60")
LOCK_TIMEOUT: Final = NumberRange("seconds", 0, 2**31 // 1000 - 1, "5")
"""The server's limit: a setting in milliseconds."""
LOCK_RETRIES: Final = NumberRange("an integer", 0, 2**31 - 1, "5")
