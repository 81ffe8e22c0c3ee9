#!/bin/sh
# One Kafka broker (KRaft, its own controller) in the foreground: kafka.sh DIR PORT CONTROLLER_PORT.
# Data, generated server.properties and nothing else lie in DIR. TERM stops it cleanly.
# The jars are those that common/build/deps.sh kafka put into the cache.
set -eu
dir=$1 port=$2 controller=$3
here=$(cd "$(dirname "$0")" && pwd)
home=${TALARIA_CACHE:-${HOME:-/root}/.cache/talaria}/kafka-4.4.0
[ -d "$home/lib" ] || { echo "kafka: no jars in $home: run common/build/deps.sh kafka" >&2; exit 1; }

mkdir -p "$dir/data"
dir=$(cd "$dir" && pwd)
if [ ! -s "$dir/data/meta.properties" ]; then
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    printf 'version=1\ncluster.id=%s\nnode.id=1\n' "$id" >"$dir/data/meta.properties.new"
    mv "$dir/data/meta.properties.new" "$dir/data/meta.properties"
fi

# broker.*: back in 4–6 s after kill -9 instead of 14. The dedupe buffer fits the small heap.
# log.flush: every record is on disk before it is acknowledged, also those of topics that are not ours (a group's
# committed offsets); `instance` says otherwise for itself.
# log.*.ms: short checks, so that a test sees retention work. Topics bring their own policies.
# TALARIA_KAFKA_SIDE=PORT:ADVERTISED: a second listener, whose clients are sent to another port: a test puts a proxy there.
side=${TALARIA_KAFKA_SIDE:-}
cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller${side:+,SIDE://127.0.0.1:${side%:*}}
advertised.listeners=PLAINTEXT://127.0.0.1:$port${side:+,SIDE://127.0.0.1:${side#*:}}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SIDE:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.retention.minutes=129600
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=1048576
log.flush.interval.messages=1
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
END

java=$(readlink -f "$(command -v java)")
archive=$home/classes-$(printf '%s' "$java $(stat -c %Y "$java")" | sha256sum | cut -c1-12).jsa
if [ -n "${TALARIA_KAFKA_DUMP:-}" ]; then
    classes=-XX:ArchiveClassesAtExit=$TALARIA_KAFKA_DUMP
elif [ -s "$archive" ]; then
    classes=-XX:SharedArchiveFile=$archive
else
    classes=-Xshare:auto
fi
path=$(find "$home/lib" -name '*.jar' | LC_ALL=C sort | tr '\n' ':')
cd "$dir"
# TALARIA_KAFKA_QUICK=1: only the quick compiler, for brokers that live for a test (half the speed, sooner there)
jit=${TALARIA_KAFKA_QUICK:+-XX:TieredStopAtLevel=1}
# shellcheck disable=SC2086
exec "$java" -Xms64m -Xmx"${TALARIA_KAFKA_HEAP:-256m}" -XX:+UseSerialGC $jit \
    -XX:+ExitOnOutOfMemoryError -Xshare:auto "$classes" -Xlog:cds=off -Xlog:cds+dynamic=off \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true \
    -Dlog4j2.configurationFile="$here/log4j2.properties" \
    -cp "$path" kafka.Kafka "$dir/server.properties"
