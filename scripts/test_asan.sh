#!/bin/sh
# Runs the tests of garbled messages on a copy of the compiled part with the sanitizers of addresses and of undefined
# behaviour: the first read beyond a message ends the run.
#
#   scripts/test_asan.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- tests/speed/test_garbled_rows.py tests/columns/test_garbled_columns.py
folder=$(pwd -P)/build/sanitized
# The modules are built beside a copy of their package; the rest of plainsql is linked.
rm -rf "$folder"
mkdir -p "$folder/plainsql/speed"
for path in src/plainsql/*; do
  [ "$path" = src/plainsql/speed ] || ln -s "../../../$path" "$folder/plainsql/"
done
cp src/plainsql/speed/*.py "$folder/plainsql/speed/"
PLAINSQL_SPEED_BUILD=require .venv/bin/python scripts/build_speed.py --sanitize --into "$folder/plainsql"

library=$("${CC:-cc}" -print-file-name=libasan.so)
[ -e "$library" ] || { echo "test-asan: ${CC:-cc} has no libasan.so" >&2; exit 1; }

# Python's own allocator would hide a read beyond an object.
sanitized() {
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc LD_PRELOAD="$library" \
    PYTHONPATH="$folder" .venv/bin/python "$@"
}

sanitized -c '
import os, plainsql.speed
assert plainsql.speed.__file__.startswith(os.environ["PYTHONPATH"])
assert plainsql.speed.status().running, plainsql.speed.status()'
[ $# -gt 0 ] || set -- tests/speed/test_garbled_rows.py tests/columns/test_garbled_columns.py
# The servers that the tests start run without all this. The sanitizers report on standard error, which pytest must
# not hold back.
sanitized -c '
import os, sys, pytest
del os.environ["LD_PRELOAD"], os.environ["PYTHONMALLOC"]
sys.exit(pytest.main(sys.argv[1:]))' -q --capture=sys -p no:cacheprovider "$@"
echo "test-asan: ok"
