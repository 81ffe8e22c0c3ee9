#!/usr/bin/python3
"""make bench: ours against Orthanc and DCMTK on this machine, in one run, as one table.

Generator, broker, database, services and peers share this machine's cores. Everything of ours is the release
build with the settings it ships with and the partition counts of production. What cannot be measured is
named in its row. Also writes build/bench/result.json.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

HERE = pathlib.Path(__file__).resolve().parent
os.environ["VARIANT"] = "release"
sys.path[:0] = [str(HERE), str(HERE.parent)]
from kit import pdu  # noqa: E402
from kit.paths import BUILD, ROOT  # noqa: E402
from kit.wait import TimedOut, pause, within  # noqa: E402
from rig import deletion, table  # noqa: E402
from rig.deliveries import OPEN, Deliveries  # noqa: E402
from rig.engines import SERVICES, Engines, Missing, Orthanc, Site, Storescp, tool  # noqa: E402
from rig.load import Idle, Sink, load, next_run, sender_rate, study_uid  # noqa: E402
from rig.table import Row  # noqa: E402

MEGABYTE = 1e6
WARM_UPS = 3
ECHO_LIMIT = 15  # seconds after which an echo is given up


def say(text):
    print(f"  {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.o = options
        self.folder = ROOT / "build" / "bench" / "run"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.rows = []
        self.engines = None
        self.site = self.sink = self.ingest_site = self.deletion_site = None
        self.warm = False
        self.site_is_up = False

    # ---- rows ----
    def row(self, *arguments, **options):
        row = Row(*arguments, **options)
        self.rows.append(row)
        return row

    def case(self, name, function, *rows):
        """Runs a case; whatever stops it is written into the rows that have no figure yet."""
        if self.o.only and not re.search(self.o.only, name):
            self.rows = [r for r in self.rows if r not in rows]
            return
        say(name)
        try:
            function(*rows)
        except (Missing, AssertionError, OSError, RuntimeError, subprocess.SubprocessError, ValueError,
                pdu.Closed, pdu.Unexpected) as e:
            why = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
            say(f"{name}: {why}")
            for row in rows:
                if not row.ours:
                    row.missing = why
                else:
                    row.note = "; ".join(x for x in (row.note, f"cut short: {why}") if x)

    def runs(self):
        return range(self.o.runs)

    # ---- ingest: the receiver alone with the broker ----
    def new_receiver(self):
        """A receiver over an empty store of its own."""
        site = self.ingest_site
        if "receiver" in site.services:
            site.services["receiver"].stop(40)
            site.new_store()
        site.start("receiver")
        return site

    def ingest(self, size, seconds, nodelay_row, shipped_row, p99_row=None):
        if not self.ingest_site:
            self.ingest_site = Site("ingest", self.engines, self.folder / "ingest")
        options = {"associations": 16, "size": size, "seconds": seconds, "series_length": 100}
        self.warm_up(options)
        for n in self.runs():
            site = self.new_receiver()
            watched = {"receiver": site.services["receiver"].pid, "broker": self.engines.kafka.pid}
            before = {k: cpu(pid) for k, pid in watched.items()}
            got = load(site.dicom, **options)
            nodelay_row.ours.append(got["perSecond"])
            shipped_row.ours.append(got["perSecond"])
            if p99_row:
                p99_row.ours.append(got["latencyMs"]["p99"])
            cores = {k: (cpu(pid) - before[k]) / got["seconds"] for k, pid in watched.items()}
            cores["generator"] = got["cpuSeconds"] / got["seconds"]
            shipped_row.note = (f"ours: {steps(site.services['receiver'])}; cores busy: " +
                                ", ".join(f"{k} {v:.2f}" for k, v in cores.items()))
            say(f"ours {got['perSecond']:,.0f}/s, p50 {got['latencyMs']['p50']} ms, p99 {got['latencyMs']['p99']} ms; "
                + shipped_row.note)
            for row, nodelay in ((nodelay_row, True), (shipped_row, False)):
                got = self.orthanc_load(f"{size}-{n}-{nodelay}", nodelay, options)
                row.peer.append(got["perSecond"])
                if p99_row and nodelay:
                    p99_row.peer.append(got["latencyMs"]["p99"])

    def warm_up(self, options):
        """A broker's just-in-time compiler needs a minute of work that a running site has long behind it."""
        if self.warm:
            return
        self.warm = True
        for _ in range(WARM_UPS):
            got = load(self.new_receiver().dicom, **{**options, "size": "tiny", "seconds": 4})
            say(f"warm-up, not counted: {got['perSecond']:,.0f}/s")

    def orthanc_load(self, name, nodelay, options):
        folder = self.folder / "orthanc" / name
        orthanc = Orthanc(folder, nodelay).start()
        try:
            got = load(orthanc.port, orthanc.pdu, **{**options, "series_length": 20})
        finally:
            orthanc.stop()  # its files go at the end: deleting thousands slows the file system down for minutes
        say(f"{orthanc.name} {got['perSecond']:,.0f}/s")
        return got

    # ---- one association of a stock sender ----
    def make_files(self, n):
        """n tiny files on disk, as storescp writes what loadgen sends."""
        folder = self.folder / f"files-{n}"
        maker = Storescp(folder, fork=True).start()
        try:
            load(maker.port, maker.pdu, associations=4, instances=n, size="tiny", series_length=25)
        finally:
            maker.stop()
        return maker.arrived

    def sender(self, name, row):
        many, few = self.make_files(1000), self.make_files(100)
        for n in self.runs():
            site = self.new_receiver()
            row.ours.append(sender_rate(name, site.dicom, many, 1000, "TALARIA"))
            peer = Storescp(self.folder / f"{name}-{n}").start()
            try:
                row.peer.append(sender_rate(name, peer.port, few, 100))
            finally:
                peer.stop()

    def senders(self, dcmsend_row, storescu_row):
        self.sender("dcmsend", dcmsend_row)
        for folder in self.folder.glob("files-*"):
            shutil.rmtree(folder)
        self.sender("storescu", storescu_row)

    # ---- silent peers ----
    def idle_associations(self, row):
        for n in self.runs():
            site = self.new_receiver()
            with Idle(site.dicom, 500) as idle:
                if idle.established < 500:
                    raise Missing(f"only {idle.established} associations were accepted")
                row.ours.append(site.services["receiver"].rss() / MEGABYTE)
            orthanc = Orthanc(self.folder / f"orthanc-idle-{n}", True).start()
            try:
                with Idle(orthanc.port, 500, orthanc.pdu) as idle:
                    if idle.established == 500:
                        row.peer.append(orthanc.rss() / MEGABYTE)
                    else:
                        row.note = f"Orthanc took {idle.established} associations"
            finally:
                orthanc.stop()

    def echo(self, port):
        """Seconds of one whole C-ECHO association while another connection is silent."""
        silent = socket.create_connection(("127.0.0.1", port), 5)
        try:
            pause(0.2)  # the silent one is accepted first
            begin = time.monotonic()
            try:
                with pdu.Sender.to(port, timeout=ECHO_LIMIT) as sender:
                    context = next(iter(sender.associate([(pdu.VERIFICATION, [pdu.IMPLICIT])])))
                    if sender.echo(context) != 0:
                        raise Missing("the C-ECHO was refused")
                    sender.release()
            except (TimeoutError, socket.timeout):
                return ECHO_LIMIT
            return time.monotonic() - begin
        finally:
            silent.close()

    def echoes(self, storescp_row, orthanc_row):
        site = self.new_receiver()
        for n in self.runs():
            value = self.echo(site.dicom)
            storescp_row.ours.append(value)
            orthanc_row.ours.append(value)
            for row, peer in ((storescp_row, Storescp(self.folder / f"echo-s{n}")),
                              (orthanc_row, Orthanc(self.folder / f"echo-o{n}", False))):
                peer.start()
                try:
                    row.peer.append(self.echo(peer.port))
                finally:
                    peer.stop()
                if row.peer[-1] >= ECHO_LIMIT:
                    row.note = f"the peer's was given up after {ECHO_LIMIT} s"

    # ---- the whole path ----
    def start_site(self):
        if self.site:
            if not self.site_is_up:
                raise Missing("the services did not start")
            return self.site
        self.sink = Sink(self.folder).start()
        self.site = Site("path", self.engines, self.folder / "path")
        for name in ("bookkeeper", "gateway", "router", "dispatcher", "receiver"):
            self.site.start(name)
        self.site_is_up = True
        return self.site

    def configure(self):
        self.start_site().apply({
            "sources": {"loadgen": {"callingAes": ["LOADGEN"], "completion": "release",
                                    "graceSeconds": self.o.grace}},
            "targets": {"sink": {"type": "dicom", "dicom": {"host": "127.0.0.1", "port": self.sink.port,
                                                            "calledAe": "SINK"}}},
            "rules": {"all": {"rule": "tags.Modality == 'CT'", "targets": ["sink"]}}})

    def idle_services(self, row):
        site = self.start_site()
        pause(5)
        each = {n: site.services[n].rss() / MEGABYTE for n in SERVICES}
        shared = sum(pss(site.services[n].pid) for n in SERVICES) / MEGABYTE
        row.ours.append(sum(each.values()))
        row.note = (", ".join(f"{n} {v:.0f}" for n, v in each.items()) +
                    f"; shared pages counted once: {shared:.0f} MB")

    def delivered(self, uid):
        """The study's state in the ledger."""
        url = f"http://127.0.0.1:{self.site.web}/api/v1/studies/{uid}"
        with urllib.request.urlopen(url, timeout=5) as r:
            study = json.load(r)
        return study["state"] == "delivered" and len(study["deliveries"]) > 0

    def study_latency(self, target_row, ledger_row):
        self.configure()
        for _ in self.runs():
            run, before = next_run(), self.sink.seen()["instances"]
            got = load(self.site.dicom, run=run, associations=1, instances=300, size="ct", series_length=300)
            answered = got["lastAnswerAt"] / 1000
            within(60, lambda: self.sink.seen()["instances"] >= before + 300, every=0.01,
                   what="300 instances at the target")
            within(60, self.delivered, study_uid(run), every=0.01, what="delivered in the ledger")
            in_ledger = time.time()
            target_row.ours.append(self.sink.seen()["at"] / 1000 - answered - self.o.grace)
            ledger_row.ours.append(in_ledger - answered - self.o.grace)
            say(f"sent in {got['seconds']:.2f} s; beyond the grace: at the target after {target_row.ours[-1]:.2f} s, "
                f"in the ledger after {ledger_row.ours[-1]:.2f} s")

    def sustained(self, row):
        self.configure()
        for _ in self.runs():
            before = self.sink.seen()["instances"]
            got = load(self.site.dicom, associations=4, instances=self.o.sustained, size="ct",
                       series_length=100, reconnect=True)
            begin = got["lastAnswerAt"] / 1000 - got["seconds"]
            within(300, lambda: self.sink.seen()["instances"] >= before + self.o.sustained,
                   what="all instances at the target")
            row.ours.append(self.o.sustained / (self.sink.seen()["at"] / 1000 - begin))
            say(f"received {got['perSecond']:,.0f}/s, delivered {row.ours[-1]:,.0f}/s")

    # ---- deletion ----
    def deletion(self, beside, alone):
        """A site of its own: with its own topics nothing but this is in the ledger."""
        if self.site:
            self.site.stop()
        site = self.deletion_site = Site("deletion", self.engines, self.folder / "deletion")
        for name in ("bookkeeper", "gateway", "router", "dispatcher", "receiver"):
            site.start(name)
        deletion.measure(deletion.Deletion(site), self.o.deleted, self.o.seconds, self.runs(), say, beside, alone)

    # ---- the dispatcher ----
    def small_deliveries(self, row):
        """Deliveries of one instance each, all waiting when their target is released."""
        with closing(Deliveries("small", self.engines, self.folder)) as d:
            row.ours += [d.rate(self.o.deliveries) for _ in self.runs()]

    def dead_target(self, rate_row, cpu_row, restart_row, memory_row):
        """Two sites take turns, only one dispatcher runs at a time: one of them has all those open. What one
        delivery costs its processor is the same question without the noise of a busy machine."""
        with closing(Deliveries("free", self.engines, self.folder)) as free, \
                closing(Deliveries("laden", self.engines, self.folder)) as laden:
            bare = laden.site.services["dispatcher"].rss()
            laden.send(OPEN, "DEAD")
            memory_row.ours.append((laden.site.services["dispatcher"].rss() - bare) / OPEN)
            for d in (free, laden):
                d.site.services["dispatcher"].stop(40)
            for n in range(2 * self.o.runs + 2):
                d = (free, laden)[(n + 1) // 2 % 2]  # first, second, second, first …
                restart = d.start_dispatcher()
                service = d.site.services["dispatcher"]
                before = cpu(service.pid)
                rate = d.rate(self.o.deliveries)
                cost = (cpu(service.pid) - before) * 1000 / self.o.deliveries
                service.stop(40)
                for row, value in ((rate_row, rate), (cpu_row, cost)):
                    (row.ours if d is laden else row.peer).append(value)
                if d is laden:
                    restart_row.ours.append(restart)
                say(f"{'beside' if d is laden else 'without'} {OPEN} open {rate:.0f}/s, {cost:.2f} ms of processor each, "
                    f"start {restart:.2f} s")

    # ---- replay ----
    def replay(self, row):
        """A bookkeeper without any position reads what the ingest runs left in Kafka."""
        if not self.ingest_site:
            raise Missing("needs the records of the ingest cases")
        site = self.ingest_site
        self.new_receiver().services["receiver"].stop(40)  # only what is in Kafka counts
        for _ in self.runs():
            self.engines.create_database(site.database)
            bookkeeper = site.start("bookkeeper")
            try:
                begin, n = self.first_record(bookkeeper)
                end, total = self.read_to_end(bookkeeper)
            finally:
                bookkeeper.stop(40)
            row.ours.append((total - n) / (end - begin))
            say(f"{total:,.0f} records, {row.ours[-1]:,.0f}/s")

    @staticmethod
    def first_record(bookkeeper):
        def some():
            n = bookkeeper.metric("talaria_bookkeeper_records_total")
            return (time.monotonic(), n) if n > 0 else None
        return within(30, some, what="the first records in the ledger")

    @staticmethod
    def read_to_end(bookkeeper):
        """(time, records) of the last growth, once nothing has come for 2 s."""
        last = (time.monotonic(), 0)
        while time.monotonic() - last[0] < 2:
            n = bookkeeper.metric("talaria_bookkeeper_records_total")
            if n > last[1]:
                last = (time.monotonic(), n)
            pause(0.02)
        return last

    # ---- programs beside the code ----
    def program(self, path, pattern, row, scale=1.0):
        binary = BUILD / "tests" / path
        if not binary.exists():
            raise Missing(f"{path} is not built: make VARIANT=release benches")
        for _ in self.runs():
            done = subprocess.run([str(binary)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=300, check=False, cwd=ROOT)
            text = done.stdout.decode(errors="replace")
            found = re.findall(pattern, text, re.M)
            if done.returncode or not found:
                raise Missing(f"{path} ended with {done.returncode} and said no such figure")
            row.ours.append(max(float(x.replace(",", "")) for x in found) * scale)


def steps(receiver):
    """Where the time of one instance goes, from the receiver's own histograms."""
    def mean(family):
        count = receiver.metric(f"{family}_count")
        return receiver.metric(f"{family}_sum") / count * 1000 if count else 0
    return (f"to stable storage {mean('talaria_ingest_store_seconds'):.1f} ms, "
            f"Kafka's acknowledgement {mean('talaria_ingest_announce_seconds'):.1f} ms (means)")


def cpu(pid):
    """Seconds of processor time a process has had."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid):
    """Proportional set size: shared pages divided by their users."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024


def machine():
    def first_line(argv):
        try:
            return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
                                  check=False).stdout.decode().splitlines()[0]
        except (OSError, IndexError, subprocess.SubprocessError):
            return "not installed"
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    try:
        orthanc = first_line([tool("Orthanc"), "--version"])
    except Missing:
        orthanc = "Orthanc not installed"
    return {"cores": os.cpu_count(), "cpu": model[1] if model else platform.machine(),
            "kernel": platform.release(), "orthanc": orthanc,
            "dcmtk": first_line(["storescp", "--version"]).strip("$ "),
            "loadAverageBefore": os.getloadavg()[0],
            "commit": first_line(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])}


