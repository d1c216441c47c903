#!/bin/sh
# Resolves pyproject.toml into requirements/*.txt: every package at one version, with the hashes of all its
# files, for every Python from 3.11 on and every system. Versions stay as they are unless pyproject.toml asks for
# others; `make lock ARGS=--upgrade` takes the newest.
#
# The hashes are what the index says of each version. uv reads no configuration here, and writes no address of an
# index, so the files are the same whoever makes them.
set -eu
cd "$(dirname "$0")/.."

resolve() {
  name=$1
  shift
  echo "lock: requirements/$name.txt"
  .venv/bin/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --output-file "requirements/$name.txt" "$@"
}

resolve demo pyproject.toml --extra all --group build "$@"
# The larger set holds the smaller one at the same versions: both live in the one .venv.
resolve dev pyproject.toml --extra all --extra report --extra test --group build --group dev --constraint requirements/demo.txt "$@"
# The peers that the benchmarks compare with, beside all that is above.
resolve bench pyproject.toml benchmarks/peers.in --extra all --group build --constraint requirements/demo.txt \
  --constraint requirements/dev.txt "$@"
# The cluster of `make failover`, in an environment of its own.
resolve failover benchmarks/failover/peers.in "$@"
# The package itself is among them: the reference is made of it.
resolve docs pyproject.toml --group build --group docs --constraint requirements/demo.txt \
  --constraint requirements/dev.txt "$@"
resolve lock --group lock "$@"
resolve wheels --group wheels "$@"
# The vector stores that the benchmarks compare with: in an environment of their own, as they need an old pgvector.
resolve vectors benchmarks/vectors/peers.in "$@"
# The oldest asyncpg that plainsql supports, for `make test-asyncpg`.
echo "asyncpg==$(sed -n 's/^dependencies = \["asyncpg>=\([0-9.]*\)".*/\1/p' pyproject.toml)" > build/asyncpg-oldest.in
resolve asyncpg-oldest build/asyncpg-oldest.in --no-annotate
