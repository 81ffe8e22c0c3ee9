"""Deletion beside ingest: a site whose 100,000 settled instances the cleaner deletes while others arrive."""
import time

from kit.wait import within
from rig.load import load, next_run, study_uid

SERIES = 100  # instances of one series, which is a study
HOURS = {"offPeakStart": "00:00", "offPeakEnd": "23:59"}  # deletion is always allowed
DELETED = "talaria_cleaner_deleted_objects_total"


class Deletion:
    def __init__(self, site):
        self.site, self.engines = site, site.engines
        self.old, self.runs, self.arrived = None, [], 0
        self.deleted, self.seconds = 0, 0.0  # by the cleaner, while it ran

    def configure(self):
        """What OLD sends is due a second after its delivery, what NEW sends in an hour."""
        target = {"type": "dummy"}
        self.site.apply({
            "defaults": {"quietSeconds": 1, **HOURS},
            "sources": {n.lower(): {"callingAes": [n], "completion": "release", "graceSeconds": 1}
                        for n in ("OLD", "NEW")},
            "targets": {"old": target, "new": target},
            "rules": {"old": {"rule": "tags.SenderAET == 'OLD'", "targets": ["old"], "keepSeconds": 1},
                      "new": {"rule": "tags.SenderAET == 'NEW'", "targets": ["new"], "keepSeconds": 3600}}})

    def sql(self, text):
        return int(self.engines.psql(text, self.site.database) or 0)

    @staticmethod
    def of(run):
        """The receipts of a run, as SQL."""
        return f"starts_with(study, '{study_uid(run)[:19]}')"

    def settled(self, total):
        """Waits until the ledger knows them all and nothing is open: no work is left from what came before."""
        def is_settled():
            return self.sql("SELECT count(*) FROM receipts WHERE state >= 'decided'") == total and self.sql(
                "SELECT count(*) FROM deliveries WHERE state < 'delivered'") == 0
        within(180, is_settled, every=0.5, what=f"{total} receipts settled")

    def fill(self, n):
        self.old = next_run()
        got = load(self.site.dicom, run=self.old, calling="OLD", associations=16, instances=n, size="tiny",
                   series_length=SERIES, reconnect=True)
        self.settled(n)
        return got["perSecond"]

    def ingest(self, seconds):
        """Instances a second that were answered."""
        self.runs.append(next_run())
        got = load(self.site.dicom, run=self.runs[-1], calling="NEW", associations=16, seconds=seconds,
                   size="tiny", series_length=SERIES, reconnect=True)
        self.arrived += got["answered"]
        return got["perSecond"]

    # ---- the cleaner ----
    def begin(self):
        """Returns when objects go."""
        cleaner = self.site.start("cleaner", scanSeconds=1)
        within(60, lambda: cleaner.metric(DELETED) > 0, every=0.05, what="the first objects deleted")
        self.began, self.first = time.monotonic(), cleaner.metric(DELETED)
        return cleaner

    def end(self, cleaner):
        """Objects a second since begin."""
        now, n = time.monotonic(), cleaner.metric(DELETED) - self.first
        self.deleted += n
        self.seconds += now - self.began
        rate = n / (now - self.began)
        cleaner.stop(60)
        return rate

    def disturbed(self, seconds):
        """(ingest rate, deletion rate) at the same time."""
        cleaner = self.begin()
        rate = self.ingest(seconds)
        return rate, self.end(cleaner)

    def left(self):
        return self.sql(f"SELECT count(*) FROM receipts WHERE {self.of(self.old)} AND removed_at IS NULL")

    def finish(self, total):
        """The cleaner deletes what is left with nothing beside it; objects a second."""
        self.settled(total)
        cleaner = self.begin()
        before = self.left()
        within(240, lambda: self.left() == 0, every=0.2, what="all that was due deleted")
        rate = before / (time.monotonic() - self.began)
        self.end(cleaner)
        return rate

    def check(self, n):
        """What was due is gone, what arrived meanwhile is whole and on record; else the figure is worth nothing."""
        files = sum(1 for _ in self.site.store.glob("instances/*/*/*/*.dcm"))
        new = " OR ".join(self.of(run) for run in self.runs)
        facts = {
            "objects in the store": (files, self.arrived),
            "receipts deleted": (self.sql("SELECT count(*) FROM receipts WHERE state = 'deleted'"), n),
            "receipts of later arrivals untouched": (self.sql(
                f"SELECT count(*) FROM receipts WHERE ({new}) AND condemned_at IS NULL AND state = 'decided'"),
                self.arrived)}
        wrong = [f"{k}: {got}, not {want}" for k, (got, want) in facts.items() if got != want]
        assert not wrong, "; ".join(wrong)


def measure(deletion, n, seconds, rounds, say, beside, alone):
    """Rounds of ingest undisturbed, then beside the cleaner, over one store; then the rest of the deletion."""
    deletion.configure()
    say(f"filled with {n:,} instances at {deletion.fill(n):,.0f}/s")
    for _ in rounds:
        deletion.settled(n + deletion.arrived)
        undisturbed = deletion.ingest(seconds)
        deletion.settled(n + deletion.arrived)
        rate, gone = deletion.disturbed(seconds)
        beside.peer.append(undisturbed)
        beside.ours.append(rate)
        say(f"undisturbed {undisturbed:,.0f}/s, beside {gone:,.0f} deletions a second {rate:,.0f}/s")
    beside.note = f"beside {deletion.deleted / deletion.seconds:,.0f} deletions a second"
    if deletion.left():
        alone.ours.append(deletion.finish(n + deletion.arrived))
        say(f"deletion alone {alone.ours[-1]:,.0f}/s")
    beside.note += f"; the cleaner needed {deletion.seconds:.0f} s for all {n:,}"
    deletion.check(n)
