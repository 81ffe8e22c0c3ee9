"""What goes wrong, by seed: kills, failpoints, zombies, engines that go away, new configurations."""
import heapq
import itertools
import math
import random
import signal
import subprocess
import threading
import time
from collections import Counter

from kit.paths import BIN, VARIANT
from kit.process import TERM_CODES
from kit.wait import within

# how often, of 1000 faults
WEIGHTS = {"kill": 860, "freeze": 45, "term": 35, "configure": 20, "flap": 15,
           "freeze broker": 8, "kill broker": 6, "kill postgres": 8}
ARMED = 0.7     # so many starts stand under a failpoint that kills
HITS = (1, 1, 2, 2, 3, 5, 8, 13, 30)
STOPS = 60      # seconds after TERM
NEWBORN = 3     # … after its start: TERM may have come before main()
AT_ONCE = 0.7   # so many are started again at once, the others within LATER seconds
LATER = 5
WRITES_NO_OBJECTS = ("dispatcher", "bookkeeper", "cleaner")  # so they never pass such a place


def places(service):
    if VARIANT == "release":
        return []
    done = subprocess.run([BIN / f"talaria-{service}", "--failpoints"], stdout=subprocess.PIPE, check=True)
    return [p for p in dict.fromkeys(done.stdout.decode().split())
            if not (p.startswith("objstore.") and service in WRITES_NO_OBJECTS)]


