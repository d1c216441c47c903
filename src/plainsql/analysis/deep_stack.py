"""Recursion as deep as PostgreSQL's own, whose trees nest deeper than Python's stack allows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["with_deep_stack"]

_T = TypeVar("_T")

# A frame of Python takes up to a kilobyte of the thread's stack if it is called from C. Memory that is not
# touched is not allocated.
_MAX_FRAMES = 200_000
_STACK_BYTES = 256 * 1024 * 1024


def with_deep_stack(work: Callable[[], _T]) -> _T:
    """Do some work; if it nests too deep for this thread's stack, do it again in a thread with a deeper one.

    Raises:
        RecursionError: it nests too deep for that stack too.
    """
    try:
        return work()
    except RecursionError:
        pass
    return _in_thread(work)


def _in_thread(work: Callable[[], _T]) -> _T:
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (raised below, in the thread that asked)
            errors.append(error)

    frames, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
    # A daemon thread: an interrupt of the caller does not wait for it.
    thread = threading.Thread(target=run, name="plainsql analysis", daemon=True)
    sys.setrecursionlimit(max(frames, _MAX_FRAMES))
    try:
        thread.start()
        threading.stack_size(size)
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(frames)
    if errors:
        raise errors[0]
    return results[0]
