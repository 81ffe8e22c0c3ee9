"""One broker and one database server for a whole test session, by the scripts of deploy/local."""
import ctypes
import hashlib
import shutil
import signal
import socket

import psycopg2

from kit.paths import LOCAL, ROOT
from kit.ports import free_port
from kit.process import Process
from kit.wait import within


class Kafka:
    def __init__(self, folder):
        self.folder = folder
        self.port, self.controller = free_port(), free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        self.process = Process("kafka", [LOCAL / "kafka.sh", folder / "kafka", self.port,
                                         self.controller], folder,
                               env={"TALARIA_KAFKA_QUICK": "1"})

    def start(self):
        seen = self.process.log().count("Kafka Server started")
        self.process.start()
        within(60, lambda: self.process.log().count("Kafka Server started") > seen,
               what="Kafka started")
        return self

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

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop(30)


class Postgres:
    """Not durable: a test never pulls the plug of the database's machine."""

    OPTIONS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off"

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = Process("postgres", [LOCAL / "postgres.sh", folder / "postgres", self.port],
                               folder, {"TALARIA_POSTGRES_OPTIONS": self.OPTIONS})

    def dsn(self, database):
        return (f"host=127.0.0.1 port={self.port} user=talaria dbname={database} "
                f"passfile={self.folder}/postgres/pgpass")

    def connect(self, database="postgres"):
        connection = psycopg2.connect(self.dsn(database), connect_timeout=5)
        connection.autocommit = True
        return connection

    def start(self):
        self.process.start()
        within(60, lambda: self.connect().close() or True, what="PostgreSQL answers")
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
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
