#!/bin/sh
# make fuzz: each fuzz target for FUZZ_SECONDS (60) under libFuzzer, from its corpus; new inputs go to
# build/fuzz/corpus, what crashed to build/fuzz/found. Usage: fuzz.sh PROGRAM...
set -u
failed=0
for program in "$@"; do
    name=${program##*/fuzz_}
    library=$(basename "$(dirname "$program")")
    seeds=$(find common/"$library" services/"$library" -type d -path "*/tests/corpus_$name" 2>/dev/null)
    mkdir -p "build/fuzz/corpus/$name" build/fuzz/found
    echo "  fuzz   $name, ${FUZZ_SECONDS:-60} s"
    # shellcheck disable=SC2086
    if ! "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/found/$name-" "build/fuzz/corpus/$name" $seeds >"build/fuzz/$name.log" 2>&1; then
        failed=$((failed + 1))
        echo "  FAILED $name: build/fuzz/$name.log"
        grep -E 'ERROR|runtime error|Test unit written' "build/fuzz/$name.log"
    fi
    sed -n 's/^stat::number_of_executed_units: */         executions /p' "build/fuzz/$name.log"
done
[ "$failed" -eq 0 ]
