"""``python -m benchmarks.vectors``, or ``make bench-vectors ARGS="…"``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from benchmarks.vectors.corpus import TooFewTextsError
from benchmarks.vectors.store_worker import STORES
from benchmarks.vectors.vector_chart import draw_vectors
from benchmarks.vectors.vector_claims import claims, missed
from benchmarks.vectors.vector_report import print_vectors
from benchmarks.vectors.vector_run import FULL, QUICK, run_vectors

__all__ = ["app"]

RESULTS = Path(__file__).parents[1] / "results"
PEERS = Path(__file__).parents[2] / ".venv-vectors" / "bin" / "python"

app = App(
    name="benchmarks.vectors", help="Vector search compared with other vector stores.", version_flags=[]
)


@app.default
def vectors(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Path | None = None,
    stores: str = ",".join(STORES),
    peers: Path = PEERS,
    chart: str = "latest-vectors",
    folder: Path = RESULTS,
) -> int:
    """Measure, print the tables, write a chart.

    Exits with 1 if plainsql returned other rows, too few of them, or missed too many of the nearest; or if
    another store failed.

    Parameters
    ----------
    quick
        Fewer rows and rounds: the recall is higher and the spreads are wider than those of a full run.
    json
        A file for everything that was measured.
    stores
        Who takes part, by their short names, with commas. plainsql always does.
    peers
        The Python that has the packages of the other stores.
    chart
        The name of the chart, which is written as SVG and PNG.
    folder
        Where the chart goes.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    names = [name.strip() for name in stores.split(",") if name.strip()]
    unknown = [name for name in names if name not in STORES]
    if unknown:
        console.print(f"no store '{unknown[0]}'; there are {', '.join(STORES)}", style="red")
        return 2
    try:
        results = run_vectors(
            [name for name in STORES if name in names or name == "plainsql"],
            (str(peers), _packages(peers)) if peers.exists() else None,
            QUICK if quick else FULL,
            lambda text: console.print(f"{text} …", style="dim"),
        )
    except TooFewTextsError as error:
        console.print(f"{error}: make bench-vectors installs the packages that they come from", style="red")
        return 2
    print_vectors(console, results)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        console.print(f"wrote {json}; python -m benchmarks.vectors.vector_page {json} puts it into the page")
    try:
        for path in draw_vectors(results, folder, chart):
            console.print(f"wrote {path.name}")
    except ModuleNotFoundError as error:
        console.print(f"no chart: {error.name} is not installed", style="yellow")
    failed = [name for name in results.missing if peers.exists()]
    return 1 if failed or missed(claims(results)) else 0


def _packages(python: Path) -> Path:
    """Return the folder of the packages of another Python."""
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


if __name__ == "__main__":
    sys.exit(app())
