#!/bin/bash
# service.sh run|ready NAME: what runit's run and check files call.
# Ports come from var/env only: the environment of whoever started runsvdir is long out of date.
unset "${!TALARIA_PORT_@}"
# shellcheck source=env.sh source=services.sh
. "$(dirname "$0")/env.sh"
. "$here/services.sh"
"$1" "$2"
