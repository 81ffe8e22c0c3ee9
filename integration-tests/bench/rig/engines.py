"""Broker, database, our services (release build, durable as they ship) and the peers."""
import json
import shutil
import socket
import subprocess

from kit.paths import BIN, LOCAL
from kit.ports import free_port
from kit.process import Process, Service
from kit.wait import pause, within

SERVICES = ("receiver", "router", "dispatcher", "bookkeeper", "gateway")


class Missing(Exception):
    """A part of the measurement is not there: the row says so."""


def program(name):
    path = BIN / name
    if not path.exists():
        raise Missing(f"{path.relative_to(path.parents[3])} is not built")
    return path


def tool(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Engines:
    """One broker and one database server, by the scripts that `make run` uses."""

    def __init__(self, folder):
        self.folder = folder
        self.kafka_port, self.postgres_port = free_port(), free_port()
        self.brokers = f"127.0.0.1:{self.kafka_port}"
        self.kafka = Process("kafka", [LOCAL / "kafka.sh", folder / "kafka", self.kafka_port,
                                       free_port()], folder)
        self.postgres = Process("postgres", [LOCAL / "postgres.sh", folder / "postgres",
                                             self.postgres_port], folder)

    def start(self):
        self.kafka.start()
        self.postgres.start()
        within(60, lambda: "Kafka Server started" in self.kafka.log(), what="Kafka started")
        within(60, lambda: self.psql("select 1") == "1", what="PostgreSQL answers")
        return self

    def dsn(self, database):
        return (f"host=127.0.0.1 port={self.postgres_port} user=talaria dbname={database} "
                f"passfile={self.folder}/postgres/pgpass")

    def psql(self, sql, database="postgres"):
        done = subprocess.run([tool("psql"), "-XqAt", self.dsn(database), "-c", sql],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode().strip()

    def create_database(self, name):
        self.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.psql(f"CREATE DATABASE {name}")

    def stop(self):
        self.kafka.stop(30)
        if self.postgres.alive():
            self.postgres.signal(2)  # INT: the fast stop
            self.postgres.wait(30)


class Site:
    """A site with the partition counts of production, its services as separate processes."""

    def __init__(self, name, engines, folder):
        self.name, self.engines, self.folder = name, engines, folder
        folder.mkdir(parents=True)
        self.database = f"bench_{name}"
        self.dicom, self.web = free_port(), free_port()
        self.services = {}
        self.stores = 0
        self.store = self.new_store()
        self.cli("topics", "create", "--brokers", engines.brokers, "--site", name)
        engines.create_database(self.database)

    def new_store(self):
        self.stores += 1
        self.store = self.folder / f"store-{self.stores}"
        self.store.mkdir()
        return self.store

    def cli(self, *arguments):
        done = subprocess.run([str(program("talaria")), *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, check=False,
                              env={"PATH": "/usr/bin:/bin",
                                   "TALARIA_GATEWAY": f"http://127.0.0.1:{self.web}"})
        text = done.stdout.decode(errors="replace").strip()
        if done.returncode:
            raise Missing(f"talaria {arguments[0]}: {text.splitlines()[-1] if text else done.returncode}")
        return text

    def start(self, name, **settings):
        base = {"site": self.name, "instance": f"{name}-1", "brokers": self.engines.brokers,
                "store": f"file:{self.store}", "logLevel": "warn"}
        if name == "receiver":
            base.update(bind="127.0.0.1", port=self.dicom, associations=1024, associationsPerPeer=1024)
        if name in ("bookkeeper", "cleaner", "gateway"):
            base.update(database=self.engines.dsn(self.database))
        if name == "gateway":
            base.update(listen=f"127.0.0.1:{self.web}")
        service = Service(name, program(f"talaria-{name}"), self.folder, {**base, **settings})
        self.services[name] = service
        service.start()
        try:
            service.ready(30)
        except AssertionError as e:
            raise Missing(f"{name} does not become ready: {str(e).splitlines()[0]}") from None
        return service

    def stop(self):
        for service in reversed(list(self.services.values())):
            if service.alive():
                service.stop(40)

    def apply(self, document):
        """Makes a document the configuration and waits until every running service has it."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(document, indent=1))
        revision = self.cli("apply", path).split()[-1]
        for name in ("receiver", "router", "dispatcher"):
            within(20, lambda s=self.services[name]: f'revision="{revision}"' in s.get("/metrics")[1],
                   what=f"{name} has revision {revision}")


class Orthanc:
    """As the package ships it: SQLite, every option at its default but names, folders and ports."""

    def __init__(self, folder, nodelay):
        self.name = "Orthanc, TCP_NODELAY=1" if nodelay else "Orthanc as shipped"
        self.port, self.pdu = free_port(), 16384
        folder.mkdir(parents=True)
        config = folder / "orthanc.json"
        config.write_text(json.dumps({
            "Name": "bench", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "HttpPort": free_port(), "DicomPort": self.port}))
        self.process = Process("orthanc", [tool("Orthanc"), config], folder,
                               {"TCP_NODELAY": "1"} if nodelay else {})

    def start(self):
        self.process.start()
        within(30, listens, self.port, what="Orthanc listens")
        return self

    def rss(self):
        return self.process.rss()

    def stop(self):
        self.process.stop(30)


class Storescp:
    """DCMTK's storescp; forking, as it must be to serve more than one peer, only where asked."""

    def __init__(self, folder, fork=False):
        self.name, self.port, self.pdu = "storescp", free_port(), 16384
        self.arrived = folder / "arrived"
        self.arrived.mkdir(parents=True)
        self.process = Process("storescp", [tool("storescp"), *(["--fork"] if fork else []), "-od",
                                            self.arrived, "+B", "+xa", self.port], folder)

    def start(self):
        self.process.start()
        within(10, listens, self.port, what="storescp listens")
        pause(0.2)  # that probe's association has to end first
        return self

    def stop(self):
        self.process.kill()
