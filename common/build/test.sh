#!/bin/sh
# make test: installs what is missing, builds VARIANT=check, then unit and simulation tests, lint, scenario
# tests; goes on after a failure and closes with one line "N passed, N failed".
set -u
export VARIANT=check
TEST_COUNTS=$(mktemp)
export TEST_COUNTS
trap 'rm -f "$TEST_COUNTS"' EXIT
began=$(date +%s)

part() { printf '\n== %s (%d s)\n' "$1" $(($(date +%s) - began)); }
# A part that keeps no count of its own is one test.
counted() {
    n="1 0"
    "$@" || n="0 1"
    echo "$n" >>"$TEST_COUNTS"
}

part "what is missing"
common/build/deps.sh build run test kafka || exit 1
part "build"
if ! make -j"$(nproc)" all unit-programs; then
    printf '\nThe build failed.\n0 passed, 1 failed\n'
    exit 1
fi
# With what the tests leave of the processors, from here to the end of the scenarios.
: "${SOAK_SEEDS:=100000}"
soak_log=$(mktemp)
TEST_COUNTS=$soak_log.counts nice -n 19 make soak SOAK_SEEDS="$SOAK_SEEDS" >"$soak_log" 2>&1 &
soak=$!
part "unit and simulation tests, beside all that follows the simulators with $SOAK_SEEDS seeds each"
make unit
part "lint"
counted common/build/lint.sh
part "scenario tests"
before=$(wc -l <"$TEST_COUNTS")
make scenarios
[ "$(wc -l <"$TEST_COUNTS")" -gt "$before" ] || echo "0 1" >>"$TEST_COUNTS"

part "simulators"
wait "$soak"
cat "$soak_log"
cat "$soak_log.counts" >>"$TEST_COUNTS" 2>/dev/null || echo "0 1" >>"$TEST_COUNTS"
rm -f "$soak_log" "$soak_log.counts"

part "done"
awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$TEST_COUNTS"
