"""The time to import each contender's library in a new process; 150 generated queries.

Python's own start is not counted. All modules are compiled already, as in an installation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.contenders.base import Contender
from benchmarks.extent import Extent
from benchmarks.loops import available_loops
from benchmarks.results import Measured, Series

__all__ = ["NAME", "generated_queries", "measure_imports"]

NAME: Final = "import"

_LIBRARIES: Final = {
    "plainsql": "plainsql.database",
    "asyncpg-pool": "asyncpg",
    "psycopg": "psycopg, psycopg_pool",
    "psqlpy": "psqlpy",
    "aiosql": "aiosql, asyncpg",
    "sqlspec": "sqlspec.adapters.asyncpg",
    "sqlalchemy-core": "sqlalchemy.ext.asyncio, sqlalchemy.dialects.postgresql.asyncpg, asyncpg",
    "sqlalchemy-orm": "sqlalchemy.ext.asyncio, sqlalchemy.orm, sqlalchemy.dialects.postgresql.asyncpg",
    "piccolo": "piccolo.table, piccolo.engine.postgres, asyncpg",
    "tortoise": "tortoise, tortoise.models, tortoise.backends.asyncpg",
}
"""The modules of its application, the driver included. A contender that is not here imports another's."""

_TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def measure_imports(contenders: Mapping[str, Contender], extent: Extent, deadline: float) -> Measured:
    """Import each library in turn, each time in a new process.

    The first round compiles, and warms the disk's cache.
    """
    began = time.monotonic()
    failed: dict[str, str] = {}
    series = {name: Series(name, [], 1) for name in contenders if name in _LIBRARIES}
    with tempfile.TemporaryDirectory() as compiled:
        # Compiled, as installed packages are: an editable one may be in a read-only folder, and
        # the environment may forbid it.
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for number in range(extent.import_rounds + 1):
            if number > 1 and time.monotonic() > deadline:
                break
            for name in list(series):
                done = subprocess.run(
                    [sys.executable, "-c", _TIMED.format(_LIBRARIES[name])],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=environment,
                )
                if done.returncode:
                    failed[name] = done.stderr.strip().rpartition("\n")[2]
                    del series[name]
                elif number:
                    series[name].rates.append(1 / float(done.stdout))
    return Measured(
        case=NAME,
        title="import of the library in a new process",
        unit="imports",
        loop=available_loops()[0],
        tasks=1,
        took=time.monotonic() - began,
        series=list(series.values()),
        skipped={name: "the same library as another" for name in contenders if name not in _LIBRARIES},
        failed=failed,
    )


def generated_queries() -> list[str]:
    """Return what benchmarks/import_time.py says of 150 generated queries, line by line."""
    script = Path(__file__).with_name("import_time.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    text = done.stderr.strip().rpartition("\n")[2] if done.returncode else done.stdout.rstrip()
    return text.splitlines()
