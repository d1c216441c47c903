#!/bin/sh
# Makes sure that the servers which the tests start by themselves are there: redis-server, without which there
# are no tests, and pgbouncer, without which its tests are skipped.
# Installs them with the system's package manager where this user may, and says what to do where not.
set -eu

say() { printf '%s\n' "servers: $*" >&2; }

# A system's folder for servers is not on every user's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi

updated=
install() {
  case $manager in
    brew) brew install --quiet "$1" ;;
    apt-get)
      [ -n "$updated" ] || { $as_root apt-get update -qq && updated=yes; }
      $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" ;;
    dnf) $as_root dnf install -y -q "$1" ;;
    apk) $as_root apk add --quiet "$1" ;;
    *) return 1 ;;
  esac
}

manager=none
if command -v brew >/dev/null 2>&1 && [ "$as_root" != "" ]; then
  manager=brew
  as_root=
else
  for each in apt-get dnf apk; do
    if command -v $each >/dev/null 2>&1; then manager=$each; break; fi
  done
fi

# need PROGRAM PACKAGE...: packages that have it, tried in turn.
need() {
  program=$1
  shift
  command -v "$program" >/dev/null 2>&1 && return 0
  [ "$manager" != none ] || { say "no package manager that this knows: install $program and run again"; return 1; }
  [ "$as_root" != no ] || { say "this user may not install $program: run 'sudo $manager install $1' and run again"; return 1; }
  say "no $program on the PATH: installing it ($manager: $1)"
  for package in "$@"; do
    install "$package" </dev/null >&2 && command -v "$program" >/dev/null 2>&1 && return 0
  done
  say "$program could not be installed"
  return 1
}

case $manager in
  apt-get) redis=redis-server ;;
  # Where Redis itself is no longer packaged, Valkey answers to its name.
  dnf) redis="redis valkey-compat-redis" ;;
  *) redis=redis ;;
esac
# shellcheck disable=SC2086 (several packages)
need redis-server $redis
need pgbouncer pgbouncer || say "the tests with PgBouncer are skipped"
# The tests of the review site are in a real browser; any of these will do.
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
  command -v google-chrome >/dev/null 2>&1 ||
  need chromium chromium chromium-browser || say "the tests in a browser are skipped"
