"""The report of a vector run in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.vectors.vector_results import VectorResults
from benchmarks.vectors.vector_tables import tables

__all__ = ["print_vectors"]


def print_vectors(console: Console, results: VectorResults) -> None:
    """Print the machine and all tables."""
    machine = results.machine
    console.print(
        f"\n{machine.cpu}, {machine.cores} cores · {machine.python} · PostgreSQL {machine.postgresql}"
        f" · load {machine.load} · commit {results.commit[:12]}{' with changes' if results.dirty else ''}"
    )
    console.print(f"plainsql's compiled part: {results.compiled}")
    console.print(
        f"{results.rows:,} rows, {results.questions} questions, {results.dimensions} dimensions"
        f" ({results.digest}) · {results.index}, ef_search = {results.ef_search}"
    )
    for each in tables(results):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, head in enumerate(each.heads):
            is_number = number and not each.is_text
            table.add_column(head.replace("`", ""), justify="right" if is_number else "left")
        for row in each.rows:
            table.add_row(*(cell.replace("`", "") for cell in row))
        console.print(table)
    for name, reason in results.missing.items():
        console.print(f"without {name}: {reason}", style="yellow")
    console.print(f"{results.took:.0f} s", style="dim")
