#!/bin/sh
# Makes sure that redis-server is on the PATH: the tests start servers of their own with it.
# Installs it with the system's package manager where this user may, and says what to do where not.
set -eu

say() { printf '%s\n' "redis: $*"; }

command -v redis-server >/dev/null 2>&1 && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi

if command -v brew >/dev/null 2>&1 && [ "$(id -u)" != 0 ]; then
  by_hand="brew install redis"
  as_root=
  install() { brew install --quiet redis; }
elif command -v apt-get >/dev/null 2>&1; then
  by_hand="sudo apt-get install redis-server"
  install() {
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server
  }
elif command -v dnf >/dev/null 2>&1; then
  by_hand="sudo dnf install redis"
  # Where Redis itself is no longer packaged, Valkey answers to its name.
  install() { $as_root dnf install -y -q redis || $as_root dnf install -y -q valkey-compat-redis; }
elif command -v apk >/dev/null 2>&1; then
  by_hand="sudo apk add redis"
  install() { $as_root apk add --quiet redis; }
else
  say "the tests need redis-server on the PATH: install Redis with this system's package manager and run again" >&2
  exit 1
fi

if [ "$as_root" = no ]; then
  say "the tests need redis-server, and this user may not install it: run '$by_hand' and run again" >&2
  exit 1
fi

say "no redis-server on the PATH: installing it ($by_hand)"
install </dev/null >&2
command -v redis-server >/dev/null 2>&1 || { say "installed, yet redis-server is not on the PATH" >&2; exit 1; }
say "ready: $(redis-server --version)"
