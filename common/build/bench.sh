#!/bin/sh
# make bench: the benchmark programs of libraries and services, then the table against peers.
# Usage: bench.sh PROGRAM...
set -u
failed=0
for program in "$@"; do
    echo "== ${program#build/*/tests/}"
    "$program" </dev/null || failed=1
done
for script in integration-tests/bench/*.py; do
    [ ! -e "$script" ] || /usr/bin/python3 "$script" || failed=1
done
exit $failed
