"""A network that fails in one direction: requests arrive and answers do not, or the other way round. Whoever is cut off
is replaced, what it had under way counts once, and what arrives late does no harm."""
import threading

import pytest

from kit import compare, config, pdu, study
from kit.paths import VARIANT
from kit.senders import Exact, Instance, send_exactly
from kit.wait import patient, within
from kit.wire import BACK, THERE, Wire

SESSION = 3  # seconds
WAYS = pytest.mark.parametrize("way", [BACK, THERE], ids=["answers-are-lost", "requests-are-late"])


@pytest.fixture
def wire(site, kafka):
    return wired(site, kafka.wire())


def wired(site, wire):
    """It goes when the services have gone."""
    site.others.append(wire)
    return wire


def up(site, wire, name, sink, **target):
    """The first of two workers reaches the broker by the wire. The first."""
    sided = {"kafkaSessionSeconds": SESSION, "brokers": wire.address}
    site.up(config.document({"pacs": config.dicom(sink.port, **target)}), **{name: sided})
    return getattr(site, name)


def twin(site, name):
    return site.service(name, "2", kafkaSessionSeconds=SESSION).start().ready()


def send(site, folder, seeds):
    for seed in seeds:
        assert send_exactly(site.dicom, study.study(folder / str(seed), seed=seed, slices=2)) == [0, 0]


def decided_once(site, seeds, seconds=60):
    for seed in seeds:
        uid = study.uid(seed, "study")
        assert len(site.settled(uid, 2, seconds=seconds)["decisions"]) == 1
        assert site.unbalanced(uid) == []


@pytest.mark.skipif(VARIANT == "release", reason="failpoints are not in what ships")
@WAYS
def test_a_router_cut_off_from_the_broker_in_one_direction_decides_nothing_twice(site, wire, tmp_folder, way):
    """It is cut off just before it writes a decision: without answers that stands, and the twin reads it; if it arrives
    only when the network is well again, the twin has decided, and it is void."""
    sink = site.sink()
    first = up(site, wire, "router", sink)
    first.stop()
    first.start(failpoints={"objstore.written": "stop@1"}).ready()
    send(site, tmp_folder, range(1, 5))
    within(20, first.halted, what="the router stands before its first decision")
    wire.stall(way)
    first.thaw()
    second = twin(site, "router")
    decided_once(site, range(1, 5))
    claims = {(line["partition"], line["claim"]) for line in first.lines() if line.get("stage") == "decide"
              and line["msg"] == "partition opened"}
    arrived = [d for d in site.query("SELECT partition, claim FROM decisions") if (d["partition"], d["claim"]) in claims]
    assert bool(arrived) == (way == BACK), "its decision stands if it arrived in time"
    wire.mend()
    if way == THERE:
        site.ledger_within(20, "SELECT count(*) > 0 FROM void_choices", True)
    send(site, tmp_folder, range(5, 9))
    decided_once(site, range(1, 9))
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 16
    first.ready(40)
    second.ready(40)


@WAYS
def test_a_dispatcher_cut_off_from_the_broker_in_one_direction_delivers_everything_on_record(site, wire, tmp_folder,
                                                                                          way):
    cut = threading.Event()

    def answer(n, sop):
        if n == 2:
            wire.stall(way)
            cut.set()
        return 0

    sink = site.sink(answer=answer)
    first = up(site, wire, "dispatcher", sink)
    paths = study.study(tmp_folder / "1", seed=1, slices=5)
    assert send_exactly(site.dicom, paths) == [0] * 5
    assert cut.wait(patient(20))
    second = twin(site, "dispatcher")
    uid = study.uid(1, "study")
    delivery, = site.settled(uid, 5, seconds=60)["deliveries"]
    if way == THERE:
        assert delivery["members"]["repeated"] > 0, "the twin knows of no outcome"
    wire.mend()
    assert send_exactly(site.dicom, study.study(tmp_folder / "2", seed=2, slices=2)) == [0, 0]
    site.settled(study.uid(2, "study"), 2, seconds=60)
    assert sink.identities() == compare.identities(tmp_folder)
    assert len(sink.arrived) - 7 == delivery["members"]["repeated"]
    assert site.unbalanced(uid) == [] and len(site.ledger_study(uid)["deliveries"]) == 1
    first.ready(40)
    second.ready(40)


# ---- a target ----

@pytest.mark.parametrize("way", [BACK, THERE], ids=["answers-are-lost", "requests-are-lost"])
def test_a_target_that_is_cut_off_in_one_direction_times_out_and_gets_the_rest_later(site, tmp_folder, way):
    """The third is stored and its answer lost, or the fourth is lost itself: nobody but the target knows which."""
    def answer(n, sop):
        if n == 2:
            wire.lose(way)
        return 0

    sink = site.sink(answer=answer)
    wire = wired(site, Wire(sink.port))
    site.up(config.document({"pacs": config.dicom(wire.port, attempts=20, retry=2, timeoutSeconds=4)}))
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=3, slices=5)) == [0] * 5
    uid = study.uid(3, "study")

    def tried():
        seen = (site.ledger_study(uid) or {"deliveries": []})["deliveries"]
        return seen and seen[0]["attempts"] >= 1 and seen[0]
    waiting = within(30, tried, what="an attempt")
    assert waiting["reason"] and waiting["members"]["open"] == 3 - (way == THERE)
    wire.mend()
    delivery, = site.settled(uid, 5, seconds=40)["deliveries"]
    assert (delivery["members"]["delivered"], delivery["members"]["repeated"]) == (4, 1)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 5 + (way == BACK)
    assert site.unbalanced(uid) == []


# ---- a sender ----

@WAYS
def test_a_sender_that_is_cut_off_in_one_direction_repeats_and_each_image_is_delivered_once(site, tmp_folder, way):
    """What was answered and not heard is sent again; what was said before the network failed arrives long after."""
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=7))
    wire = wired(site, Wire(site.dicom))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=4, slices=4)]
    association = Exact(wire.port, instances, timeout=2)
    assert [association.store(i) for i in instances[:2]] == [0, 0]
    wire.stall(way)
    with pytest.raises((OSError, pdu.Closed)):
        association.store(instances[2])
    association.close()
    assert send_exactly(site.dicom, sorted(tmp_folder.iterdir())) == [0] * 4
    wire.mend()
    uid = study.uid(4, "study")
    seen = site.settled(uid, 7, seconds=40)
    assert [d["instances"] for d in seen["decisions"]] == [7]
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 4
    assert site.unbalanced(uid) == []
