"""A site of its own for each test: topics, database, store, ports, services."""
import json
import subprocess
import threading
import urllib.error
import urllib.request

from psycopg2 import OperationalError
from psycopg2.extras import RealDictCursor

from kit import senders
from kit.compare import identities
from kit.paths import BIN
from kit.ports import free_port
from kit.process import KEPT, SANITIZERS, TERM_CODES, Process, Service
from kit.sink import Sink
from kit.wait import patient, within

ALL = ("receiver", "router", "dispatcher", "bookkeeper", "gateway")


# The balances once more, in words of their own: `talaria ledger` is tested too. n and members are what the records
# say (n counts what was left out because it stood in an earlier window, not what lies in dlq).
IMBALANCES = """
    SELECT 'a decision without all of its receipts' AS what, d.decision AS id FROM decisions d
    WHERE d.kind = 'series' AND d.n IS NOT NULL AND d.members_at IS NOT NULL AND d.n - (SELECT count(DISTINCT m.receipt)
        FROM members m WHERE m.decision = d.decision) NOT IN (0, coalesce(d.left_out, 0))
    UNION ALL SELECT 'a receipt in two windows', m.receipt FROM members m JOIN decisions d USING (decision)
    WHERE d.kind = 'series' AND d.command IS NULL GROUP BY m.receipt HAVING count(*) > 1
    UNION ALL SELECT 'a receipt that counts as decided without a decision', r.receipt FROM receipts r
    WHERE r.state >= 'decided' AND NOT EXISTS (SELECT FROM members m WHERE m.receipt = r.receipt)
    UNION ALL SELECT 'a receipt deleted without a word', r.receipt FROM receipts r
    WHERE r.removed_at IS NOT NULL AND r.condemned_at IS NULL
    UNION ALL SELECT 'a delivery that ended without all of its members', v.delivery FROM deliveries v
    WHERE v.finished_at IS NOT NULL AND v.members <> coalesce(v.delivered, 0) + coalesce(v.repeated, 0) +
        coalesce(v.not_accepted, 0) + coalesce(v.failed, 0) + coalesce(v.cancelled, 0)
    UNION ALL SELECT 'a delivery with more outcomes than members', v.delivery FROM deliveries v
    WHERE v.members < (SELECT count(*) FROM delivery_members x WHERE x.delivery = v.delivery AND x.state <> 'open')
    UNION ALL SELECT 'writers that waited for each other', deadlocks || ' times' FROM pg_stat_database
    WHERE datname = current_database() AND deadlocks > 0
    LIMIT 20"""