class Faults:
    """strike() does one fault; calm() mends everything. Delayed actions run in turn(), which the round calls."""

    def __init__(self, site, seed, watch, configure, flap, without=()):
        self.site, self.watch, self.configure, self.flap = site, watch, configure, flap
        self.rng, self.starting = random.Random(f"{seed}/strike"), random.Random(f"{seed}/start")
        self.due, self.order = [], itertools.count()
        self.places = {s: places(s) for s in {w.rsplit("-", 1)[0] for w in site.services}}
        self.kinds = [k for k in WEIGHTS if k not in without]
        self.calming, self.busy, self.threads = True, threading.Event(), []
        self.hold = False  # what is killed stays down until calm()
        self.mine, self.armed, self.asked = set(), {}, {}
        self.counts, self.schedule, self.complaints = Counter(), [], []
        self.began = time.monotonic()

    def say(self, text):
        self.schedule.append(f"{time.monotonic() - self.began:9.2f}  {text}")

    def kills(self):
        """Of workers."""
        return sum(n for k, n in self.counts.items() if k.startswith("kill -9 ") or k.startswith("failpoint "))

    # ---- supervision, in the round's own thread ----
    def turn(self, everything=False):
        """Looks after the services and does what is due. everything: without waiting for it."""
        for service in self.site.services.values():
            if service.popen.poll() is not None and len(service.codes) < service.starts:
                self._ended(service)
            elif service.asked and time.monotonic() > self.asked[service.name] + STOPS:
                self.complaints.append(f"{service.name} did not stop within {STOPS} s of TERM\n{service.tail()}")
                service.signal(signal.SIGABRT)  # where does it hang? its log says it
                self.asked[service.name] = math.inf
        while self.due and (everything or self.due[0][0] <= time.monotonic()):
            _, _, fn, arguments = heapq.heappop(self.due)
            fn(*arguments)

    def _ended(self, service):
        """Whatever has ended is started again, at once or some time later."""
        kind, asked, code = service.name.rsplit("-", 1)[0], service.asked, service.wait()
        place = self.armed.pop(service.name, None)
        mine = (service.name, service.starts) in self.mine
        if code == -signal.SIGKILL and not mine and place:
            self.counts[f"failpoint {kind}"] += 1
            self.counts[f"at {place.split('@')[0]}"] += 1
            self.say(f"{service.name} killed at {place}")
            self.watch.killed(service.name)
        elif not mine:
            self.counts["ended by itself"] += not asked
            self.say(f"{service.name} ended with {code}")
            newborn = asked and code == -signal.SIGTERM and self.asked[service.name] < service.started_at + NEWBORN
            if not newborn and (code if asked else code in (0, -signal.SIGKILL, -signal.SIGABRT, *TERM_CODES)):
                self.complaints.append(f"{service.name} ended with {code}{' after TERM' * asked}\n{service.tail()}")
        wait = 3600 if self.hold else \
            0 if self.calming or self.starting.random() < AT_ONCE else self.starting.uniform(0.3, LATER)
        self.later(wait, self._start, service)

    def _start(self, service):
        kind, place, hit = service.name.rsplit("-", 1)[0], None, 0
        if not self.calming and self.places[kind] and self.starting.random() < ARMED:
            place, hit = self.starting.choice(self.places[kind]), self.starting.choice(HITS)
            self.armed[service.name] = f"{place}@{hit}"
        service.start(failpoints={place: f"kill@{hit}"} if place else None, once=False)

    def later(self, seconds, fn, *arguments):
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.order), fn, arguments))

    # ---- faults ----
    def strike(self):
        kind = self.rng.choices(self.kinds, [WEIGHTS[k] for k in self.kinds])[0]
        getattr(self, f"_{kind.replace(' ', '_')}")()

    def _worker(self):
        """One that runs; gateway and cleaner are one each, the others two."""
        alive = [s for s in self.site.services.values() if s.alive() and not s.asked]
        return self.rng.choice(alive) if alive else None

    def _kill(self):
        service = self._worker()
        if service:
            self.kill(service)

    def kill(self, service):
        self.mine.add((service.name, service.starts))
        self.counts[f"kill -9 {service.name.rsplit('-', 1)[0]}"] += 1
        self.say(f"{service.name} kill -9")
        self.watch.killed(service.name)
        service.signal(signal.SIGKILL)
        service.popen.wait(10)

    def _freeze(self):
        service, seconds = self._worker(), self.rng.choice((0.5, 1, 2, 4, 9, 12))
        if not service:
            return
        self.counts["freeze worker"] += 1
        self.counts["freeze dispatcher"] += service.name.startswith("dispatcher")
        self.say(f"{service.name} frozen for {seconds} s")
        self.watch.disturbed()
        life = service.starts
        service.freeze()
        self.later(seconds, lambda: service.thaw() if service.alive() and service.starts == life else None)

    def _term(self):
        service = self._worker()
        if service:
            self.counts["TERM worker"] += 1
            self.say(f"{service.name} TERM")
            self.watch.disturbed()
            self.ask_to_stop(service)

    def ask_to_stop(self, service):
        self.asked[service.name] = time.monotonic()
        service.ask_to_stop()

    def _configure(self):
        self.counts["configuration"] += 1
        self.say("new configuration")
        self._beside(self.configure)

    def _flap(self):
        self.counts["target away"] += 1
        target, seconds = self.flap(self.rng), self.rng.uniform(0.5, 4)
        self.say(f"target away for {seconds:.1f} s")
        target.stop()
        self.later(seconds, lambda: target.listener or target.start())

    def _freeze_broker(self):
        self._engine("freeze broker", lambda: self._held(self.site.kafka.process, self.rng.uniform(1, 7)))

    def _kill_broker(self):
        self._engine("kill broker", lambda: (self.site.kafka.kill(), self.site.kafka.start()))

    def _kill_postgres(self):
        self._engine("kill postgres", lambda: (self.site.postgres.kill(), self.site.postgres.start()))

    def _held(self, process, seconds):
        process.freeze()
        threading.Event().wait(seconds)  # nobody sets it
        process.thaw()

    def _engine(self, name, fn):
        """One engine at a time is away."""
        if self.busy.is_set():
            return
        self.busy.set()
        self.counts[name] += 1
        self.say(name)
        self.watch.disturbed()

        def work():
            try:
                fn()
            finally:
                self.say(f"{name}: back")
                self.busy.clear()
        self._beside(work)

    def _beside(self, fn, *arguments):
        def work():
            try:
                fn(*arguments)
            except Exception as e:  # noqa: BLE001  told at the end of the round
                self.complaints.append(f"{e}")
        thread = threading.Thread(target=work, daemon=True)
        self.threads = [t for t in self.threads if t.is_alive()] + [thread]
        thread.start()

    # ---- rounds ----
    def storm(self):
        self.calming = False

    def calm(self, seconds=90):
        """No more faults: whatever is frozen or down comes back, nothing stands under a failpoint."""
        self.calming = True
        for service in self.site.services.values():
            if service.name in self.armed and service.alive():
                self.ask_to_stop(service)

        def all_ready():
            self.turn(everything=True)
            for service in self.site.services.values():
                service.ready(0)
            return not self.armed and not any(t.is_alive() for t in self.threads)
        within(seconds, all_ready, what="all ready", every=0.1)
