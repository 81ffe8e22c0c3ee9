# Sourced by the scripts beside it: folders and ports. A port is what TALARIA_PORT_<NAME> says, else what
# var/env says (the choice of the first start), else the default.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/deploy/local
var=$(realpath -m "${TALARIA_VAR:-$root/var}")
svdir=$var/service
talaria=$root/build/release/bin/talaria

ports='DICOM=11112 TARGET=11113 WEB=8000 KAFKA=19092 KAFKA_CONTROLLER=19093 POSTGRES=15432
ADMIN_RECEIVER=9101 ADMIN_ROUTER=9102 ADMIN_DISPATCHER=9103 ADMIN_BOOKKEEPER=9104 ADMIN_GATEWAY=9105 ADMIN_CLEANER=9106'

load_ports() {
    local pair name saved
    for pair in $ports; do
        name=TALARIA_PORT_${pair%%=*}
        saved=$(sed -n "s/^$name=//p" "$var/env" 2>/dev/null || true)
        printf -v "$name" %s "${!name:-${saved:-${pair#*=}}}"
        [[ ${!name} =~ ^[0-9]+$ && ${!name} -ge 1 && ${!name} -le 65535 ]] ||
            die "$name is not a port: ${!name}"
    done
}
save_ports() {
    local pair name
    for pair in $ports; do
        name=TALARIA_PORT_${pair%%=*}
        echo "$name=${!name}"
    done >"$var/env.new"
    mv "$var/env.new" "$var/env"
}
port() { # port receiver -> its admin port
    local name=TALARIA_PORT_ADMIN_${1^^}
    echo "${!name}"
}

if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'; else bold='' red='' plain=''; fi
say() { printf '  %-6s %s\n' "$1" "$2"; }
die() {
    printf '\n%s%s%s\n' "$red" "$1" "$plain" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}
seconds_since() { # a value of $EPOCHREALTIME
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}
load_ports
database="host=127.0.0.1 port=$TALARIA_PORT_POSTGRES dbname=talaria user=talaria passfile='$var/postgres/pgpass'"
