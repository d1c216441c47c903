"""Builds the compiled part: every ``src/plainsql/speed/*.pyx``, for this Python and the asyncpg that it has.

    python scripts/build_speed.py                # into the checkout; nothing is done if it is there
    python scripts/build_speed.py --into FOLDER  # into another copy of the package
    python scripts/build_speed.py --sanitize …   # with the sanitizers of addresses and undefined behaviour

If it cannot be built, one line says why, and plainsql works without it.
``PLAINSQL_SPEED_BUILD=require`` makes that an error; ``PLAINSQL_SPEED_BUILD=no`` builds nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "plainsql" / "speed"

sys.path.insert(0, str(ROOT / "src"))

from plainsql.speed.build_record import (  # noqa: E402
    EXTENSION_SUFFIX,
    BuildRecord,
    crc_by_source,
    read_record,
    source_digest,
    write_record,
)

PYTHONS = ((3, 11), (3, 14))
# The settings of the compiler; cibuildwheel names the system and the processor with the last ones.
VARIABLES = ("CFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED", "ARCHFLAGS", "MACOSX_DEPLOYMENT_TARGET")
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def build(package: Path, *, sanitize: bool = False) -> BuildRecord:
    """Build into ``package/speed``, and return the record of that folder."""
    folder = package / "speed"
    digest, required = source_digest(SOURCES), os.environ.get("PLAINSQL_SPEED_BUILD") == "require"
    installed, cython = _version("asyncpg"), _version("Cython")
    record = read_record(folder)
    if record is not None and (record.sources, record.asyncpg) == (digest, installed):
        # Pythons of one version share the modules: what one cannot build without headers, another has built.
        if not record.failure and all((folder / name).is_file() for name in _modules()):
            return record
        if record.failure and record.cython == cython and cython and not required:
            return record
    failure = obstacle()
    if failure:
        record = BuildRecord(digest, installed, "", failure)
    else:
        record = BuildRecord(digest, installed, cython, _compile(folder, sanitize=sanitize))
    for path in folder.glob(f"*{EXTENSION_SUFFIX}"):
        if record.failure or path.name not in _modules():
            path.unlink()
    write_record(folder, record)
    return record


def obstacle(*, tools: bool = True) -> str:
    """Return why it cannot be built with this Python, in one line; an empty text if it can.

    `tools`: Cython and the others must be there by now.
    """
    if sys.implementation.name != "cpython" or not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        oldest, newest = (".".join(map(str, pair)) for pair in PYTHONS)
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return f"it is for CPython {oldest} to {newest}, and this is {python}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it is not for free-threaded builds of Python"
    if not compiler():
        return "there is no C compiler"
    folders = [Path(sysconfig.get_path(name)) for name in ("include", "platinclude")]
    if not any((folder / "Python.h").is_file() for folder in folders):
        short = ".".join(map(str, sys.version_info[:2]))
        return f"the headers of Python are not installed (Debian, Ubuntu: apt-get install python{short}-dev)"
    return _unmet_requirement() if tools else ""


def compiler() -> str:
    """Return the command of the C compiler; an empty text without one."""
    configured = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    # A Python that was built elsewhere names the compiler of that machine.
    candidates = [configured] if os.environ.get("CC") else [configured, "cc", "gcc", "clang"]
    return next((command for command in candidates if shutil.which(shlex.split(command)[0])), "")


def requirements() -> list[str]:
    """Return what the build needs, as pyproject.toml has it."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = table["tool"]["hatch"]["build"]["targets"]["wheel"]
    found: list[str] = wheel["hooks"]["custom"]["speed-dependencies"]
    return found


def _unmet_requirement() -> str:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return "packaging is not installed"
    for requirement in map(Requirement, requirements()):
        found = _version(requirement.name)
        if not found:
            return f"{requirement.name} is not installed"
        if not requirement.specifier.contains(found, prereleases=True):
            return f"{requirement} is needed, and {found} is installed"
    return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _modules() -> list[str]:
    return [f"{path.stem}{EXTENSION_SUFFIX}" for path in sorted(SOURCES.glob("*.pyx"))]