def measure(b):
    tiny, ct = b.o.seconds, b.o.seconds
    ours_note = "object fsynced and record acknowledged before the answer"
    rows = [b.row("ingest tiny (11 KB) × 16 associations", "/s", target=5000, ratio_target=10,
                  peer_name="Orthanc, TCP_NODELAY=1", note=ours_note),
            b.row("the same", "/s", peer_name="Orthanc as shipped"),
            b.row("p99 of an answer, tiny × 16", "ms", more_is_better=False, target=50,
                  peer_name="Orthanc, TCP_NODELAY=1")]
    b.case("ingest tiny", lambda *r: b.ingest("tiny", tiny, *r), *rows)
    rows = [b.row("ingest CT (0.5 MB) × 16 associations", "/s", target=1500, ratio_target=4,
                  peer_name="Orthanc, TCP_NODELAY=1", note=ours_note),
            b.row("the same", "/s", peer_name="Orthanc as shipped")]
    b.case("ingest CT", lambda *r: b.ingest("ct", ct, *r), *rows)
    rows = [b.row("one dcmsend as it is, tiny", "/s", target=500, peer_name="storescp"),
            b.row("one storescu as it is, tiny", "/s", target=500, peer_name="storescp")]
    b.case("stock senders", b.senders, *rows)
    b.case("idle associations", b.idle_associations,
           b.row("receiver's RSS, 500 idle associations", "MB", more_is_better=False, target=128,
                 peer_name="Orthanc"))
    b.case("echo beside a silent peer", b.echoes,
           b.row("C-ECHO beside a silent peer", "s", more_is_better=False, target=0.2, peer_name="storescp"),
           b.row("the same", "s", more_is_better=False, target=0.2, peer_name="Orthanc as shipped"))
    b.case("bookkeeper replay", b.replay,
           b.row("bookkeeper, replay from Kafka", "records/s", target=20000))
    if b.ingest_site:
        b.ingest_site.stop()
    b.case("idle services", b.idle_services,
           b.row("RSS of all five services, idle", "MB", more_is_better=False, target=100))
    beyond = f"beyond the source's grace of {b.o.grace} s"
    b.case("study latency", b.study_latency,
           b.row("300-slice CT, last answer → at DICOM target", "s", more_is_better=False, target=1, note=beyond),
           b.row("300-slice CT, last answer → delivered in ledger", "s", more_is_better=False, target=1,
                 note=beyond))
    b.case("small deliveries", b.small_deliveries,
           b.row("deliveries of one instance, one association", "/s", target=75))
    b.case("dead target", b.dead_target,
           b.row(f"the same beside {OPEN:,} open for a dead target", "/s", ratio_target=0.95,
                 peer_name="without these"),
           b.row("what one of these costs the dispatcher", "ms", more_is_better=False, ratio_target=0.95,
                 peer_name="without these", note="processor time"),
           b.row("restart of the dispatcher with them", "s", more_is_better=False, target=5),
           b.row("memory of each", "bytes", more_is_better=False, target=1024, note="growth of RSS"))
    b.case("sustained", b.sustained,
           b.row("sustained receive → delivered, CT", "/s", target=300,
                 note="first byte sent to last one delivered, the grace included"))
    b.case("deletion", b.deletion,
           b.row(f"ingest tiny × 16, all services, beside the deletion of {b.o.deleted:,}", "/s", ratio_target=0.5,
                 peer_name="undisturbed"),
           b.row("deletion with nothing beside it", "/s"))
    for part in (b.deletion_site, b.site, b.sink):
        if part:
            part.stop()
    programs(b)


