"""``plainsql.speed.status()``: whether the compiled part is in use, and the reason if it is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError
from importlib.metadata import version
from pathlib import Path

import pytest

import plainsql
from plainsql import speed
from plainsql.errors import SettingsError
from plainsql.speed import loaded
from plainsql.speed.availability import availability
from plainsql.speed.build_record import (
    EXTENSION_SUFFIX,
    BuildRecord,
    read_record,
    source_digest,
    write_record,
)

PACKAGE = Path(plainsql.__file__).parent
PROGRAM = """
import json, sys
from plainsql import speed
from plainsql.speed import loaded
status = speed.status()
modules = [name for name in sys.modules if name.startswith("plainsql.speed._")]
parts = [loaded.PROTOCOL, loaded.STEP, loaded.CONNECT, loaded.MAKE_READER]
print(json.dumps([str(status), status.hint, status.running, modules, [part is None for part in parts]]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with sources and the record of a build for asyncpg 0.32.0."""
    (tmp_path / "_wire.pyx").write_text("x = 1\n")
    write_record(tmp_path, BuildRecord(source_digest(tmp_path), "0.32.0", "3.3.1", ""))
    return tmp_path


def run(path: Path | None = None, **environment: str) -> tuple[str, str, bool, list[str], list[bool]]:
    """The findings of a new process: the status, its hint, if it runs, the modules, which parts are None."""
    inherited = {key: value for key, value in os.environ.items() if key != "PLAINSQL_SPEED"}
    if path is not None:
        # `make test-asyncpg` has another asyncpg there.
        environment["PYTHONPATH"] = os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    text, hint, running, modules, none = json.loads(done.stdout)
    return text, hint, running, modules, none


def package_with(folder: Path) -> Path:
    """A copy of the package's modules of the compiled part; the rest of the package is linked."""
    package = folder / "plainsql"
    package.mkdir()
    for path in PACKAGE.iterdir():
        if path.name != "speed":
            (package / path.name).symlink_to(path)
    shutil.copytree(PACKAGE / "speed", package / "speed", ignore=shutil.ignore_patterns("_*", "include"))
    shutil.copy2(PACKAGE / "speed" / "__init__.py", package / "speed")
    return package / "speed"


def test_what_was_built_for_this_asyncpg_may_run(folder: Path) -> None:
    status = availability("0.32.0", {}, folder)
    assert (status.running, str(status)) == (True, "in use, built for asyncpg 0.32.0")
    assert (status.asyncpg, status.built_for, status.reason, status.hint) == ("0.32.0", "0.32.0", "", "")
    with pytest.raises(FrozenInstanceError):
        status.running = False  # type: ignore[misc]


def test_another_asyncpg_is_named_with_the_one_to_install(folder: Path) -> None:
    status = availability("0.29.0", {}, folder)
    assert not status.running
    assert str(status) == "not in use: it was built for asyncpg 0.32.0, and 0.29.0 is installed"
    assert status.hint == "pip install asyncpg==0.32.0"


def test_changed_sources_are_built_again(folder: Path) -> None:
    (folder / "_wire.pyx").write_text("x = 2\n")
    status = availability("0.32.0", {}, folder)
    assert (status.reason, status.hint) == ("its sources have changed since it was built", "make speed")
    # An installed package holds no sources, so there is nothing to compare.
    (folder / "_wire.pyx").unlink()
    assert availability("0.32.0", {}, folder).running


def test_a_build_that_failed_is_reported_with_its_reason(folder: Path) -> None:
    write_record(folder, BuildRecord(source_digest(folder), "0.32.0", "", "there is no C compiler"))
    status = availability("0.32.0", {}, folder)
    assert (status.reason, status.built_for) == ("it was not built: there is no C compiler", "")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"sources": "1"}'])
def test_without_a_readable_record_nothing_is_used(content: str | None, folder: Path) -> None:
    [path] = folder.glob("_built.*.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    status = availability("0.32.0", {}, folder)
    assert status.reason.startswith("it was not built for Python 3.")
    (folder / "_wire.pyx").unlink()
    assert availability("0.32.0", {}, folder).hint.startswith("pip install --force-reinstall ")


def test_free_threaded_builds_of_python_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t")
    assert availability("0.32.0", {}, folder).reason == "it is not for free-threaded builds of Python"


def test_the_variable_switches_it_off_before_anything_is_imported() -> None:
    text, hint, running, modules, none = run(PLAINSQL_SPEED="0")
    assert (text, running) == ("not in use: PLAINSQL_SPEED=0 switches it off", False)
    assert (hint, modules, none) == ("unset PLAINSQL_SPEED", [], [True] * 4)


def test_a_value_that_the_variable_does_not_have_is_refused(folder: Path) -> None:
    assert availability("0.32.0", {"PLAINSQL_SPEED": "1"}, folder).running
    with pytest.raises(SettingsError, match=r"^PLAINSQL_SPEED is 'off', expected 0 or 1\n"):
        availability("0.32.0", {"PLAINSQL_SPEED": "off"}, folder)


def test_a_module_that_cannot_be_imported_is_a_reason(tmp_path: Path) -> None:
    copy = package_with(tmp_path)
    write_record(copy, BuildRecord("", version("asyncpg"), "3.3.1", ""))
    (copy / f"_wire{EXTENSION_SUFFIX}").write_bytes(b"not a library")
    text, _, running, modules, none = run(tmp_path)
    assert text.startswith("not in use: it cannot be imported: ImportError: ")
    assert (running, modules, none) == (False, [], [True] * 4)


def test_modules_of_another_asyncpg_are_not_touched(tmp_path: Path) -> None:
    copy = package_with(tmp_path)
    write_record(copy, BuildRecord("", "0.28.0", "3.3.1", ""))
    (copy / f"_wire{EXTENSION_SUFFIX}").write_bytes(b"an import of this would be an error")
    text, _, running, modules, none = run(tmp_path)
    assert text == f"not in use: it was built for asyncpg 0.28.0, and {version('asyncpg')} is installed"
    assert (running, modules, none) == (False, [], [True] * 4)


def test_the_status_of_this_process_is_the_truth() -> None:
    # `make test-asyncpg` runs it with an asyncpg that the checkout's modules were not built for.
    status, record = speed.status(), read_record(PACKAGE / "speed")
    assert status.asyncpg == version("asyncpg")
    built = record is not None and not record.failure and record.asyncpg == status.asyncpg
    assert status.running == (built and os.environ.get("PLAINSQL_SPEED") != "0")
    assert status.running == (loaded.PROTOCOL is not None)
    assert bool(status.reason) == bool(status.hint) == (not status.running)
