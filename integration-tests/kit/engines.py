"""One broker and one database server for a whole test session, by the scripts of deploy/local."""
import ctypes
import hashlib
import shutil
import signal
import socket

import psycopg2

from kit.paths import LOCAL, ROOT
from kit.ports import free_port
from kit.powercut import unmount_below
from kit.process import Process
from kit.wait import within
from kit.wire import Wire


def partition_of(key, partitions=2):
    """Where a record with this key lies."""
    key = key.encode()
    return ctypes.CDLL("librdkafka.so.1").rd_kafka_msg_partitioner_murmur2(
        None, key, ctypes.c_size_t(len(key)), ctypes.c_int32(partitions), None, None)


class Kafka:
    def __init__(self, folder, disk=None):
        """disk: where its data lie, if not in the folder as well."""
        self.folder = folder
        self.port, self.controller = free_port(), free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        # for whoever comes by a wire that a test can cut: wire() stands between the two ports
        self.side, self.side_door = free_port(), free_port()
        self.process = Process("kafka", [LOCAL / "kafka.sh", (disk or folder) / "kafka", self.port,
                                         self.controller], folder,
                               env={"TALARIA_KAFKA_QUICK": "1",
                                    "TALARIA_KAFKA_SIDE": f"{self.side}:{self.side_door}"})

    def start(self):
        seen = self.process.log().count("Kafka Server started")
        self.process.start()
        within(60, lambda: self.process.log().count("Kafka Server started") > seen,
               what="Kafka started")
        return self

    def wire(self):
        """A way to this broker that can be cut, for services whose brokers are its address."""
        return Wire(self.side, self.side_door)

    def produce(self, topic, key, *values, **headers):
        """Records as no service of ours would write them (through librdkafka, which every machine with the
        services has)."""
        rd = ctypes.CDLL("librdkafka.so.1")
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
            getattr(rd, name).restype = ctypes.c_void_p
        text, p = ctypes.create_string_buffer(512), ctypes.c_void_p
        conf = p(rd.rd_kafka_conf_new())
        rd.rd_kafka_conf_set(conf, b"bootstrap.servers", self.brokers.encode(), text, 512)
        rd.rd_kafka_conf_set(conf, b"partitioner", b"murmur2", text, 512)
        producer, size, key = p(rd.rd_kafka_new(0, conf, text, 512)), ctypes.c_size_t, key.encode()
        for value in values:
            pairs, value = p(rd.rd_kafka_headers_new(8)), value.encode()
            for name, content in headers.items():
                rd.rd_kafka_header_add(pairs, name.encode(), -1, content.encode(), ctypes.c_ssize_t(-1))
            error = rd.rd_kafka_producev(
                producer, ctypes.c_int(1), topic.encode(), ctypes.c_int(5), key, size(len(key)),  # TOPIC, KEY
                ctypes.c_int(4), value, size(len(value)), ctypes.c_int(7), ctypes.c_int(2),  # VALUE, MSGFLAGS copy
                ctypes.c_int(10), pairs, ctypes.c_int(0))  # HEADERS, END
            assert error == 0
        assert rd.rd_kafka_flush(producer, 60000) == 0
        rd.rd_kafka_destroy(producer)

    def ends(self, topic, partitions=2):
        """The next offset of each partition."""
        rd, p = ctypes.CDLL("librdkafka.so.1"), ctypes.c_void_p
        rd.rd_kafka_conf_new.restype = rd.rd_kafka_new.restype = p
        text, conf = ctypes.create_string_buffer(512), p(rd.rd_kafka_conf_new())
        for name, value in ((b"bootstrap.servers", self.brokers.encode()), (b"log_level", b"0")):
            rd.rd_kafka_conf_set(conf, name, value, text, 512)
        client, ends = p(rd.rd_kafka_new(0, conf, text, 512)), []
        for n in range(partitions):
            low, high = ctypes.c_int64(), ctypes.c_int64()
            error = rd.rd_kafka_query_watermark_offsets(client, topic.encode(), ctypes.c_int32(n),
                                                        ctypes.byref(low), ctypes.byref(high), ctypes.c_int(10000))
            ends.append(high.value if error == 0 else None)
        rd.rd_kafka_destroy(client)
        assert None not in ends, "the broker does not say"
        return ends

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop(30)


class Postgres:
    """Not durable unless it lies on a disk of its own: only there a test pulls the plug."""

    OPTIONS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off"

    def __init__(self, folder, disk=None):
        self.folder, self.data = folder, (disk or folder) / "postgres"
        self.port = free_port()
        self.process = Process("postgres", [LOCAL / "postgres.sh", self.data, self.port],
                               folder, {} if disk else {"TALARIA_POSTGRES_OPTIONS": self.OPTIONS})

    def dsn(self, database):
        return (f"host=127.0.0.1 port={self.port} user=talaria dbname={database} "
                f"passfile={self.data}/pgpass")

    def connect(self, database="postgres"):
        connection = psycopg2.connect(self.dsn(database), connect_timeout=5)
        connection.autocommit = True
        return connection

    def start(self):
        """After a kill -9 it does not start before the last old child is gone: as under a supervisor it is started
        until it stays."""
        def answers():
            if not self.process.alive():
                self.process.start()
            self.connect().close()
            return True
        within(60, answers, what="PostgreSQL answers")
        return self

    def kill(self):
        """The children of a postmaster that got kill -9 end by themselves; the port is theirs till then."""
        self.process.kill()
        within(10, self._port_free, what="PostgreSQL's port free")

    def _port_free(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) != 0

    def stop(self):
        if self.process.alive():
            self.process.signal(signal.SIGINT)  # the fast stop
            self.process.wait(30)

    def execute(self, sql, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as c:
                c.execute(sql)
        finally:
            connection.close()

    def make_template(self):
        """An empty database with the schema, as pg_migrate leaves it: copied for each site."""
        self.execute("CREATE DATABASE site_template")
        connection = self.connect("site_template")
        with connection.cursor() as c:
            c.execute("CREATE TABLE IF NOT EXISTS migrations (version int PRIMARY KEY, name text NOT NULL,"
                      "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
            for path in sorted((ROOT / "schemas" / "sql").glob("[0-9]*.sql")):
                text = path.read_bytes()
                c.execute(text.decode())
                c.execute("INSERT INTO migrations (version, name, sha256) VALUES (%s, %s, %s)",
                          (int(path.name[:4]), path.name, hashlib.sha256(text).hexdigest()))
        connection.close()
        self.execute("ALTER DATABASE site_template WITH is_template true allow_connections false")

    def clone(self, name):
        self.execute(f"CREATE DATABASE {name} TEMPLATE site_template STRATEGY FILE_COPY")

    def drop(self, name):
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def fresh(folder):
    """An empty folder; what an earlier session left is removed."""
    unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
