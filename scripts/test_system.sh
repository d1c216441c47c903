#!/bin/sh
# Runs what reads SQL on this system's own Python, if that is one of CPython 3.11.0 to 3.11.4: their regular
# expressions match otherwise than those of every later release, and Debian 12 has one of them.
set -eu
cd "$(dirname "$0")/.."

system=${SYSTEM_PYTHON:-/usr/bin/python3}

skip() { printf '%s\n' "test-system: skipped: $*"; exit 0; }

version=$("$system" -c 'import platform; print(platform.python_version())' 2>/dev/null) || skip "there is no $system"
case $version in
  3.11.[0-4]) ;;
  *) skip "$system is Python $version, not 3.11.0 to 3.11.4" ;;
esac
"$system" -c 'import ensurepip, venv' 2>/dev/null ||
  skip "$system lacks the modules venv and ensurepip (Debian: apt-get install python3.11-venv)"

PYTHON=$system PLAINSQL_VENV=.venv-system sh scripts/environment.sh dev
.venv-system/bin/python -m pytest -q -n logical --maxprocesses 4 -p no:cacheprovider \
  tests/statements tests/layers/realty "$@"
printf '%s\n' "test-system: ok, on Python $version"
