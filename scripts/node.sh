#!/bin/sh
# Says in one line what to do where pyright would otherwise try to download Node.js for itself.
command -v node >/dev/null 2>&1 && exit 0
[ -e .venv/bin/node ] && exit 0
echo "lint: pyright needs Node.js: install it with this system's package manager, or put 'node' on the PATH" >&2
exit 1
