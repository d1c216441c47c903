"""Builds the compiled part into a wheel, or into the checkout for an editable install, if it can be built."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SpeedBuildHook(BuildHookInterface[Any]):
    """The hook of both kinds of wheels. The source distribution holds the sources alone."""

    _folder: Path | None = None

    def dependencies(self) -> list[str]:
        """Return what the compiled part is built with; without a C compiler the build needs none of it."""
        if os.environ.get("PLAINSQL_SPEED_BUILD") == "no":
            return []
        script = runpy.run_path(str(self._script))
        return list(self.config["speed-dependencies"]) if not script["obstacle"](tools=False) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, before hatchling collects the files."""
        if os.environ.get("PLAINSQL_SPEED_BUILD") == "no":
            return
        if version == "editable":
            self._build(Path(self.root) / "src" / "plainsql")
            return
        self._folder = Path(tempfile.mkdtemp(prefix="plainsql-speed-"))
        self._build(self._folder)
        built = sorted((self._folder / "speed").iterdir())
        build_data["force_include"].update({str(path): f"plainsql/speed/{path.name}" for path in built})
        if any(path.suffix != ".json" for path in built):
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete what the wheel holds by now."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _script(self) -> Path:
        return Path(self.root) / "scripts" / "build_speed.py"

    def _build(self, package: Path) -> None:
        done = subprocess.run([sys.executable, str(self._script), "--into", str(package)], check=False)
        if done.returncode != 0:
            raise SystemExit(done.returncode)
