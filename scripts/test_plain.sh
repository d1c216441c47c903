#!/bin/sh
# Runs the tests whose results could depend on the compiled part without it: PLAINSQL_SPEED=0. `make test` has run
# all of them with it, if it is built.
#
#   scripts/test_plain.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/.."

export PLAINSQL_SPEED=0
.venv/bin/python -c "
import plainsql.speed
assert not plainsql.speed.status().running"
.venv/bin/python -m pytest -q -n "${WORKERS:-3}" --dist worksteal -p no:cacheprovider \
  tests/database tests/scenario tests/types tests/test_query.py tests/test_rows.py tests/test_serialization.py \
  tests/vector tests/crypto "$@"
echo "test-plain: ok, without the compiled part"
