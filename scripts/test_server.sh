#!/bin/sh
# Runs what needs no embedded server on the PostgreSQL that SERVER names, whatever its version: values of every
# type and an application on both executors. On PostgreSQL 16 or newer also the analysis, and the check of the
# layers' queries. The role of the URL may create databases, and the server has pgvector and the contrib modules.
#
#   SERVER=postgresql://postgres@localhost:5417/postgres scripts/test_server.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/.."

[ -n "${SERVER:-}" ] || { echo "test-server: SERVER is empty: set it to the URL of a server" >&2; exit 1; }

version=$(.venv/bin/python -c '
import os, psycopg
with psycopg.connect(os.environ["SERVER"]) as connection:
    print(connection.info.server_version // 10000)')
echo "test-server: PostgreSQL $version"

# Infinite intervals came with 17.
left_out=
[ "$version" -ge 17 ] || left_out="not interval-infinity"

PLAINSQL_TEST_DATABASE_URL=$SERVER .venv/bin/python -m pytest -n logical --maxprocesses 4 \
  tests/types tests/scenario tests/vector -k "$left_out" "$@"

if [ "$version" -ge 16 ]; then
  PLAINSQL_OTHER_SERVERS=$SERVER .venv/bin/python -m pytest tests/analysis/test_versions.py "$@"
  .venv/bin/plainsql check --scratch "$SERVER"
fi
echo "test-server: ok"
