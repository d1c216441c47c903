"""A signal to end, taken as Ctrl-C is: files that are half written and half open work are cleared away."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "ended_in_order"]


class Terminated(KeyboardInterrupt):
    """The process was told to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def ended_in_order() -> Generator[None]:
    """Raise ``Terminated`` in the block on SIGTERM and SIGHUP, which end a process at once otherwise.

    To be used in the main thread; a signal that is ignored (``nohup``) stays ignored.
    """
    kinds = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {kind: signal.getsignal(kind) for kind in kinds}
    taken = [kind for kind in kinds if before[kind] == signal.SIG_DFL]
    try:
        for kind in taken:
            signal.signal(kind, _raise)
        yield
    finally:
        for kind in taken:
            signal.signal(kind, before[kind])


def _raise(number: int, frame: FrameType | None) -> None:
    # Once: a second signal does not cut short what the first one clears away.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)