def _compile(folder: Path, *, sanitize: bool) -> str:
    """Compile, and copy the modules to the folder. Return why that failed; an empty text if it did not."""
    tree = _tree(sanitize=sanitize)
    log = tree.with_suffix(".log")
    tree.parent.mkdir(parents=True, exist_ok=True)
    _forget_changed(tree)
    # In a process of its own, so that what the compilers print is kept.
    command = [sys.executable, str(Path(__file__).resolve()), "--compile", str(tree)]
    done = subprocess.run(
        [*command, *(["--sanitize"] if sanitize else [])],
        cwd=ROOT,
        env={**os.environ, "CC": compiler()} if compiler() != sysconfig.get_config_var("CC") else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        if os.environ.get("PLAINSQL_SPEED_BUILD") == "require":
            print(done.stdout, file=sys.stderr)
        return f"it does not compile: {_first_error(done.stdout)}"
    if os.environ.get("PLAINSQL_SPEED_BUILD") == "require":
        # Those of asyncpg's declarations, which Cython writes into every module, are not ours.
        for line in done.stdout.splitlines():
            if "warning:" in line and "__pyx_v_7asyncpg_" not in line:
                print(line, file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _modules():
        # Replaced, never written over: a process that runs has the old file in its memory.
        unfinished = folder / f"{name}.unfinished"
        shutil.copy2(tree / "lib" / "plainsql" / "speed" / name, unfinished)
        unfinished.replace(folder / name)
    return ""


def _first_error(output: str) -> str:
    """Return the first error that a compiler has printed, without the folder of its file."""
    found = re.search(r"([^\s/]+\.(?:pyx|pxd|c|h):\d+:\d+: (?!warning|note)\S.*)", output)
    return found[1][:200] if found else f"{compiler()} failed"


def _tree(*, sanitize: bool) -> Path:
    """Return the folder of intermediate files, for one set of tools."""
    tools = f"asyncpg-{_version('asyncpg')}-cython-{_version('Cython')}"
    name = f"{EXTENSION_SUFFIX.split('.')[1]}-{tools}" + ("-sanitized" if sanitize else "")
    return ROOT / "build" / "speed" / name.replace(".", "_")


def _forget_changed(tree: Path) -> None:
    """Delete what was made of other sources. Contents are compared: a copied file may have any time."""
    inputs = tree / "inputs.json"
    options = [Path(__file__).read_text("utf-8"), compiler(), *(os.environ.get(name) for name in VARIABLES)]
    now = {**crc_by_source(SOURCES), "options": zlib.crc32(repr(options).encode())}
    try:
        before = json.loads(inputs.read_bytes())
    except (OSError, ValueError):
        before = {}
    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    if any(not name.endswith(".pyx") for name in changed):
        shutil.rmtree(tree, ignore_errors=True)
    for name in changed:
        for made in tree.rglob(f"{Path(name).stem}.c"):
            made.unlink()
    tree.mkdir(parents=True, exist_ok=True)
    inputs.write_text(json.dumps(now), encoding="utf-8")


def _run_compilers(tree: Path, *, sanitize: bool) -> None:
    """Translate and compile all modules, in this process."""
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.command.build_ext import build_ext
    from setuptools.dist import Distribution

    asyncpg = find_spec("asyncpg")
    assert asyncpg is not None
    assert asyncpg.submodule_search_locations
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", *SANITIZERS] if sanitize else ["-O2", "-g0"]
    paths = sorted(SOURCES.glob("*.pyx"))
    workers = min(len(paths), os.cpu_count() or 1)
    modules = cythonize(
        [
            Extension(
                f"plainsql.speed.{path.stem}",
                [str(path.relative_to(ROOT))],
                include_dirs=[str(SOURCES.relative_to(ROOT) / "include")],
                # As asyncpg's own classes are made: an object of a static class that is derived from one of a
                # heap type's gives its type back twice when it ends, until the type itself is freed.
                define_macros=[("CYTHON_USE_TYPE_SPECS", "1")],
                extra_compile_args=flags,
                extra_link_args=SANITIZERS if sanitize else [],
            )
            for path in paths
        ],
        include_path=["src", str(Path(asyncpg.submodule_search_locations[0]).parent)],
        build_dir=str(tree / "c"),
        nthreads=workers if workers > 1 else 0,
    )
    command = build_ext(Distribution({"name": "plainsql", "ext_modules": modules}))
    command.build_lib, command.build_temp, command.parallel = str(tree / "lib"), str(tree / "tmp"), workers
    command.ensure_finalized()
    command.run()


def main() -> int:
    """Build, and say in one line what came of it."""
    parser = argparse.ArgumentParser(description="Build the compiled part of plainsql.")
    parser.add_argument("--into", type=Path, default=ROOT / "src" / "plainsql", help="the package's folder")
    parser.add_argument("--sanitize", action="store_true", help="with sanitizers")
    parser.add_argument("--quiet", action="store_true", help="print nothing if it is built")
    parser.add_argument("--compile", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile is not None:
        _run_compilers(options.compile, sanitize=options.sanitize)
        return 0
    mode = os.environ.get("PLAINSQL_SPEED_BUILD", "")
    if mode not in ("", "no", "require"):
        print(f"speed: PLAINSQL_SPEED_BUILD is {mode!r}, expected 'require' or 'no'", file=sys.stderr)
        return 2
    if mode == "no":
        print("speed: not built: PLAINSQL_SPEED_BUILD=no", file=sys.stderr)
        return 0
    before = read_record(options.into / "speed")
    record = build(options.into, sanitize=options.sanitize)
    if record.failure:
        print(f"speed: {record.failure}: plainsql works without the compiled part", file=sys.stderr)
        return 1 if mode == "require" else 0
    if not options.quiet or record != before:
        print(f"speed: built for asyncpg {record.asyncpg}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
