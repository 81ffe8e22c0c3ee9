# Sourced after env.sh: the table of what runs on one machine.
# shellcheck shell=bash
services=(kafka postgres target receiver router dispatcher bookkeeper cleaner gateway)
ours=(receiver router dispatcher bookkeeper cleaner gateway)

is_ours() { [[ " ${ours[*]} " == *" $1 "* ]]; }

# NAME=VALUE lines: the settings of one of our services (daemon keys, then its own).
settings() {
    echo "TALARIA_SITE=main"
    echo "TALARIA_INSTANCE=local"
    echo "TALARIA_BROKERS=127.0.0.1:$TALARIA_PORT_KAFKA"
    echo "TALARIA_STORE=file:$var/store"
    echo "TALARIA_ADMIN=127.0.0.1:$(port "$1")"
    case $1 in
    receiver) echo "TALARIA_PORT=$TALARIA_PORT_DICOM" ;;
    bookkeeper | cleaner) echo "TALARIA_DATABASE=$database" ;;
    gateway)
        echo "TALARIA_DATABASE=$database"
        echo "TALARIA_LISTEN=127.0.0.1:$TALARIA_PORT_WEB"
        ;;
    esac
}

# Ports a service listens on: "number what" lines.
listens() {
    case $1 in
    kafka) printf '%s KAFKA\n%s KAFKA_CONTROLLER\n' "$TALARIA_PORT_KAFKA" "$TALARIA_PORT_KAFKA_CONTROLLER" ;;
    postgres) echo "$TALARIA_PORT_POSTGRES POSTGRES" ;;
    target) echo "$TALARIA_PORT_TARGET TARGET" ;;
    *)
        echo "$(port "$1") ADMIN_${1^^}"
        [ "$1" != receiver ] || echo "$TALARIA_PORT_DICOM DICOM"
        [ "$1" != gateway ] || echo "$TALARIA_PORT_WEB WEB"
        ;;
    esac
}

# Takes the place of this process: the service in the foreground.
run() {
    case $1 in
    kafka) exec "$here/kafka.sh" "$var/kafka" "$TALARIA_PORT_KAFKA" "$TALARIA_PORT_KAFKA_CONTROLLER" ;;
    postgres) exec "$here/postgres.sh" "$var/postgres" "$TALARIA_PORT_POSTGRES" ;;
    target)
        mkdir -p "$var/target"
        exec storescp --fork -aet DEMO_PACS -od "$var/target" +B +xa -pm -dhl "$TALARIA_PORT_TARGET"
        ;;
    *)
        local env
        mapfile -t env < <(settings "$1")
        mkdir -p "$var/store"
        cd "$var"
        exec env -i PATH="$PATH" HOME="${HOME:-/}" LANG=C.UTF-8 "${env[@]}" "$root/build/release/bin/talaria-$1"
        ;;
    esac
}

# Exit status 0: it can do its job. On failure the reason is printed.
ready() {
    case $1 in
    postgres)
        PGPASSFILE=$var/postgres/pgpass psql -qAt "host=127.0.0.1 port=$TALARIA_PORT_POSTGRES user=talaria dbname=postgres connect_timeout=2" \
            -c 'select 1' >/dev/null 2>&1 || { echo "does not answer yet"; return 1; }
        ;;
    kafka | target)
        local p
        p=$(listens "$1" | head -n 1)
        (exec 3<>"/dev/tcp/127.0.0.1/${p% *}") 2>/dev/null || { echo "does not listen yet"; return 1; }
        ;;
    *)
        local answer
        answer=$(curl -sS --max-time 2 -w '\n%{http_code}' "http://127.0.0.1:$(port "$1")/readyz" 2>&1) ||
            { echo "does not answer yet"; return 1; }
        [ "${answer##*$'\n'}" = 200 ] || { echo "${answer%$'\n'*}"; return 1; }
        ;;
    esac
}

# What runs here is under this very runsvdir, and nobody else's.
runsvdir_alive() {
    local pid
    pid=$(cat "$var/run/runsvdir.pid" 2>/dev/null) || return 1
    [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "runsvdir -P $svdir"
}
supervised() { [ "$(cat "$svdir/$1/supervise/stat" 2>/dev/null)" = run ] && sv status "$svdir/$1" 2>/dev/null | grep -q '^run:'; }
