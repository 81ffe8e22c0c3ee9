#!/bin/sh
# Fetches Apache Kafka's jars with Maven into the cache (TALARIA_CACHE, else ~/.cache/talaria), checks
# each against jars.sha256, and prepares the class archive that makes a broker start in a second.
# A download that was cut short is repeated cleanly: the folder gets its name when all is checked.
set -u
here=$(cd "$(dirname "$0")" && pwd)
version=4.4.0
cache=${TALARIA_CACHE:-${HOME:-/root}/.cache/talaria}
home=$cache/kafka-$version

say() { printf '  deps   %s\n' "$*"; }
die() {
    printf '\ndeps: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '      %s\n' "$line" >&2; done
    exit 1
}

fetch() {
    command -v mvn >/dev/null || die "mvn is missing" "It comes with the Debian package maven."
    mkdir -p "$cache" || die "cannot write to $cache" "Choose another folder with TALARIA_CACHE."
    part=$(mktemp -d "$cache/kafka-$version.part.XXXXXX") || exit 1
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM HUP
    say "fetching Apache Kafka $version (46 MB, by Maven, into $cache)"
    plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
    if ! mvn -B -ntp -q -C -f "$here/pom.xml" $plugin:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$part/lib" >"$part/log" 2>&1; then
        grep -m 3 ERROR "$part/log" | cut -c1-300 >&2
        if grep -q 'PKIX path' "$part/log"; then
            die "Java does not trust the certificate of the Maven repository" \
                "Behind an inspecting proxy: add its certificate to /usr/local/share/ca-certificates," \
                "run update-ca-certificates (package ca-certificates-java) and try again."
        fi
        die "Kafka's jars could not be fetched: is there a network?" \
            "Maven's settings (~/.m2/settings.xml) can name a proxy or mirror. Try again: nothing is left half done."
    fi
    (cd "$part/lib" && sha256sum --quiet --strict -c "$here/jars.sha256") >&2 &&
        [ "$(find "$part/lib" -name '*.jar' | wc -l)" -eq "$(wc -l <"$here/jars.sha256")" ] ||
        die "Kafka's jars differ from common/build/kafka/jars.sha256" "They are not used."
    rm -rf "$home" && mv "$part" "$home" || exit 1
    trap - EXIT
}

# A broker that starts, and stops by itself, once: its classes, laid out in memory, are the archive.
prepare() {
    java=$(readlink -f "$(command -v java)") || die "java is missing" "It comes with the Debian packages of section run."
    archive=$home/classes-$(printf '%s' "$java $(stat -c %Y "$java")" | sha256sum | cut -c1-12).jsa
    [ ! -s "$archive" ] || return 0
    say "preparing Kafka's class archive (once, some seconds)"
    work=$(mktemp -d)
    # shellcheck disable=SC2046
    set -- $(/usr/bin/python3 -c 'import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(x.getsockname()[1] for x in s))')
    TALARIA_KAFKA_DUMP=$archive.$$ "$here/../../../deploy/local/kafka.sh" "$work" "$@" >"$work/out" 2>&1 &
    broker=$!
    n=0
    until grep -q 'Kafka Server started' "$work/out" || [ $n -ge 300 ]; do
        kill -0 $broker 2>/dev/null || break
        n=$((n + 1))
        sleep 0.1
    done
    kill -TERM $broker 2>/dev/null
    wait $broker 2>/dev/null
    if [ -s "$archive.$$" ]; then
        mv "$archive.$$" "$archive"
    else
        say "no archive was made (the broker starts without it, in 3 s): see $work/out"
        return 0
    fi
    rm -rf "$work"
}

[ -d "$home/lib" ] || fetch
prepare
