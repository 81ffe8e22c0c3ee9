#!/bin/sh
# Runs test programs, each under a time limit; prints what failed in full, and a summary line
# "N passed, N failed" (or, with TEST_COUNTS=FILE, appends the two numbers to FILE instead).
# Usage: run-units.sh PROGRAM...
set -u
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in "$@"; do
    start=$(date +%s%N)
    timeout "${UNIT_TIMEOUT:-120}" "$program" >"$log" 2>&1 </dev/null
    status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf '  ok     %s (%d ms)\n' "${program#build/*/tests/}" $((($(date +%s%N) - start) / 1000000))
    else
        failed=$((failed + 1))
        printf '  FAILED %s (exit %d%s)\n' "$program" $status "$([ $status -ne 124 ] || echo ': time limit')"
        cat "$log"
    fi
done
if [ -n "${TEST_COUNTS:-}" ]; then
    echo "$passed $failed" >>"$TEST_COUNTS"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
