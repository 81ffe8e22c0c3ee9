#!/bin/sh
# Files that are made from others: generated.sh write | check. References come from the settings and metrics
# tables of the programs of the current VARIANT (those that are built).
set -u
mode=$1 failed=0
bin=build/${VARIANT:-release}/bin

one() { # file command...
    file=$1
    shift
    if ! text=$("$@" 2>/dev/null); then
        echo "  docs   $* failed"
        failed=1
    elif [ "$mode" = write ]; then
        mkdir -p "$(dirname "$file")"
        printf '%s\n' "$text" >"$file"
    elif [ "$text" != "$(cat "$file" 2>/dev/null)" ]; then
        echo "  lint   $file is out of date: make docs"
        failed=1
    fi
}

for program in "$bin"/talaria-*; do
    [ -x "$program" ] || continue
    name=${program##*/talaria-}
    one "docs/reference/$name.md" "$program" --reference
done
exit $failed