def programs(b):
    for name, path, pattern, unit, more, target, scale in (
            ("scanner, header of 268 elements, 38 kept (explicit VR)", "dicom/bench_scan",
             r"\AExplicit[\s\S]*?walk, 38 values kept\s+(\d+) ns", "µs", False, 2, 0.001),
            ("tag map with texts, the same header", "dicom/bench_scan",
             r"\AExplicit[\s\S]*?tag map with texts\s+(\d+) ns", "µs", False, None, 0.001),
            ("rules, the slowest of the programs", "rules/bench_rules", r"(\d+) ns evaluate", "ns/rule", False,
             None, 1.0),
            ("decide, replay of instance records", "router/bench_decide",
             r"decide replay: (\d+) instance records/s", "records/s", True, 100000, 1.0),
            ("bookkeeper's statements alone, replay", "bookkeeper/bench_book",
             r"bookkeeper replay\s+(\d+) records/s", "records/s", True, None, 1.0)):
        row = b.row(name, unit, more_is_better=more, target=target)
        b.case(path, lambda r, p=path, x=pattern, s=scale: b.program(p, x, r, s), row)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each case; the median counts (3)")
    parser.add_argument("--seconds", type=int, default=4, help="of one ingest run (4)")
    parser.add_argument("--sustained", type=int, default=2000, help="instances of one run of the whole path (2000)")
    parser.add_argument("--deleted", type=int, default=100000, help="instances that the cleaner deletes (100000)")
    parser.add_argument("--deliveries", type=int, default=400, help="in one run of the dispatcher's cases (400)")
    parser.add_argument("--grace", type=int, default=1, help="seconds a released series is waited for (1)")
    parser.add_argument("--only", help="cases whose name contains this expression")
    parser.add_argument("--keep", action="store_true", help="keep build/bench/run")
    options = parser.parse_args()
    b = Bench(options)
    about = machine()
    say(f"{about['cores']} cores, {about['cpu']}, Linux {about['kernel']}, {about['orthanc']}")
    begin = time.monotonic()
    b.engines = Engines(b.folder)
    try:
        b.engines.start()
        measure(b)
    finally:
        for part in (b.deletion_site, b.site, b.ingest_site, b.sink, b.engines):
            try:
                if part:
                    part.stop()
            except (AssertionError, OSError, TimedOut, subprocess.SubprocessError) as e:
                say(f"stopping: {e}")
    about["seconds"] = round(time.monotonic() - begin)
    result = ROOT / "build" / "bench" / "result.json"
    result.write_text(json.dumps({"machine": about, "runs": options.runs,
                                  "rows": [r.json() for r in b.rows]}, indent=1, ensure_ascii=False) + "\n")
    if not options.keep:
        shutil.rmtree(b.folder, ignore_errors=True)
    print(table.text(b.rows))
    print(f"\n{about['cores']} cores ({about['cpu']}), shared by generator, broker, database, services and peers; "
          f"medians of {options.runs} runs; {about['orthanc']}; {about['seconds']} s; build/bench/result.json")


if __name__ == "__main__":
    main()