class Site:
    def __init__(self, name, kafka, postgres, folder, disk=None):
        """disk: where the store lies, if not in the folder."""
        self.name, self.kafka, self.postgres, self.folder = name, kafka, postgres, folder
        self.database = f"site_{name}"
        self.store = (disk or folder) / "store"
        self.dicom, self.web = free_port(), free_port()
        self.services, self.others = {}, []
        self.closing, self.supervisor = threading.Event(), None
        self._connection = None
        self.unsound = False  # the test knows that its ledger does not add up
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
        base = {"site": self.name, "instance": instance, "brokers": self.kafka.brokers,
                "store": f"file:{self.store}"}
        if name == "receiver":
            base.update(bind="127.0.0.1", port=self.dicom)
        if name in ("bookkeeper", "cleaner", "gateway"):
            base.update(database=self.postgres.dsn(self.database))
        if name == "gateway":
            base.update(listen=f"127.0.0.1:{self.web}")
        key = f"{name}-{instance}"
        self.services[key] = Service(key, BIN / f"talaria-{name}", self.folder, {**base, **settings})
        return self.services[key]

    def start(self, *names, **settings):
        """Starts and waits until ready; all five if none is named. The one service, or a list."""
        names = names or ALL
        started = [self.service(n, **(settings if len(names) == 1 else {})).start() for n in names]
        for s in started:
            s.ready()
        return started[0] if len(started) == 1 else started

    def supervise(self):
        """From now on a service that ends by itself with another code than 0 is started again, as every
        supervisor does. What a sanitizer ended is left: that is a complaint."""
        def watch():
            while not self.closing.wait(0.1):
                for service in list(self.services.values()):
                    if service.ended_by_itself() and service.popen.returncode not in (0, *TERM_CODES, -6):
                        service.start()

        self.supervisor = threading.Thread(target=watch, daemon=True)
        self.supervisor.start()

    def __getattr__(self, name):
        """site.receiver is the first receiver."""
        services = self.__dict__.get("services", {})
        if f"{name}-1" in services:
            return services[f"{name}-1"]
        raise AttributeError(name)

    def cli(self, *arguments, check=True, timeout=60):
        """The command line; its output."""
        done = subprocess.run([str(BIN / "talaria"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patient(timeout), check=False,
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
            with urllib.request.urlopen(request, timeout=patient(timeout)) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text.decode(errors="replace")

    def apply(self, document, seconds=20):
        """Applies a configuration document and waits until every running service has it; the revision."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(document, indent=1))
        revision = self.cli("apply", path).split()[-1]
        for service in self.services.values():
            if service.alive() and not service.name.startswith("bookkeeper"):  # it needs no configuration
                within(seconds, lambda s=service: s.metric("talaria_config_info", revision=revision) == 1,
                       what=f"{service.name} has revision {revision}")
        return revision

    def up(self, document, **settings):
        """All services, ready, with this configuration. settings: {service: {key: value}}."""
        started = [self.service(n, **settings.get(n, {})).start() for n in ALL]
        for s in started:
            s.ready()
        return self.apply(document)

    # ---- what the ledger says, by REST ----
    def ledger_study(self, study):
        """The study as GET /studies/{study} tells it; None: not in the ledger."""
        status, body = self.request("GET", f"/studies/{study}")
        assert status in (200, 404), (status, body)
        return body if status == 200 else None

    def settled(self, study, instances, state="delivered", seconds=30):
        """Waits until the ledger knows so many receipts of the study, calls it by that word, and (unless the
        word is working) no delivery is open; the study."""
        def is_settled():
            s = self.ledger_study(study)
            if s is None:
                raise AssertionError("not in the ledger")
            got = sum(x["instances"] for x in s["series"]), s["state"]
            ended = all(d["state"] not in ("asked", "requested", "attempted") for d in s["deliveries"])
            if got != (instances, state) or not (ended or state == "working"):
                raise AssertionError(f"{got}, want {(instances, state)}: "
                                     + json.dumps([s["stages"], s["deliveries"], s["rejected"]]))
            return s
        return within(seconds, is_settled, what=f"study with {instances} instances {state}", every=0.1)

    def unbalanced(self, study):
        """What does not add up for a study: both balances of the ledger, as sentences. Empty: all is well."""
        out = []
        counts = self.query("SELECT count(*) FILTER (WHERE state = 'stored') AS open, count(*) AS all, "
                            "(SELECT count(DISTINCT m.receipt) FROM members m JOIN decisions d USING (decision) "
                            "WHERE d.study = %s) AS decided FROM receipts WHERE study = %s", study, study)[0]
        if counts["open"] or counts["decided"] != counts["all"]:
            out.append(f"receipts: {counts}")
        twice = self.value("SELECT count(*) FROM (SELECT m.receipt FROM members m JOIN decisions d USING (decision) "
                           "WHERE d.study = %s AND d.n IS NOT NULL GROUP BY 1 HAVING count(*) > 1) x", study)
        if twice:
            out.append(f"{twice} receipts stand in two windows")
        for d in self.query("SELECT * FROM deliveries WHERE study = %s", study):
            ended = [d[k] or 0 for k in ("delivered", "repeated", "not_accepted", "failed", "cancelled")]
            if sum(ended) != d["members"]:
                out.append(f"delivery to {d['target']} ({d['state']}): asked {d['members']}, ended {ended}")
        return out

    def pause_in(self, study):
        """The longest time, in seconds of the log, in which nothing of the study came: what a series is held to be
        whole by."""
        return float(self.value("SELECT coalesce(max(extract(epoch FROM pause)), 0) FROM (SELECT stored_at - lag(stored_at) "
                                "OVER (ORDER BY stored_at) AS pause FROM receipts WHERE study = %s) x", study))

    def imbalances(self):
        """What does not add up in the whole ledger, as sentences. What is still open counts as open."""
        if self.unsound or not any(name.startswith("bookkeeper-") for name in self.services):
            return []
        try:
            return [f"the ledger: {r['what']}: {r['id']}" for r in self.query(IMBALANCES)]
        except OperationalError:
            return []  # the test took the database away and left it so

    # ---- ledger ----
    def query(self, sql, *values):
        """Rows as dictionaries."""
        if self._connection is None or self._connection.closed:
            self._connection = self.postgres.connect(self.database)
        try:
            with self._connection.cursor(cursor_factory=RealDictCursor) as c:
                c.execute(sql, values)
                return [dict(row) for row in c.fetchall()] if c.description else []
        except OperationalError:
            self._connection.close()  # the server went away: the next query connects anew
            raise

    def disconnect(self):
        """The next query connects anew."""
        if self._connection is not None:
            self._connection.close()

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
        process = Process(name, ["storescp", "-v", "--fork", "-aet", "TARGET", "+xa", "+B", "-pm", "-od",
                                 folder, port], self.folder).start()
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
        TERM, hangs, a ledger that does not add up. A service that the test killed is not asked."""
        complaints = []
        self.closing.set()
        if self.supervisor:
            self.supervisor.join()
        for service in self.services.values():
            service.ask_to_stop()  # all at once: each drains by itself
        for service in self.services.values():
            if service.alive() or service.asked:
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
        complaints += self.imbalances()
        self.disconnect()
        self.postgres.drop(self.database)
        return complaints
