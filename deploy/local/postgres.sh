#!/bin/sh
# A private PostgreSQL cluster in the foreground: postgres.sh DIR PORT. It listens on 127.0.0.1 only.
# The superuser is "talaria"; its password lies in DIR/password, and DIR/pgpass is ready for libpq's
# passfile=. INT stops it fast (TERM would wait for its clients).
#
# PostgreSQL refuses to run as root. Then it runs as the user postgres, who may not be able to reach
# DIR (below /root, say): the folder is opened here and handed over as a descriptor, so no permission
# on the way to it is needed or changed (docs/decisions/0003).
set -eu
dir=$1 port=$2
bin=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -V | tail -n 1)/bin
[ -x "$bin/postgres" ] || { echo "postgres: no server in /usr/lib/postgresql: run common/build/deps.sh run" >&2; exit 1; }

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
data=$dir/data
umask 077
[ -s "$dir/password" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password"
echo "*:*:*:talaria:$(cat "$dir/password")" >"$dir/pgpass"

if [ "$(id -u)" -eq 0 ]; then
    user=${TALARIA_POSTGRES_USER:-postgres}
    as_owner() { setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs -- "$@"; }
    seen=/proc/self/fd/9
else
    user=$(id -un)
    as_owner() { "$@"; }
    seen=$data
fi

# A first run that was cut short leaves no data/ready: start over.
if [ ! -e "$dir/ready" ]; then
    rm -rf "$data"
    mkdir "$data"
    [ "$(id -u)" -ne 0 ] || chown "$user:" "$data"
    exec 9<"$data"
    secret=$(mktemp)
    trap 'rm -f "$secret"' EXIT
    cat "$dir/password" >"$secret"
    [ "$(id -u)" -ne 0 ] || chown "$user:" "$secret"
    (cd / && as_owner "$bin/initdb" -D "$seen" -U talaria -A scram-sha-256 --pwfile="$secret" \
        -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions) >/dev/null
    rm -f "$secret"
    trap - EXIT
    sync -f "$data"
    touch "$dir/ready"
else
    exec 9<"$data"
fi

cd /
set -- "$bin/postgres" -D "$seen" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=200 -c shared_buffers=64MB \
    -c log_destination=stderr -c logging_collector=off -c max_wal_size=512MB \
    ${TALARIA_POSTGRES_OPTIONS:-}
if [ "$(id -u)" -eq 0 ]; then
    exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs -- "$@"
fi
exec "$@"
