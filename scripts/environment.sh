#!/bin/sh
# Builds .venv, or the folder that PLAINSQL_VENV names: what requirements/$1.txt pins, by hash, and this checkout on
# top of it, editable.
#
#   PYTHON=python3.12 scripts/environment.sh demo|dev|docs|lock|wheels|bench|vectors|failover
#
# A second run finds its stamp and does nothing. An environment whose building was interrupted, whose Python is
# gone, or which was made in another folder is built anew.
set -eu
cd "$(dirname "$0")/.."

set=$1
root=$(pwd -P)
folder=${PLAINSQL_VENV:-.venv}
venv=$root/$folder
requirements=requirements/$set.txt
unfinished=$venv/.unfinished
stamp=$venv/.installed-$set

# What may stand in a person's shell must not reach into the environment that is built here.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_HASHES || true

say() { printf '%s\n' "environment: $*"; }
fail() { printf '%s\n' "environment: $*" >&2; exit 1; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
version_of() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }

# Each candidate is run, not only looked up: version managers put commands on the PATH that merely say no.
find_python() {
  if [ -n "${PYTHON:-}" ]; then
    is_new_enough "$PYTHON" ||
      fail "PYTHON=$PYTHON is $(version_of "$PYTHON" || echo 'no Python'): plainsql needs Python 3.11 or newer"
    can_make_venvs "$PYTHON" || fail_for_venv "$PYTHON"
    return
  fi
  without_venv=
  for candidate in python3.13 python3.12 python3.11 python3.14 python3 python; do
    is_new_enough "$candidate" || continue
    if can_make_venvs "$candidate"; then PYTHON=$candidate; return; fi
    without_venv=${without_venv:-$candidate}
  done
  [ -z "$without_venv" ] || fail_for_venv "$without_venv"
  fail "no Python 3.11 or newer on the PATH (python3 is $(version_of python3 || echo missing)): install one, or name it with PYTHON=…"
}

fail_for_venv() {
  short=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fail "$1 lacks the modules venv and ensurepip: install them (Debian, Ubuntu: apt-get install python$short-venv)"
}

# The activation script holds the folder that the environment was made for: its commands work nowhere else.
is_sound() {
  [ ! -e "$unfinished" ] && is_new_enough "$venv"/bin/python && "$venv"/bin/python -c 'import pip' 2>/dev/null &&
    grep -qF "$venv" "$venv"/bin/activate 2>/dev/null
}

wanted() { cksum "$requirements" pyproject.toml scripts/environment.sh; }

is_installed() { [ -e "$1" ] && [ "$(cat "$1")" = "$(wanted)" ]; }

# The compiled part, where a C compiler is at hand: built again if a source of it or asyncpg has changed. The pages
# of the documentation are made without it.
build_speed() {
  case $set in
    demo | dev | bench) "$venv"/bin/python scripts/build_speed.py --quiet ;;
  esac
}

if is_sound; then
  if is_installed "$stamp"; then build_speed; exit 0; fi
else
  find_python
  if [ -e "$venv" ]; then say "the $folder that is here cannot be used (unfinished, moved, or its Python gone): building it anew"; fi
  rm -rf "$venv"
  say "making $folder with Python $(version_of "$PYTHON")"
  mkdir "$venv"
  : > "$unfinished"
  "$PYTHON" -m venv "$venv"
fi

: > "$unfinished"
pip() { "$venv"/bin/python -m pip --disable-pip-version-check --no-input "$@"; }
say "installing $(grep -c '==' "$requirements") pinned packages of $requirements"
# The file is a whole resolution: pip need not look for dependencies, only check the hashes.
pip install --quiet --quiet --progress-bar off --require-hashes --no-deps -r "$requirements"
# `make lock` must work just when pyproject.toml asks for what is not pinned yet. `make wheels`, `make failover` and the
# vector stores that plainsql is compared with need no plainsql.
case $set in
  lock | wheels | vectors | failover) needs_plainsql=no ;;
  *) needs_plainsql=yes ;;
esac
if [ "$needs_plainsql" = yes ]; then
  PLAINSQL_SPEED_BUILD=no pip install --quiet --quiet --no-deps --no-build-isolation -e .
  pip check >/dev/null || { pip check >&2 || true; fail "$requirements does not fit pyproject.toml: run 'make lock'"; }
fi
wanted > "$stamp"
rm "$unfinished"
build_speed
say "ready: $folder, Python $(version_of "$venv"/bin/python)"
