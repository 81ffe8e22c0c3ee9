"""A worker that dies is replaced: its partitions go on elsewhere when its session has run out, and at once when a
supervisor starts it again. The seconds are printed; those of a release build count, sanitizers start slowly:
`make scenarios VARIANT=release ONLY="test_failover.py -s"`."""
import threading
import time

import pytest

from kit import compare, config, study
from kit.engines import partition_of
from kit.paths import VARIANT
from kit.senders import send_exactly
from kit.wait import patient, within

ELSEWHERE, RESTARTED = patient(10), patient(3)  # seconds
TARGETS = [f"pacs{n}" for n in range(4)]  # deliveries are keyed by target: both partitions have some
# what an instance has come to when the worker's partitions go on
REACHED = {
    "router": "SELECT count(DISTINCT study) FROM decisions WHERE study = ANY(%s)",
    "dispatcher": "SELECT count(*) / 4 FROM deliveries WHERE study = ANY(%s) AND state = 'delivered'",
    "bookkeeper": "SELECT count(DISTINCT study) FROM receipts WHERE study = ANY(%s)",
}


class Modalities:
    """Small studies, one after the other, until it is stopped: whatever waits for a record gets one."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder
        self.sent, self.failed = [], []  # (when, study)
        self.pace = 0.5
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for seed in range(1, 400):
            if self.closing.wait(self.pace):
                return
            try:
                send_exactly(self.port, study.study(self.folder / str(seed), seed=seed, slices=2))
                self.sent.append((time.monotonic(), study.uid(seed, "study")))
            except Exception as e:  # noqa: BLE001  told at the end
                self.failed.append(e)

    def since(self, begin):
        return [uid for at, uid in self.sent if at >= begin]

    def stop(self):
        self.closing.set()
        self.thread.join()
        assert not self.failed, self.failed
        return [uid for _, uid in self.sent]


@pytest.fixture
def busy(site, tmp_folder):
    """All workers twice (the receiver once), both ready, and modalities that send."""
    sink = site.sink()
    site.up(config.document({name: config.dicom(sink.port) for name in TARGETS},
                            sources={"ct": {"completion": "release"}}, quiet=60, graceSeconds=0))
    for name in ("router", "dispatcher", "bookkeeper"):
        site.service(name, "2").start()
    for service in site.services.values():
        service.ready()
    site.target = sink
    site.modalities = Modalities(site.dicom, tmp_folder)
    within(10, lambda: len(site.modalities.sent) >= 4, what="images flow")
    yield site
    site.modalities.closing.set()


def goes_on(site, name, killed, limit):
    """Seconds from the kill until what was sent right after it (of every partition some) has got as far as this worker
    brings it. Later, everything sent adds up."""
    def some_of_each():
        sent = site.modalities.since(killed)
        return len({partition_of(uid) for uid in sent}) == 2 and len(sent) >= 4 and sent
    site.modalities.pace = 0.05
    wanted = within(20, some_of_each, what="studies sent after the kill")
    site.modalities.pace = 0.5
    within(limit + 10, lambda: site.value(REACHED[name], wanted) == len(wanted), patience=1,
           what="the partitions go on")
    took = time.monotonic() - killed
    partitions = site.value("SELECT count(DISTINCT partition) FROM receipts WHERE study = ANY(%s)", wanted)
    assert partitions == 2 or name == "dispatcher"
    for uid in site.modalities.stop():
        site.settled(uid, 2, seconds=40)
        assert len(site.ledger_study(uid)["decisions"]) == 1 and site.unbalanced(uid) == []
    assert site.target.identities() == compare.identities(site.modalities.folder)
    return took


@pytest.mark.parametrize("name", ["router", "dispatcher", "bookkeeper"])
def test_the_partitions_of_a_killed_worker_go_on_elsewhere(busy, name):
    victim = busy.services[f"{name}-2"]
    killed = time.monotonic()
    victim.kill()
    took = goes_on(busy, name, killed, ELSEWHERE)
    print(f"failover: {name} killed, not started again: {took:.1f} s ({VARIANT})")
    assert took <= ELSEWHERE


@pytest.mark.parametrize("name", ["router", "dispatcher", "bookkeeper"])
def test_a_killed_worker_that_is_started_again_goes_on_at_once(busy, name):
    victim = busy.services[f"{name}-2"]
    killed = time.monotonic()
    victim.kill().start()
    took = goes_on(busy, name, killed, RESTARTED)
    print(f"failover: {name} killed, started again: {took:.1f} s ({VARIANT})")
    assert took <= RESTARTED


@pytest.mark.skipif(VARIANT == "release", reason="failpoints are not in what ships")
def test_a_router_stopped_between_a_manifest_and_its_decision_comes_back_and_what_it_then_writes_is_void(site,
                                                                                                    tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    site.router.stop()
    first = site.router.start(failpoints={"objstore.written": "stop@1"}).ready()
    uids = [study.uid(seed, "study") for seed in range(1, 5)]
    for seed in range(1, 5):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
    within(20, lambda: first.state() == "T", what="the first router stopped itself")
    second = site.service("router", "2").start()
    seen = {uid: site.settled(uid, 2, seconds=60) for uid in uids}
    first.thaw()
    site.ledger_within(20, "SELECT count(*) > 0 FROM void_choices", True)
    assert send_exactly(site.dicom, study.study(tmp_folder / "later", seed=9, slices=2)) == [0, 0]
    seen[study.uid(9, "study")] = site.settled(study.uid(9, "study"), 2, seconds=40)
    for uid, before in seen.items():
        assert len(before["decisions"]) == 1 and site.unbalanced(uid) == []
        assert [d["decision"] for d in site.ledger_study(uid)["decisions"]] == [before["decisions"][0]["decision"]]
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 10
    first.ready(30)
    second.ready(30)
