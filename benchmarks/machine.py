"""The machine of the benchmarks: the processor, the versions; no names of hosts or people."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from benchmarks.results import Machine

__all__ = ["describe_checkout", "describe_machine"]

_ALWAYS = ("plainsql", "asyncpg", "msgspec", "uvloop")


def describe_machine(postgresql: str, distributions: Iterable[str]) -> Machine:
    """Describe this machine, with the versions of these packages and of plainsql's requirements."""
    packages = {}
    for name in sorted({*_ALWAYS, *distributions}):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        postgresql=postgresql,
        load=round(os.getloadavg()[0], 2),
        packages=packages,
    )


def describe_checkout() -> tuple[str, bool]:
    """Return the commit of this checkout (empty where it is none), and whether its files differ from it."""
    folder = Path(__file__).parents[1]

    def ask(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return "", False


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
