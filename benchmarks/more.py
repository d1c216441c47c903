"""The measurements of a run outside its cases: cached reads next to other caches, reads on replicas, and a
layer at its full size.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import cache_reads, layers_at_size, replica_reads

__all__ = ["measure_more"]


def measure_more(console: Console, *, quick: bool) -> dict[str, Any]:
    """Measure and print; return what was measured, for the file. A part that cannot run says why.

    What plainsql itself failed at is under ``failed``.
    """
    found: dict[str, Any] = {}
    try:
        rounds, times = (3, 300) if quick else (9, 2000)
        found["cache"] = asyncio.run(cache_reads.measure(rounds=rounds, times=times))
        _print_cache(console, found["cache"])
    except Exception as error:  # noqa: BLE001 (no redis-server, for one; the rest is measured all the same)
        console.print(f"\nwithout cached reads: {type(error).__name__}: {error}", style="yellow")
    try:
        rounds, times = (3, 1000) if quick else (9, 4000)
        found["replicas"] = asyncio.run(replica_reads.measure(rounds=rounds, calls=times))
        _print_replicas(console, found["replicas"])
    except Exception as error:  # noqa: BLE001 (the rest is measured all the same)
        found["failed"] = f"reads on replicas: {type(error).__name__}: {error}"
        console.print(f"\n{found['failed']}", style="red")
    size, calls = (50_000, 50) if quick else (1_000_000, layers_at_size.CALLS)
    try:
        results = layers_at_size.measure(size, calls)
    except Exception as error:  # noqa: BLE001 (what was measured before is written all the same)
        found["failed"] = f"a layer at size: {type(error).__name__}: {error}"
        console.print(f"\n{found['failed']}", style="red")
    else:
        console.print()
        layers_at_size.print_operations(console, results)
        found["layers"] = msgspec.to_builtins(results)
    return found


def _print_replicas(console: Console, found: dict[str, float]) -> None:
    table = Table(title="\npoint reads with two replicas on this machine", title_justify="left")
    table.add_column("")
    table.add_column("µs a call", justify="right")
    for name, microseconds in found.items():
        table.add_row(name, f"{microseconds:.0f}")
    console.print(table)


def _print_cache(console: Console, found: dict[str, Any]) -> None:
    columns = sorted({what for result in found["results"].values() for what in result} - {"version"})
    table = Table(title="\ncached reads, beside other caches", title_justify="left")
    table.add_column("")
    for name, result in found["results"].items():
        table.add_column(f"{name} {result['version']}", justify="right")
    for what in columns:
        values = [result.get(what) for result in found["results"].values()]
        table.add_row(what.replace("_", " "), *map(_shown, values))
    console.print(table)
    for name in found["skipped"]:
        console.print(f"without {name}: not installed", style="yellow")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):  # of many concurrent misses
        failed = sum(value.get("errors", {}).values())
        told = f"{value['seconds'] * 1000:.0f} ms, {value['database_reads']} read"
        return told + (f", {failed} failed" if failed else "")
    return f"{value:.2f}" if isinstance(value, float) else str(value)
