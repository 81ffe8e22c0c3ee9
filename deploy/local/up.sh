#!/bin/bash
# Starts everything on this machine under runit, or brings up what is missing; waits until each service is
# ready, creates topics and schema, applies the demo configuration once. Repeating it is harmless and quick.
# shellcheck source=env.sh source=services.sh
. "$(dirname "$0")/env.sh"
. "$here/services.sh"

check_programs() {
    local name
    for name in "${ours[@]}"; do
        [ -x "$root/build/release/bin/talaria-$name" ] || die "build/release/bin/talaria-$name is missing" "Run: make"
    done
    command -v runsvdir >/dev/null || die "runit is missing" "Run: common/build/deps.sh run"
}

# A port that somebody else holds is named before anything starts.
check_ports() {
    local name number what holder busy=() choice=""
    for name in "${services[@]}"; do
        supervised "$name" && continue
        while read -r number what; do
            holder=$(ss -Hltnp "sport = :$number" 2>/dev/null | head -n 1)
            [ -n "$holder" ] || continue
            holder=$(sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1, process \2/p' <<<"$holder")
            busy+=("port $number ($what) is in use by ${holder:-a process of another user}")
            choice+="TALARIA_PORT_$what=$((number + 1000)) "
        done < <(listens "$name")
    done
    [ ${#busy[@]} -eq 0 ] || die "Ports are taken:" "${busy[@]}" "Choose others, for example (the choice is kept in var/env):" "${choice}make run"
}

write_service() { # folder of one service, as runit wants it
    local dir=$svdir/$1
    mkdir -p "$dir/log" "$dir/control" "$var/log/$1"
    printf '#!/bin/sh\nexec 2>&1\nexec %q run %s\n' "$here/service.sh" "$1" >"$dir/run.new"
    printf '#!/bin/sh\nexec %q ready %s >/dev/null\n' "$here/service.sh" "$1" >"$dir/check"
    printf '#!/bin/sh\nexec svlogd %q\n' "$var/log/$1" >"$dir/log/run"
    printf 's10000000\nn5\n' >"$var/log/$1/config"
    # PostgreSQL: INT is the fast stop; TERM would wait for its clients
    [ "$1" != postgres ] || { printf '#!/bin/sh\nkill -INT "$(cat supervise/pid)"\n' >"$dir/control/t" && chmod +x "$dir/control/t"; }
    chmod +x "$dir/run.new" "$dir/check" "$dir/log/run"
    mv "$dir/run.new" "$dir/run"
    # our services wait for their topics: a group that has members takes no first offsets from outside
    ! is_ours "$1" || touch "$dir/down"
}

start_runsvdir() {
    mkdir -p "$svdir" "$var/run" "$var/log"
    local name
    for name in "${services[@]}"; do write_service "$name"; done
    runsvdir_alive && return
    for name in "${services[@]}"; do mark "$name" >"$var/run/$name.mark"; done
    setsid nohup runsvdir -P "$svdir" </dev/null >>"$var/log/runsvdir" 2>&1 &
    echo $! >"$var/run/runsvdir.pid"
    for name in "${services[@]}"; do
        until sv status "$svdir/$name" >/dev/null 2>&1; do sleep 0.05; done
    done
}

# Changes when a service's program or settings do.
mark() {
    if is_ours "$1"; then
        settings "$1" | cat - <(stat -c '%Y %s' "$root/build/release/bin/talaria-$1") | sha256sum
    else
        listens "$1" | sha256sum
    fi
}

# Starts these; one whose program or settings changed since it started is restarted.
restart_changed() {
    local name now
    for name in "$@"; do
        now=$(mark "$name")
        if supervised "$name" && [ "$now" != "$(cat "$var/run/$name.mark" 2>/dev/null)" ]; then
            say restart "$name (program or settings changed)"
            sv -w 30 restart "$svdir/$name" >/dev/null 2>&1 || true
        else
            sv up "$svdir/$name" >/dev/null 2>&1 || true
        fi
        echo "$now" >"$var/run/$name.mark"
    done
}

wait_ready() { # name seconds
    local began=$EPOCHREALTIME deadline=$((SECONDS + $2)) why=''
    until why=$(ready "$1"); do
        if ((SECONDS >= deadline)); then
            tail -n 8 "$var/log/$1/current" 2>/dev/null | cut -c1-240 >&2 || true
            die "$1 is not ready after $2 s: $why" "Its log: $var/log/$1/current" \
                "After the cause is removed: make run (nothing is lost). All states: deploy/local/status.sh"
        fi
        sleep 0.1
    done
    say ready "$(printf '%-11s %s s' "$1" "$(seconds_since "$began")")"
}

step() { # text seconds command...: repeated while it fails (a broker that has just started is not whole at once)
    local began=$EPOCHREALTIME out text=$1 deadline=$((SECONDS + $2)) ok=''
    shift 2
    until out=$("$@" 2>&1) && ok=yes || ((SECONDS >= deadline)); do sleep 0.3; done
    if [ -z "$ok" ]; then
        printf '%s\n' "$out" | tail -n 15 >&2
        die "$text failed" "The command was: $*" "After the cause is removed: make run"
    fi
    say done "$(printf '%-11s %s s' "$text" "$(seconds_since "$began")")"
}

create_database() {
    local psql=(psql -qAt "host=127.0.0.1 port=$TALARIA_PORT_POSTGRES user=talaria dbname=postgres passfile='$var/postgres/pgpass'")
    [ "$("${psql[@]}" -c "select 1 from pg_database where datname = 'talaria'")" = 1 ] ||
        "${psql[@]}" -c 'create database talaria'
}

apply_demo() {
    sed "s/@TARGET_PORT@/$TALARIA_PORT_TARGET/; s|@VAR@|$var|" "$here/demo.json" >"$var/demo.json"
    TALARIA_GATEWAY=http://127.0.0.1:$TALARIA_PORT_WEB "$talaria" apply "$var/demo.json" && touch "$var/run/applied"
}

mkdir -p "$var" "$var/archive"
check_programs
check_ports
save_ports
start_runsvdir
restart_changed kafka postgres target
wait_ready kafka 60
wait_ready postgres 60
step topics 30 "$talaria" topics create --brokers "127.0.0.1:$TALARIA_PORT_KAFKA" --site main
step database 5 create_database
restart_changed "${ours[@]}"
for name in target "${ours[@]}"; do wait_ready "$name" 30; done
[ -e "$var/run/applied" ] || step configured 10 apply_demo
