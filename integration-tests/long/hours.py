"""What only hours show, in real time and with the settings as they ship: an association held open for 90 minutes, and a
database away for an hour of it, while studies come and go.

    HOURS_MINUTES=90 VARIANT=release python3 -m long.hours
"""
import hashlib
import json
import os
import random
import signal
import socket
import sys
import time

from kit import config, study
from kit.engines import Kafka, Postgres, fresh
from kit.paths import ROOT, VARIANT
from kit.senders import Exact, Instance
from kit.site import ALL, Site
from kit.wait import pause, within

RUN = ROOT / "build" / "test-hours"
QUIET = 60          # seconds, the default
BEYOND = 65         # the shortest pause of the held association: longer than the quiet time
LONGEST = 400       # … the longest: longer than lostSeconds, shorter than the receiver's idleSeconds
EVERY = 60          # seconds between two studies
NORMAL = QUIET + 60  # from the last acknowledgement until the target has all
CAUGHT_UP = 300     # seconds after the database is back
HELD = 1            # the seed of its study; those of the others follow
IMAGE_PATH = ("receiver", "router", "dispatcher")


def figures(values):
    """Median and longest of a list of seconds."""
    values = sorted(values)
    return {"n": len(values), "median": round(values[len(values) // 2], 1), "longest": round(values[-1], 1)} \
        if values else {"n": 0}


class Study:
    """One of the small ones."""

    def __init__(self, seed):
        self.seed, self.uid = seed, study.uid(seed, "study")
        self.instances = [Instance.of(ds) for ds in small(seed, range(1, 4))]
        self.acknowledged = None  # when the last was


def small(seed, numbers):
    return [study.instance(seed=seed, study=study.uid(seed, "study"), series=study.uid(seed, "series", 0), number=n,
                           rows=16, columns=16) for n in numbers]


class Hours:
    def __init__(self, minutes, folder):
        self.seconds, self.folder = 60 * minutes, fresh(folder)
        self.kafka, self.postgres = Kafka(self.folder), Postgres(self.folder)
        self.rng, self.problems = random.Random(minutes), []
        self.studies, self.held, self.pauses, self.arrived = [], [], [], {}
        self.association, self.site, self.sink, self.place = None, None, None, None
        self.outage, self.known, self.caught_up = [], None, None
        self.memory = []

    # ---- the site ----
    def run(self):
        self.kafka.start()
        try:
            self.postgres.start()
            self.postgres.make_template()
            self.site = Site("hours", self.kafka, self.postgres, self.folder / "site")
            self.site.create_topics()
            try:
                self._up()
                self._while_it_lasts()
                self._end()
                self.problems += self.site.close()
            finally:
                for service in self.site.services.values():
                    service.kill()
        finally:
            self._let_go()
            self.kafka.stop()
            self.postgres.stop()
        return self

    def _up(self):
        site = self.site
        self.sink = site.sink(answer=self._answer)
        for name in (*ALL, "cleaner"):
            site.service(name).start()
        for service in site.services.values():
            service.ready(60)
        site.apply(config.document(
            {"pacs": config.dicom(self.sink.port, retry=900)}, quiet=QUIET,
            sources={"held": {"callingAes": ["HELD"], "completion": "open-association"},
                     "other": {"callingAes": ["MODALITY"]}}))
        site.supervise()

    def _answer(self, n, sop):
        self.arrived.setdefault(sop, time.monotonic())
        return 0

    # ---- the time itself ----
    def _while_it_lasts(self):
        """Runs what is due; each step says in how many seconds it is due again (None: never)."""
        began = time.monotonic()
        self.began, self.ends = began, began + self.seconds
        due = [(began, self._hold), (began + 1, self._send), (began + 30, self._remember),
               (began + self.seconds / 6, self._database_away), (began + self.seconds * 5 / 6, self._database_back)]
        while time.monotonic() < self.ends:
            due.sort(key=lambda d: d[0])
            at, step = due[0]
            if at <= time.monotonic():
                again = step()
                due[0:1] = [(time.monotonic() + again, step)] if again else []
            self._look_at_the_ledger()
            pause(0.2)

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {(time.monotonic() - self.began) / 60:5.1f} min  {text}", flush=True)

    def wrong(self, text):
        self.problems.append(text)
        self.say(f"WRONG: {text}")

    def _hold(self):
        """The next image of the association that is held open; the length of the pause."""
        instance = Instance.of(small(HELD, [len(self.held) + 1])[0])
        if not self.association:
            self.association = Exact(self.site.dicom, [instance], calling="HELD")
        status = self.association.store(instance)
        if status:
            self.wrong(f"image {len(self.held) + 1} of the held association was answered {status:04X}")
        self.held.append(instance)
        if any(i.sop in self.arrived for i in self.held):
            self.wrong("images of the held association are at the target while it is open")
        self.pauses.append(self.rng.uniform(BEYOND, max(BEYOND + 25, min(LONGEST, self.seconds / 8))))
        return self.pauses[-1]

    def _send(self):
        """A small study over an association of its own."""
        one = Study(HELD + 1 + len(self.studies))
        association = Exact(self.site.dicom, one.instances)
        answers = [association.store(i) for i in one.instances]
        association.release()
        one.acknowledged = time.monotonic()
        self.studies.append(one)
        if any(answers):
            self.wrong(f"study {one.seed} was answered {answers}")
        self._overdue()
        return EVERY

    def _overdue(self):
        """What was acknowledged longer than normal ago is at the target, whether there is a database or not."""
        for one in self.studies:
            if one.acknowledged + NORMAL < time.monotonic() and self.latency(one) is None:
                raise AssertionError(f"study {one.seed} is not at the target {NORMAL} s after its acknowledgement")

    def latency(self, one):
        """Seconds from the last acknowledgement until the target had all; None: not yet."""
        times = [self.arrived.get(i.sop) for i in one.instances]
        return None if None in times else max(times) - one.acknowledged

    def _remember(self):
        self.memory.append({name: s.rss() for name, s in self.site.services.items() if s.alive()})
        self.say(f"{len(self.studies)} studies sent, {len(self.arrived)} images at the target, "
                 f"{len(self.held)} over the held association")
        return max(30, self.seconds / 18)

    # ---- the database ----
    def _database_away(self):
        self.outage.append(time.monotonic())
        self.site.disconnect()
        self.postgres.stop()
        self.place = socket.socket()  # nobody else may take the port meanwhile; nobody listens at it
        self.place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.place.bind(("127.0.0.1", self.postgres.port))
        self.say("the database is away")

    def _let_go(self):
        if self.place:
            self.place.close()
            self.place = None

    def _database_back(self):
        for name in IMAGE_PATH:
            status, text = getattr(self.site, name).get("/readyz")
            if status != 200:
                self.wrong(f"{name} is not ready without the database: {text}")
        status, _ = self.site.request("GET", f"/studies/{self.studies[-1].uid}")
        if status != 503:
            self.wrong(f"the gateway answers {status} without a database")
        self._let_go()
        self.postgres.start()
        self.outage.append(time.monotonic())
        self.known = (sum(len(s.instances) for s in self.studies) + len(self.held),
                      sum(self.latency(s) is not None for s in self.studies))
        self.say(f"the database is back; {self.known[0]} receipts, {self.known[1]} deliveries to know")

    def _look_at_the_ledger(self):
        """Has it caught up with what was known when the database came back?"""
        if not self.known or self.caught_up is not None:
            return
        took = time.monotonic() - self.outage[1]
        got = (self.site.value("SELECT count(*) FROM receipts"),
               self.site.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'"))
        if all(g >= k for g, k in zip(got, self.known)):
            self.caught_up = took
            self.say(f"the ledger has caught up after {took:.1f} s")
        elif took > CAUGHT_UP:
            raise AssertionError(f"the ledger has {got} of {self.known} after {CAUGHT_UP} s")

    # ---- the end ----
    def _end(self):
        site, uid = self.site, study.uid(HELD, "study")
        if self.caught_up is None:
            within(CAUGHT_UP, lambda: self._look_at_the_ledger() or self.caught_up, what="the ledger caught up")
        if site.value("SELECT count(*) FROM decisions WHERE study = %s", uid):
            self.wrong("the held series was decided while its association was open")
        self.held_for = time.monotonic() - self.began
        self.association.release()
        self.say("the held association is released")
        seen = site.settled(uid, len(self.held), seconds=NORMAL)
        if [d["instances"] for d in seen["decisions"]] != [len(self.held)]:
            self.wrong(f"the held series: {seen['decisions']}, {len(self.held)} images were sent")
        for one in self.studies:
            if len(site.settled(one.uid, len(one.instances), seconds=NORMAL)["decisions"]) != 1:
                self.wrong(f"study {one.seed} has more than one decision")
        for one in (uid, *(s.uid for s in self.studies)):
            self.problems += site.unbalanced(one)
        self._compare()
        self._services()
        self._remember()
        self.say(site.cli("ledger").strip())

    def _compare(self):
        """The target has each image once, with its bytes."""
        sent = sorted((i.sop, i.syntax, hashlib.sha256(i.dataset).hexdigest())
                      for i in (*self.held, *(i for s in self.studies for i in s.instances)))
        if self.sink.identities() != sent or len(self.sink.arrived) != len(sent):
            self.wrong(f"{len(sent)} images sent, {len(self.sink.arrived)} arrived, "
                       f"{len(set(sent) - set(self.sink.identities()))} missing or changed")

    def _services(self):
        """All run, those of the image path since the beginning; the cleaner looks again and found nobody's objects."""
        site, cleaner = self.site, self.site.cleaner
        for name in IMAGE_PATH:
            if getattr(site, name).starts != 1:
                self.wrong(f"{name} was started {getattr(site, name).starts} times")
        for service in site.services.values():
            service.ready(60)
        scans = cleaner.metric("talaria_cleaner_scans_total", outcome="ok")
        within(150, lambda: cleaner.metric("talaria_cleaner_scans_total", outcome="ok") > scans, every=1,
               what="the cleaner looks again")
        for name in ("talaria_cleaner_orphans", "talaria_cleaner_orphans_announced_total",
                     "talaria_cleaner_deleted_objects_total"):
            if cleaner.metric(name):
                self.wrong(f"{name} is {cleaner.metric(name):g}")
        alive = site.receiver.metric("talaria_associations_alive_total", outcome="ok")
        if alive < self.seconds / 60 - 1:
            self.wrong(f"the held association was told {alive:g} times")

    # ---- the result ----
    def result(self):
        away, back = self.outage
        during = [s for s in self.studies if away <= s.acknowledged and s.acknowledged + QUIET <= back]
        return {
            "variant": VARIANT, "heldMinutes": round(self.held_for / 60, 1), "heldImages": len(self.held),
            "pausesSeconds": figures(self.pauses), "pausesBeyondLost": sum(p > 180 for p in self.pauses),
            "databaseAwayMinutes": round((back - away) / 60, 1),
            "caughtUpSeconds": round(self.caught_up, 1), "receiptsThen": self.known[0],
            "studies": len(self.studies), "studiesWithoutDatabase": len(during),
            "acknowledgedToTargetSeconds": {
                "without database": figures([self.latency(s) for s in during]),
                "with": figures([self.latency(s) for s in self.studies if s not in during])},
            "starts": {name: s.starts for name, s in self.site.services.items()},
            "memoryMB": {name: [round(self.memory[0].get(name, 0) / 1e6), round(rss / 1e6)]
                         for name, rss in self.memory[-1].items()},
            "logKB": {name: s.log_path.stat().st_size // 1000 for name, s in self.site.services.items()},
            "problems": self.problems}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    minutes = float(os.environ.get("HOURS_MINUTES", 90))
    assert minutes >= 5, "the pauses are longer than the quiet time: less shows nothing"
    print(f"HOURS_MINUTES={minutes:g} VARIANT={VARIANT}", flush=True)
    try:
        result = Hours(minutes, RUN).run().result()
    except AssertionError as e:
        print(f"hours: {e}; everything lies in {RUN}", flush=True)
        return 1
    (RUN / "hours.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    print(f"hours: held open for {result['heldMinutes']:g} minutes, the database away for "
          f"{result['databaseAwayMinutes']:g}, caught up in {result['caughtUpSeconds']:g} s, "
          f"{result['studies']} studies delivered, {len(result['problems'])} problems", flush=True)
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
