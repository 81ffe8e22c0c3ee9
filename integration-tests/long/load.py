"""Senders that go on through everything, and the journal of what they were answered."""
import hashlib
import random
import struct
import threading
import time

from kit import pdu, study
from kit.senders import Exact, Instance

MODALITIES = (("CT", study.CT), ("CT", study.CT), ("MR", study.MR), ("US", study.SC))
BODY_PARTS = ("HEAD", "CHEST", "CHEST", "SCOUT")
AES = ("QUIET", "RELEASE")  # the rounds' configuration has a source of each
SECONDS = 12  # longest wait for one answer
LOST = (OSError, pdu.Closed, pdu.Unexpected, struct.error)


class Sent:
    """One instance and what became of it on our side."""

    def __init__(self, instance, uid, modality, body_part):
        self.instance, self.study, self.modality, self.body_part = instance, uid, modality, body_part
        self.sha256 = hashlib.sha256(instance.dataset).hexdigest()
        self.sends, self.acknowledged = 0, 0
        self.answers = []  # (port of the receiver, status; None: no answer)

    def forget(self):
        """Keeps what the rules look at; the bytes go."""
        self.instance.dataset = None
        return self


class Journal:
    """Every instance that was sent, by SOP instance UID; studies in the order they were begun."""

    def __init__(self):
        self.lock, self.sent, self.studies = threading.Lock(), {}, {}

    def begin(self, instances):
        with self.lock:
            for sent in instances:
                self.sent[sent.instance.sop] = sent
                self.studies.setdefault(sent.study, []).append(sent)

    def note(self, sent, port, status):
        with self.lock:
            sent.sends += 1
            sent.acknowledged += status == 0
            sent.answers.append((port, status))

    def old(self, rng):
        """A study that was begun before, or None."""
        with self.lock:
            return self.studies[rng.choice(list(self.studies))] if len(self.studies) > 4 else None

    def acknowledged(self):
        return [s for s in self.sent.values() if s.acknowledged]


class Sender(threading.Thread):
    """A modality: one study after the other in changing patterns; what was not answered 0000 it sends again."""

    def __init__(self, journal, ports, seed, rest):
        super().__init__(daemon=True)
        self.journal, self.ports, self.seed, self.rest = journal, ports, seed, rest
        self.rng = random.Random(seed)
        self.stopping, self.given_up = threading.Event(), threading.Event()
        self.count, self.error = 0, None

    def run(self):
        try:
            while not self.stopping.wait(self.rng.uniform(0, 2 * self.rest)):
                self.one_study()
        except Exception as e:  # noqa: BLE001  told by whoever joins this thread
            self.error = e

    def study(self):
        self.count += 1
        rng, name = self.rng, f"{self.seed}/{self.count}"
        uid = study.uid(name)
        out = []
        for s in range(rng.choice((1, 1, 2))):
            modality, sop_class = rng.choice(MODALITIES)
            body_part = rng.choice(BODY_PARTS)
            for number in range(1, rng.randint(2, 5) + 1):
                ds = study.instance(sop_class, self.count, uid, study.uid(name, s), number, modality, 4, 4,
                                    BodyPartExamined=body_part, PatientID=f"LONG{self.count:06d}")
                out.append(Sent(Instance.of(ds), uid, modality, body_part))
        self.journal.begin(out)
        return out

    def one_study(self):
        old = self.journal.old(self.rng) if self.rng.random() < 0.06 else None
        instances = old or self.study()
        ae, port = self.rng.choice(AES), self.rng.choice(self.ports)
        pattern = self.rng.choice((self.whole, self.whole, self.one_by_one, self.half_way, self.parallel, self.both))
        pattern(list(instances), ae, port)

    # ---- patterns ----
    def whole(self, instances, ae, port):
        """One association for the study."""
        self.until_acknowledged(instances, ae, port)

    def one_by_one(self, instances, ae, port):
        """One association for each image."""
        for sent in instances:
            self.until_acknowledged([sent], ae, port)

    def half_way(self, instances, ae, port):
        """Aborts half-way, then sends all of it again."""
        try:
            association = self.associate(instances, ae, port)
            try:
                for sent in instances[:(len(instances) + 1) // 2]:
                    self.store(association, sent, port)
                association.sender.abort()
            finally:
                association.close()
        except LOST:
            pass
        self.until_acknowledged(instances, ae, port)

    def parallel(self, instances, ae, port):
        """Two associations at once, each half of the study, to both receivers."""
        self.at_once((instances[::2], ae, self.ports[0]), (instances[1::2], ae, self.ports[-1]))

    def both(self, instances, ae, port):
        """The same instances to both receivers at once."""
        self.at_once((list(instances), ae, self.ports[0]), (list(instances), ae, self.ports[-1]))

    # ---- how ----
    def at_once(self, first, second):
        other = threading.Thread(target=self.until_acknowledged, args=second, daemon=True)
        other.start()
        self.until_acknowledged(*first)
        other.join()

    def associate(self, instances, ae, port):
        return Exact(port, [s.instance for s in instances], calling=ae, timeout=SECONDS)

    def store(self, association, sent, port):
        status = None
        try:
            status = association.store(sent.instance)
        finally:
            self.journal.note(sent, port, status)
        return status

    def until_acknowledged(self, waiting, ae, port):
        tries = 0
        while waiting and not self.given_up.is_set():
            try:
                association = self.associate(waiting, ae, port)
                try:
                    while waiting and self.store(association, waiting[0], port) == 0:
                        waiting.pop(0)
                    association.release()
                finally:
                    association.close()
            except LOST:
                pass
            if waiting:
                self.given_up.wait(0.2)  # as a modality with little patience
                tries += 1
                port = self.ports[tries % len(self.ports)]


class Load:
    """Some senders at once; finish() lets each end its study."""

    def __init__(self, journal, ports, seed, senders, rest):
        self.senders = [Sender(journal, ports, f"{seed}/{n}", rest) for n in range(senders)]
        for s in self.senders:
            s.start()

    def finish(self, seconds):
        for s in self.senders:
            s.stopping.set()
        deadline = time.monotonic() + seconds
        for s in self.senders:
            s.join(max(0.1, deadline - time.monotonic()))
        late = [s.seed for s in self.senders if s.is_alive()]
        for s in self.senders:
            s.given_up.set()
        errors = [f"sender {s.seed}: {s.error!r}" for s in self.senders if s.error]
        return errors + [f"sender {seed} was not answered 0000 within {seconds} s" for seed in late]
