#!/bin/sh
# Runs the tests of every form of a call on another version of asyncpg: by default on the oldest that plainsql
# supports, which requirements/asyncpg-oldest.txt pins by hash. `make test` has run them on the newest. The compiled
# part of the checkout, if there is one, is built for the newest: it must not be touched.
#
#   VERSION=0.30.0 scripts/test_asyncpg.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/^asyncpg==\([0-9.]*\).*/\1/p' requirements/asyncpg-oldest.txt)
version=${VERSION:-$oldest}
unset PLAINSQL_SPEED || true
# In front of the environment's own version, for this run only.
folder=build/asyncpg-$version

if [ ! -d "$folder" ]; then
  rm -rf "$folder.unfinished"
  install() {
    .venv/bin/python -m pip --disable-pip-version-check --no-input --quiet install --no-deps --only-binary :all: \
      --target "$folder.unfinished" "$@" ||
      { echo "test-asyncpg: asyncpg $version cannot be installed on $(.venv/bin/python --version)" >&2; exit 1; }
  }
  if [ "$version" = "$oldest" ]; then
    install --require-hashes -r requirements/asyncpg-oldest.txt
  else
    install "asyncpg==$version"
  fi
  mv "$folder.unfinished" "$folder"
fi

PYTHONPATH=$folder .venv/bin/python -c "
import asyncpg
assert asyncpg.__version__ == '$version', asyncpg.__version__
import sys
from plainsql import speed
status = speed.status()
if status.built_for != '$version':
    assert not status.running, status
    assert not [name for name in sys.modules if name.startswith('plainsql.speed._')]
    expected = f'it was built for asyncpg {status.built_for}, and $version is installed'
    assert not status.built_for or status.reason == expected, status"
PYTHONPATH=$folder .venv/bin/python -m pytest -q -n logical --maxprocesses 4 -p no:cacheprovider \
  tests/speed/test_status.py tests/scenario tests/database/test_driver.py tests/database/test_over.py \
  tests/database/test_over_sqlalchemy.py tests/database/test_batch.py tests/database/test_copying.py "$@"
echo "test-asyncpg: ok, on asyncpg $version"
