#!/bin/sh
# Runs test programs one after another, each under a time limit; prints what failed in full, and a
# summary line "N passed, N failed". Usage: run-units.sh PROGRAM...
set -u
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in "$@"; do
    start=$(date +%s%N)
    if timeout "${UNIT_TIMEOUT:-120}" "$program" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf '  ok     %s (%d ms)\n' "${program#build/*/tests/}" $((($(date +%s%N) - start) / 1000000))
    else
        failed=$((failed + 1))
        printf '  FAILED %s (exit %d)\n' "$program" $?
        cat "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
