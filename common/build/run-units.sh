#!/bin/sh
# Runs test programs, twice as many at once as there are processors (UNIT_JOBS; those with a broker wait), each
# under a time limit; prints what failed in full, and a summary line "N passed, N failed" (or, with
# TEST_COUNTS=FILE, appends the two numbers to FILE instead). Usage: run-units.sh PROGRAM...
set -u
if [ "${1:-}" = --one ]; then
    program=$2 log=$(mktemp "$UNIT_RESULTS/log.XXXXXX")
    start=$(date +%s%N)
    timeout "${UNIT_TIMEOUT:-180}" "$program" >"$log" 2>&1 </dev/null
    status=$?
    took=$((($(date +%s%N) - start) / 1000000))
    exec 9>>"$UNIT_RESULTS/lock"
    flock 9
    if [ $status -eq 0 ]; then
        echo ok >>"$UNIT_RESULTS/ok"
        printf '  ok     %s (%d ms)\n' "${program#build/*/tests/}" $took
    else
        echo failed >>"$UNIT_RESULTS/failed"
        printf '  FAILED %s (exit %d%s)\n' "$program" $status "$([ $status -ne 124 ] || echo ': time limit')"
        cat "$log"
    fi
    exit 0
fi

UNIT_RESULTS=$(mktemp -d)
export UNIT_RESULTS
trap 'rm -rf "$UNIT_RESULTS"' EXIT
touch "$UNIT_RESULTS/ok" "$UNIT_RESULTS/failed"
[ $# -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "${UNIT_JOBS:-$(($(nproc) * 2))}" "$0" --one
passed=$(wc -l <"$UNIT_RESULTS/ok")
failed=$(wc -l <"$UNIT_RESULTS/failed")
if [ -n "${TEST_COUNTS:-}" ]; then
    echo "$passed $failed" >>"$TEST_COUNTS"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$((passed + failed))" -eq $# ]
