#!/bin/sh
# make bench: one table of everything that is measured, ours and peers. Usage: bench.sh PROGRAM...
# The benchmark programs of libraries and services (PROGRAM) speak to build/bench/<name>.txt; the table
# names their main figures.
set -u
failed=0
mkdir -p build/bench
for program in "$@"; do
    name=$(basename "$program")
    "$program" </dev/null >"build/bench/$name.txt" 2>&1 || { echo "$name failed: build/bench/$name.txt" >&2; failed=1; }
done
/usr/bin/python3 integration-tests/bench/bench.py || failed=1
exit $failed
