"""The long form of the kill tests: what was acknowledged is delivered, whatever is killed meanwhile.

    KILLS=3000 LONG_SEED=1 MINUTES=90 VARIANT=check python3 -m long.kills
"""
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import sys
import time
from collections import Counter

from kit.engines import Kafka, Postgres, fresh
from kit.paths import ROOT, VARIANT
from kit.ports import free_port
from kit.site import Site
from kit.wait import TimedOut, pause, within
from long.faults import Faults
from long.load import Journal, Load
from long.oracle import TARGETS, Books, digest, document
from long.watch import Watch

WORKERS = ("receiver", "router", "dispatcher", "bookkeeper")
RUN = ROOT / "build" / "test-long"
SENDERS, REST = 4, 0.25     # threads, and how long each rests between two studies
PER_ROUND, PER_SITE = 60, 480
EVERY = 0.4                 # mean seconds between two faults
ANSWERED, DRAINED = 60, 150  # seconds after the last fault


def figures(values):
    """Count, median and longest of a list of seconds."""
    values = sorted(values)
    return {"n": len(values), "median": round(values[len(values) // 2], 2), "longest": round(values[-1], 2)} \
        if values else {"n": 0}


class Duress:
    """One site, two of each worker, under faults."""

    def __init__(self, site, seed, without=()):
        self.site, self.seed, self.rng = site, seed, random.Random(f"{seed}/site")
        self.sinks = {t: site.sink(answer=self._slow if t == "slow" else None) for t in TARGETS}
        self.ports = {t: s.port for t, s in self.sinks.items()}
        self.earlier = {}  # what earlier rounds have sent
        self.documents, self.round_number, self.failover = 0, 0, {"restarted": [], "taken over": []}
        self._start()
        self.watch = Watch(site)
        self.faults = Faults(site, seed, self.watch, self.configure, self._flapping, without)

    def _start(self):
        site = self.site
        receivers = [site.service("receiver", "1"), site.service("receiver", "2")]
        receivers[1].settings["port"] = self.second_port = free_port()
        for name in WORKERS[1:]:
            site.service(name, "1")
            site.service(name, "2")
        site.service("gateway")
        site.service("cleaner", scanSeconds=2)
        for service in site.services.values():
            service.start()
        for service in site.services.values():
            service.ready(60)
        site.apply(self.document())

    def document(self):
        self.documents += 1
        return document(self.ports, odd=self.documents % 2)

    def configure(self):
        """A new revision, whoever is down; a gateway that does not answer is asked again."""
        path = self.site.folder / "config.json"
        path.write_text(json.dumps(self.document()))
        within(40, lambda: self.site.cli("apply", path), what="a new configuration is accepted", every=0.5)

    def _slow(self, n, sop):
        """Of 20 answers: one late, one never, one without resources."""
        chance = self.rng.randrange(20)
        return (0, 0.3) if chance == 0 else "ignore" if chance == 1 else 0xA700 if chance == 2 else 0

    def _flapping(self, rng):
        return self.sinks[rng.choice(("slow", "archive"))]

    # ---- a round ----
    def round(self, kills, seconds):
        """So many kills under load, but no more after so many seconds; then all is mended and the books are checked; the
        books."""
        deadline = time.monotonic() + seconds
        self.round_number += 1
        self.took = {"storm": time.monotonic()}
        faults, journal = self.faults, Journal()
        for sink in self.sinks.values():
            sink.arrived.clear()
        before, began = Counter(faults.counts), faults.kills()
        faults.storm()
        load = Load(journal, [self.site.dicom, self.second_port], f"{self.seed}/{self.round_number}", SENDERS, REST)
        next_strike = time.monotonic()
        while faults.kills() - began < kills and time.monotonic() < deadline and not faults.complaints:
            faults.turn()
            if time.monotonic() >= next_strike:
                faults.strike()
                next_strike = time.monotonic() + faults.rng.expovariate(1 / EVERY)
            pause(0.02)
        self._next("mending")
        problems = self._mended()
        self._next("answers")
        problems += load.finish(ANSWERED)
        self._next("draining")
        problems += self.drained(journal)
        aside = self.set_aside()
        if aside and not problems:
            self.recover()
            problems += self.drained(journal, failed=True)
        self._next("books")
        forgiven = self._forgiven(Counter(faults.counts) - before)
        books = Books(self.site, journal, self._arrived(), forgiven, self.earlier if aside else None)
        self.earlier.update((sop, sent.forget()) for sop, sent in journal.sent.items())
        self.watch.look()
        books.counts["set aside and brought back"] += aside
        books.problems += problems + faults.complaints + self.watch.complaints
        faults.complaints, self.watch.complaints = [], []
        self._next(None)
        return books

    def _mended(self):
        try:
            self.faults.calm()
        except TimedOut as e:
            return [f"not mended: {e}"]
        return []

    def _next(self, phase):
        """A phase of the round has ended, the next begins: how long each took."""
        now, last = time.monotonic(), list(self.took)[-1]
        self.took[last] = now - self.took[last]
        if phase:
            self.took[phase] = now

    @staticmethod
    def _forgiven(counts):
        """A dispatcher that stood still, or could not write, sends what it has begun when it goes on: one instance
        of each of its associations, twice, which nobody can know."""
        return len(TARGETS) * 2 * (counts["freeze dispatcher"] + counts["freeze broker"] + counts["kill broker"])

    def _arrived(self):
        """What a target answered 0000, or stored and did not answer."""
        return {t: [(a.sop, digest(a.dataset)) for a in list(sink.arrived) if not a.status]
                for t, sink in self.sinks.items()}

    # ---- drain ----
    def drained(self, journal, failed=False):
        """Waits until all that was acknowledged has ended; what did not, as sentences. failed: nothing is set aside
        any more."""
        try:
            within(DRAINED, lambda: self._still(journal, failed) == [], what="drained", every=0.25)
        except TimedOut:
            return [f"not drained within {DRAINED} s: {text}" for text in self._still(journal, failed)]
        return []

    def set_aside(self):
        """So many receipts lie in dlq."""
        return self.site.value("SELECT count(*) FROM receipts WHERE state = 'failed'")

    def recover(self):
        self.site.cli("recover", "--brokers", self.site.kafka.brokers, "--site", self.site.name, "--store",
                      f"file:{self.site.store}")

    def _still(self, journal, failed=False):
        """What is open."""
        site, out = self.site, []
        got = {r["sop"]: r["n"] for r in site.query(
            "SELECT sop, count(*) AS n FROM receipts WHERE study = ANY (%s) GROUP BY 1", list(journal.studies))}
        missing = [s for s in journal.acknowledged() if got.get(s.instance.sop, 0) < s.acknowledged]
        if missing:
            out.append(f"{len(missing)} instances have fewer receipts than acknowledgements, the first "
                       f"{missing[0].instance.sop}")
        for what, sql in (
                ("receipts undecided", "SELECT count(*) FROM receipts WHERE state = 'stored'" +
                 (" OR state = 'failed'" if failed else "")),
                ("deliveries open", "SELECT count(*) FROM deliveries WHERE state < 'delivered'"),
                ("manifests missing", "SELECT count(*) FROM decisions WHERE members_at IS NULL "
                                      "AND manifest_key IS NOT NULL"),
                ("alarms", "SELECT count(*) FROM (SELECT DISTINCT ON (body ->> 'kind', body ->> 'name') type FROM events "
                           "WHERE type IN ('alarm.raised', 'alarm.cleared') ORDER BY body ->> 'kind', body ->> 'name', seq DESC) x "
                           "WHERE type = 'alarm.raised'")):
            n = site.value(sql)
            if n:
                out.append(f"{n} {what}")
        waiting = len(list((site.store / "outbox").glob("*"))) if (site.store / "outbox").exists() else 0
        if waiting:
            out.append(f"{waiting} records in the outbox")
        return out

    # ---- how soon it goes on ----
    def measure_failover(self, kind, held):
        """Kills an owner while nothing else happens. held: it stays down until another has taken over."""
        owners = [s for s in self.site.services.values() if s.name.startswith(kind) and self.watch.owned(s.name)]
        victim = self.faults.rng.choice(owners)
        n = len(self.watch.recoveries)
        self.faults.hold = held
        self.faults.kill(victim)
        within(30, lambda: self.faults.turn() or not self.watch.pending, what=f"{victim.name}'s partitions go on")
        self.faults.hold = False
        self.failover["taken over" if held else "restarted"] += [r[0] for r in self.watch.recoveries[n:]]
        del self.watch.recoveries[n:]
        self.faults.calm()

    def close(self):
        complaints = self.site.close()
        self.watch.close()
        return complaints + self.watch.complaints


class Long:
    """Rounds over several sites on one broker and one database server; the figures."""

    def __init__(self, seed, kills, minutes, folder=RUN):
        self.seed, self.kills, self.deadline = seed, kills, time.monotonic() + 60 * minutes
        self.folder, self.counts, self.faults = fresh(folder), Counter(), Counter()
        self.recoveries, self.failover, self.problems = [], {"restarted": [], "taken over": []}, []
        self.rounds, self.began = 0, time.monotonic()
        self.kafka, self.postgres = Kafka(self.folder), Postgres(self.folder)
        # what is committed outlives kill -9; the machine stays up
        self.postgres.process.env["TALARIA_POSTGRES_OPTIONS"] = "-c fsync=off -c full_page_writes=off"

    def done(self):
        return sum(n for k, n in self.faults.items() if k.startswith(("kill -9 ", "failpoint ")))

    def run(self):
        self.kafka.start()
        try:
            self.postgres.start()
            self.postgres.make_template()
            site = 0
            while not self.problems and self.done() < self.kills and time.monotonic() < self.deadline:
                site += 1
                self.one_site(f"l{site:03d}")
        finally:
            if self.kafka.process.alive():
                self.kafka.process.thaw()
            self.kafka.stop()
            self.postgres.stop()
        return self

    def one_site(self, name):
        site = Site(name, self.kafka, self.postgres, self.folder / name)
        try:
            site.create_topics()
            duress = Duress(site, f"{self.seed}/{name}")
            self._rounds(duress)
            self.problems += duress.close()
        finally:
            for service in site.services.values():
                if service.alive():
                    service.thaw()
                    service.kill()
        if not self.problems:
            shutil.rmtree(site.folder, ignore_errors=True)

    def _rounds(self, duress):
        until, before = min(self.kills, self.done() + PER_SITE), Counter()
        while self.done() < until and time.monotonic() < self.deadline and not self.problems:
            books = duress.round(min(PER_ROUND, until - self.done()), self.deadline - time.monotonic())
            self.rounds += 1
            if not books.problems:
                for kind in ("router", "dispatcher"):
                    duress.measure_failover(kind, held=self.rounds % 5 == 1)
            self.faults += duress.faults.counts - before
            before = Counter(duress.faults.counts)
            self.counts += books.counts
            self.recoveries += duress.watch.recoveries
            duress.watch.recoveries = []
            self._tell(duress, books)
        for how, seconds in duress.failover.items():
            self.failover[how] += seconds

    def _tell(self, duress, books):
        took = time.monotonic() - self.began
        c = books.counts
        print(f"{time.strftime('%H:%M:%S')} round {self.rounds}: {self.done()} kills, {self.done() / took:.2f}/s; "
              f"{c['acknowledged']} instances acknowledged, lost {c['lost']}, misdelivered {c['misdelivered']}, "
              f"copies {c['copies']}; seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in duress.took.items()),
              flush=True)
        if books.problems:
            path = duress.site.folder / "schedule.txt"
            path.write_text("\n".join(duress.faults.schedule) + "\n")
            self.problems += books.problems
            print("\n".join(["THE ROUND HAS FAILED:", *books.problems, "its schedule:", *duress.faults.schedule[-200:],
                             f"LONG_SEED={self.seed}; everything lies in {duress.site.folder}"]), flush=True)
        else:
            duress.faults.schedule.clear()
            duress.watch.cut()

    # ---- the result ----
    def result(self):
        kinds = Counter()
        for k, n in self.faults.items():
            kinds["kill -9" if k.startswith("kill -9 ") else "failpoint" if k.startswith("failpoint ") else
                  "places" if k.startswith("at ") else k] += n
        return {
            "seed": self.seed, "variant": VARIANT, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "minutes": round((time.monotonic() - self.began) / 60, 1), "rounds": self.rounds,
            "kills": self.done(), "perSecond": round(self.done() / (time.monotonic() - self.began), 2),
            "faults": dict(sorted(self.faults.items())), "instances": dict(sorted(self.counts.items())),
            "lost": self.counts["lost"], "misdelivered": self.counts["misdelivered"], "changed": self.counts["changed"],
            "recoverySeconds": {
                "restarted at once, nothing else wrong": figures(self.failover["restarted"]),
                "taken over, nothing else wrong": figures(self.failover["taken over"]),
                "under load, undisturbed": figures([r[0] for r in self.recoveries if r[2]]),
                "under load, all": figures([r[0] for r in self.recoveries])},
            "problems": self.problems,
        }


def markdown(result):
    """The figures as a page."""
    lines = [f"{result['kills']} kills in {result['minutes']} minutes ({result['perSecond']}/s), {result['rounds']} rounds, "
             f"seed {result['seed']}, VARIANT={result['variant']}, {result['machine']}.", "", "| | |", "|---|---|"]
    lines += [f"| {k} | {n:,} |" for k, n in result["instances"].items()]
    lines += [f"| **{k}** | **{result[k]}** |" for k in ("lost", "misdelivered", "changed")]
    lines += ["", "| recovery of a partition | n | median s | longest s |", "|---|---|---|---|"]
    lines += [f"| {k} | {f['n']} | {f.get('median', '')} | {f.get('longest', '')} |"
              for k, f in result["recoverySeconds"].items()]
    lines += ["", "| fault | n |", "|---|---|"]
    lines += [f"| {k} | {n:,} |" for k, n in result["faults"].items()]
    return "\n".join(lines) + "\n"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = os.environ.get("LONG_SEED") or str(int(time.time()))
    kills, minutes = int(os.environ.get("KILLS", 300)), float(os.environ.get("MINUTES", 240))
    folder = pathlib.Path(os.environ.get("LONG_RUN", RUN))
    print(f"LONG_SEED={seed} KILLS={kills} MINUTES={minutes:g} VARIANT={VARIANT}", flush=True)
    run = Long(seed, kills, minutes, folder).run()
    result = run.result()
    (folder / "kills.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "kills.md").write_text(markdown(result))
    print(markdown(result))
    print(f"{result['kills']} kills, {result['instances'].get('acknowledged', 0)} instances acknowledged, "
          f"{result['lost']} lost, {result['misdelivered']} misdelivered, {len(run.problems)} problems", flush=True)
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
