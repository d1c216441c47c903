#!/bin/sh
# Runs the tests whose results could depend on the compiled part without it: PLAINSQL_SPEED=0. `make test` has run
# all tests with it, if it is built. What waits for servers to start or to fail over is left out.
#
#   scripts/test_plain.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/.."

export PLAINSQL_SPEED=0
.venv/bin/python -c "
import plainsql.speed
assert not plainsql.speed.status().running"
of_database=
for name in batch borrowed cancellation changed_types copy_rows copying driver faults lost not_lost nul one_refusal \
  over reads_together retry retry_changes scheduler sql_text tenant_isolation together transactions without_tenant; do
  of_database="$of_database tests/database/test_$name.py"
done
.venv/bin/python -m pytest -q -n "${WORKERS:-3}" --dist worksteal -p no:cacheprovider \
  tests/speed tests/columns tests/scenario tests/types tests/vector tests/crypto tests/test_rows.py \
  tests/test_query.py $of_database --ignore=tests/speed/test_build.py "$@"
echo "test-plain: ok, without the compiled part"
