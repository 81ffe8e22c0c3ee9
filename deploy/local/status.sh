#!/bin/bash
# One line per service: does it run, since when, is it ready, and if not, why.
# shellcheck source=env.sh source=services.sh
. "$(dirname "$0")/env.sh"
. "$here/services.sh"
runsvdir_alive || echo "runsvdir does not run: nothing is restarted by itself (make run starts it)"
for name in "${services[@]}"; do
    if ! state=$(sv status "$svdir/$name" 2>/dev/null); then
        printf '%-11s was never started here\n' "$name"
        continue
    fi
    state=${state%%;*}
    if [[ $state != run:* ]]; then why=stopped; elif why=$(ready "$name"); then why=ready; else why="not ready: $why"; fi
    printf '%-11s %-34s %s\n' "$name" "${state#*: *: }" "$why"
done
