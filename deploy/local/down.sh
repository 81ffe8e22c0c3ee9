#!/bin/bash
# Stops exactly what up.sh started here; the data stay. Workers first, then broker and database.
# shellcheck source=env.sh source=services.sh
. "$(dirname "$0")/env.sh"
. "$here/services.sh"

if ! runsvdir_alive && ! sv status "$svdir/kafka" >/dev/null 2>&1; then
    echo "nothing runs here"
    exit 0
fi
# TERM leaves its runsv processes alone, and starts none again
! runsvdir_alive || kill -TERM "$(cat "$var/run/runsvdir.pid")"
rm -f "$var/run/runsvdir.pid"
for name in gateway cleaner bookkeeper dispatcher receiver router target postgres kafka; do
    sv status "$svdir/$name" >/dev/null 2>&1 || continue
    began=$EPOCHREALTIME
    if sv -w 30 force-shutdown "$svdir/$name" >/dev/null 2>&1; then
        say stopped "$(printf '%-11s %s s' "$name" "$(seconds_since "$began")")"
    else
        say killed "$name (it did not stop within 30 s): $var/log/$name/current"
    fi
done
