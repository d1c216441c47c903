"""The build of the compiled part: into wheels, into the checkout, and what happens if it cannot be built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from plainsql.speed.build_record import EXTENSION_SUFFIX
from scripts.build_speed import ROOT, obstacle

MODULE = f"plainsql/speed/_small{EXTENSION_SUFFIX}"
RECORD = f"plainsql/speed/_built{EXTENSION_SUFFIX.rpartition('.')[0]}.json"

needs_compiler = pytest.mark.skipif(obstacle() != "", reason=obstacle())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose compiled part is one small module that compiles in a second."""
    for name in ("pyproject.toml", "hatch_build.py", ".gitignore", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("sql", "migrations", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "build_speed.py", tmp_path / "scripts")
    package = tmp_path / "src" / "plainsql"
    package.mkdir(parents=True)
    for path in (ROOT / "src" / "plainsql").iterdir():
        if path.name not in {"speed", "__pycache__"}:
            (package / path.name).symlink_to(path)
    sources = shutil.ignore_patterns("*.pyx", "*.pxd", "*.so", "_built*", "__pycache__")
    shutil.copytree(ROOT / "src" / "plainsql" / "speed", package / "speed", ignore=sources)
    (package / "speed" / "_small.pyx").write_text("# cython: language_level=3\nSMALL = 1\n")
    return tmp_path


def run(checkout: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PLAINSQL_SPEED")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def wheel(checkout: Path, **environment: str) -> tuple[str, str, set[str], dict[str, str] | None]:
    """Build a wheel: its name, what was said, its files of the compiled part, and the record."""
    done = run(checkout, "-m", "hatchling", "build", "--target", "wheel", "-d", "wheels", **environment)
    assert done.returncode == 0, done.stderr
    [path] = (checkout / "wheels").iterdir()
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if name.startswith("plainsql/speed/")}
        record = json.loads(archive.read(RECORD)) if RECORD in names else None
    return path.name, done.stderr, names, record


def in_place(checkout: Path, **environment: str) -> tuple[int, str]:
    done = run(checkout, "scripts/build_speed.py", **environment)
    return done.returncode, done.stdout + done.stderr


@needs_compiler
def test_a_wheel_has_the_modules_and_names_its_platform(checkout: Path) -> None:
    name, _, files, record = wheel(checkout)
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert name.startswith(f"plainsql-0.1.0-{python}-{python}-")
    assert not name.endswith("-any.whl")
    assert MODULE in files
    assert not {file for file in files if file.endswith((".pyx", ".pxd", ".h", ".c"))}
    assert record is not None
    assert record["failure"] == ""
    assert record["asyncpg"].startswith("0.32.")
    # Nothing of it is left in the checkout.
    assert not [*(checkout / "src").rglob("*.so")]


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        pytest.param("/no/such/compiler", "there is no C compiler", id="none"),
        pytest.param("false", "it does not compile: false failed", id="failing", marks=needs_compiler),
    ],
)
def test_without_a_compiler_the_wheel_is_pure_python(checkout: Path, compiler: str, reason: str) -> None:
    name, said, files, record = wheel(checkout, CC=compiler)
    assert name == "plainsql-0.1.0-py3-none-any.whl"
    assert said.startswith(f"speed: {reason}: plainsql works without the compiled part\n")
    assert MODULE not in files
    assert record is not None
    assert record["failure"] == reason


def test_a_wheel_without_it_holds_no_record(checkout: Path) -> None:
    name, _, files, record = wheel(checkout, PLAINSQL_SPEED_BUILD="no")
    assert name == "plainsql-0.1.0-py3-none-any.whl"
    assert (MODULE in files, record) == (False, None)


def test_what_is_required_and_cannot_be_built_is_an_error(checkout: Path) -> None:
    build = ["-m", "hatchling", "build", "--target", "wheel", "-d", "wheels"]
    done = run(checkout, *build, CC="/no/such/compiler", PLAINSQL_SPEED_BUILD="require")
    assert done.returncode == 1
    assert "there is no C compiler" in done.stderr
    assert not (checkout / "wheels").exists() or not [*(checkout / "wheels").iterdir()]
    code, said = in_place(checkout, PLAINSQL_SPEED_BUILD="always")
    assert (code, said) == (2, "speed: PLAINSQL_SPEED_BUILD is 'always', expected 'require' or 'no'\n")


@needs_compiler
def test_the_checkout_is_built_again_if_a_source_has_changed(checkout: Path) -> None:
    folder = checkout / "src" / "plainsql" / "speed"
    module, source = folder / MODULE.rpartition("/")[2], folder / "_small.pyx"
    code, said = in_place(checkout)
    assert (code, said.startswith("speed: built for asyncpg 0.32.")) == (0, True)
    first = module.stat()
    assert in_place(checkout, CC="/no/such/compiler")[0] == 0, "nothing was to do"
    assert module.stat().st_mtime_ns == first.st_mtime_ns
    # An older time and the same size: only the content differs.
    source.write_text(source.read_text().replace("SMALL", "OTHER"))
    os.utime(source, (0, 0))
    assert in_place(checkout)[0] == 0
    assert b"OTHER" in module.read_bytes()
    assert module.stat().st_ino != first.st_ino, "a process that runs has the old file in its memory"
    source.write_text("no_such_name\n")
    error = "_small.pyx:1:0: undeclared name not builtin: no_such_name"
    said = f"speed: it does not compile: {error}: plainsql works without the compiled part\n"
    assert in_place(checkout) == (0, said)
    assert not module.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="other folders")
def test_missing_headers_of_python_are_named(checkout: Path) -> None:
    program = (
        "import sysconfig, runpy; sysconfig.get_path = lambda name: '/no/such/folder'\n"
        "print(runpy.run_path('scripts/build_speed.py')['obstacle']())"
    )
    done = run(checkout, "-c", program, CC=sys.executable)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.stdout.strip() == (
        f"the headers of Python are not installed (Debian, Ubuntu: apt-get install python{version}-dev)"
    )
