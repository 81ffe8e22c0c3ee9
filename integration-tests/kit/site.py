"""A site of its own for each test: topics, database, store, ports, services."""
import json
import subprocess
import urllib.error
import urllib.request

from psycopg2.extras import RealDictCursor

from kit import senders
from kit.compare import identities
from kit.paths import BIN
from kit.ports import free_port
from kit.process import KEPT, SANITIZERS, Process, Service
from kit.sink import Sink
from kit.wait import within


class Site:
    def __init__(self, name, kafka, postgres, folder):
        self.name, self.kafka, self.postgres, self.folder = name, kafka, postgres, folder
        self.database = f"site_{name}"
        self.store = folder / "store"
        self.dicom, self.web = free_port(), free_port()
        self.services, self.others = {}, []
        self._connection = None
        folder.mkdir(parents=True)
        self.store.mkdir()
        postgres.clone(self.database)

    # ---- services ----
    def create_topics(self):
        """Two partitions each; offset 0 is committed for every group."""
        self.cli("topics", "create", "--brokers", self.kafka.brokers, "--site", self.name, "--test")
        return self

    def service(self, name, instance="1", **settings):
        """A service of this site, not started. settings: its keys, camelCase as in its reference."""
        base = {"site": self.name, "instance": f"{name}-{instance}", "brokers": self.kafka.brokers,
                "store": f"file:{self.store}"}
        if name == "receiver":
            base.update(bind="127.0.0.1", port=self.dicom)
        if name in ("bookkeeper", "gateway"):
            base.update(database=self.postgres.dsn(self.database))
        if name == "gateway":
            base.update(listen=f"127.0.0.1:{self.web}")
        key = f"{name}-{instance}"
        self.services[key] = Service(key, BIN / f"talaria-{name}", self.folder, {**base, **settings})
        return self.services[key]

    def start(self, *names, **settings):
        """Starts and waits until ready; all five if none is named. The one service, or a list."""
        names = names or ("receiver", "router", "dispatcher", "bookkeeper", "gateway")
        started = [self.service(n, **(settings if len(names) == 1 else {})).start() for n in names]
        for s in started:
            s.ready()
        return started[0] if len(started) == 1 else started

    def __getattr__(self, name):
        """site.receiver is the first receiver."""
        services = self.__dict__.get("services", {})
        if f"{name}-1" in services:
            return services[f"{name}-1"]
        raise AttributeError(name)

    def cli(self, *arguments, check=True, timeout=60):
        """The command line; its output."""
        done = subprocess.run([str(BIN / "talaria"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
                              env={**KEPT, **SANITIZERS, "TALARIA_GATEWAY": f"http://127.0.0.1:{self.web}"})
        text = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"talaria {arguments}: {done.returncode}\n{text}"
        return text if check else (done.returncode, text)

    # ---- REST ----
    def request(self, method, path, body=None, headers=None, timeout=10):
        """(status, decoded body)"""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}/api/v1{path}", data, method=method,
                                         headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text.decode(errors="replace")

    def apply(self, document):
        """Applies a configuration document and waits until every running service has it."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(document, indent=1))
        return self.cli("apply", path)

    # ---- ledger ----
    def query(self, sql, *values):
        """Rows as dictionaries."""
        if self._connection is None or self._connection.closed:
            self._connection = self.postgres.connect(self.database)
        with self._connection.cursor(cursor_factory=RealDictCursor) as c:
            c.execute(sql, values)
            return [dict(row) for row in c.fetchall()] if c.description else []

    def value(self, sql, *values):
        """The one value of a query."""
        rows = self.query(sql, *values)
        return next(iter(rows[0].values())) if rows else None

    def ledger_within(self, seconds, sql, want, *values):
        """Waits until the query's one value is what it should be."""
        def same():
            got = self.value(sql, *values)
            if got != want:
                raise AssertionError(f"got {got!r}, want {want!r}")
            return True
        within(seconds, same, what=sql)

    # ---- peers ----
    def sink(self, **options):
        """A scripted DICOM target, running."""
        sink = Sink(**options).start()
        self.others.append(sink)
        return sink

    def storescp(self, name="storescp"):
        """DCMTK's receiver as a target: (port, folder where files arrive)."""
        folder, port = self.folder / name, free_port()
        folder.mkdir()
        process = Process(name, ["storescp", "--fork", "-aet", "TARGET", "+xa", "+B", "-pm", "-od", folder,
                                 port], self.folder).start()
        self.others.append(process)
        within(10, lambda: senders.echoscu(port).code == 0, what=f"{name} answers")
        return port, folder

    def storescu(self, paths, **options):
        return senders.storescu(self.dicom, paths, **options)

    def dcmsend(self, paths, **options):
        return senders.dcmsend(self.dicom, paths, **options)

    def stored(self):
        """Identities of the objects in the store."""
        return identities(self.store / "instances")

    # ---- end ----
    def close(self):
        """Stops everything; the complaints, which fail the test: sanitizer reports, exits other than 0 on
        TERM, hangs. A service that the test killed is not asked."""
        complaints = []
        for service in self.services.values():
            if service.alive():
                try:
                    code = service.stop()
                    if code != 0:
                        complaints.append(f"{service.name} answered TERM with exit {code}\n{service.tail()}")
                except AssertionError as e:
                    complaints.append(str(e))
            if service.complaint():
                complaints.append(f"{service.name}: {service.complaint()}\n{service.tail(60)}")
        for other in self.others:
            other.stop()
        if self._connection is not None:
            self._connection.close()
        self.postgres.drop(self.database)
        return complaints
