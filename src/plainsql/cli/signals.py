"""SIGTERM and SIGHUP as Ctrl-C: a command cancels its statement on the server, and reports what is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Signals", "interrupting_signals"]

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Signals:
    """The signals that have arrived."""

    def __init__(self) -> None:
        self._number = int(signal.SIGINT)

    def arrived(self, number: int, _: FrameType | None) -> None:
        self._number = number
        raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """The exit code of a program that the signal ended, as shells define it."""
        return 128 + self._number


@contextmanager
def interrupting_signals() -> Iterator[Signals]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP too, unless they are handled or ignored already."""
    signals = Signals()
    taken = []
    if threading.current_thread() is threading.main_thread():
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signals.arrived)
                taken.append(number)
    try:
        yield signals
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
