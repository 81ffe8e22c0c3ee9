"""What goes away comes back, and nothing that was acknowledged is lost or sent where it was already."""
import threading
import time

import pytest

from kit import compare, config, pdu, study
from kit.senders import Exact, Instance, send_exactly, send_until_acknowledged
from kit.wait import passed, patient, within

QUIET = 3


# ---- the broker ----

@pytest.mark.parametrize("quiet, seconds", [(QUIET, 15), (6, 6.5), (6, 5.5)],
                         ids=["long", "until-just-after-the-due-time", "until-just-before-the-due-time"])
def test_a_broker_that_is_away_when_a_series_is_due_splits_it_not(own_site, own_kafka, tmp_folder, quiet, seconds):
    site = own_site
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=quiet))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=1, slices=6)]
    association = Exact(site.dicom, instances)
    assert [association.store(i) for i in instances[:2]] == [0, 0]
    own_kafka.process.freeze()
    began = time.monotonic()
    assert [association.store(i) for i in instances[2:4]] == [0, 0]
    assert time.monotonic() - began < patient(2 * 2 + 3), "each acknowledged at most 2 s later, the second at once"
    assert len(list((site.store / "outbox").iterdir())) == 2
    passed(seconds - (time.monotonic() - began), "an outage")
    assert sink.arrived == []
    own_kafka.process.thaw()
    assert [association.store(i) for i in instances[4:]] == [0, 0]
    association.release()
    uid = study.uid(1, "study")
    seen = site.settled(uid, 6, seconds=60)
    assert [d["instances"] for d in seen["decisions"]] == [6]
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 6
    within(10, lambda: not list((site.store / "outbox").iterdir()), what="the outbox empty")
    assert site.receiver.metric("talaria_outbox_objects") == 0
    assert site.unbalanced(uid) == []


def test_a_broker_that_was_killed_loses_nothing_that_was_acknowledged(own_site, own_kafka, tmp_folder):
    site = own_site
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    site.supervise()
    instances = [Instance(p) for p in study.study(tmp_folder, seed=2, slices=6)]
    association = Exact(site.dicom, instances)
    assert [association.store(i) for i in instances[:2]] == [0, 0]
    own_kafka.kill()
    assert [association.store(i) for i in instances[2:4]] == [0, 0]
    own_kafka.start()
    assert [association.store(i) for i in instances[4:]] == [0, 0]
    association.release()
    uid = study.uid(2, "study")
    site.settled(uid, 6, seconds=60)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 6
    assert site.unbalanced(uid) == []


@pytest.mark.parametrize("place", ["receiver.outboxed", "receiver.drained"])
def test_a_receiver_that_is_killed_over_its_outbox_loses_and_doubles_nothing(own_site, own_kafka, tmp_folder,
                                                                            place):
    site = own_site
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    receiver = site.receiver
    receiver.stop()
    receiver.start(failpoints={place: "kill@2"}).ready()
    paths = study.study(tmp_folder, seed=3, slices=4)
    own_kafka.process.freeze()

    def again():
        if not receiver.alive():
            receiver.died()
            receiver.start()
            own_kafka.process.thaw()
            receiver.ready(30)

    if place == "receiver.outboxed":
        send_until_acknowledged(site.dicom, paths, seconds=60, between=again)
    else:
        assert send_exactly(site.dicom, paths) == [0] * 4
        own_kafka.process.thaw()
        assert receiver.died(30) == -9
        again()
    receipts = within(30, lambda: site.value("SELECT count(*) FROM receipts") >= 4 and
                      site.value("SELECT count(*) FROM receipts"), what="four receipts")
    within(20, lambda: not list((site.store / "outbox").iterdir()), what="the outbox empty")
    uid = study.uid(3, "study")
    site.settled(uid, receipts, seconds=40)
    assert sink.identities() == compare.identities(tmp_folder)
    assert len(sink.arrived) == 4
    assert site.unbalanced(uid) == []


# ---- workers that hang and come back: zombies ----

def other(site, name):
    """A second worker of that kind, ready."""
    return site.service(name, "2").start().ready()


def test_a_router_that_hung_and_comes_back_decides_nothing_twice(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    other(site, "router")
    site.supervise()
    for seed in range(30, 34):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
    site.router.freeze()
    for seed in range(30, 34):
        site.settled(study.uid(seed, "study"), 2, seconds=60)
    site.router.thaw()
    for seed in range(34, 38):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
    for seed in range(30, 38):
        uid = study.uid(seed, "study")
        assert len(site.settled(uid, 2, seconds=60)["decisions"]) == 1
        assert site.unbalanced(uid) == []
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 16
    site.router.ready(30)


def test_a_dispatcher_that_hung_in_a_delivery_and_comes_back_is_on_record(site, tmp_folder):
    frozen = threading.Event()

    def answer(n, sop):
        if n == 2:
            site.dispatcher.freeze()
            frozen.set()
        return 0

    sink = site.sink(answer=answer)
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    paths = study.study(tmp_folder, seed=40, slices=5)
    assert send_exactly(site.dicom, paths) == [0] * 5
    assert frozen.wait(patient(20))
    second = other(site, "dispatcher")
    site.supervise()
    uid = study.uid(40, "study")
    delivery, = site.settled(uid, 5, seconds=60)["deliveries"]
    site.dispatcher.thaw()
    site.dispatcher.ready(30)
    second.ready(30)
    assert send_exactly(site.dicom, study.study(tmp_folder / "later", seed=41, slices=2)) == [0, 0]
    site.settled(study.uid(41, "study"), 2, seconds=60)
    assert sink.identities() == compare.identities(tmp_folder)
    again = len(sink.arrived) - 7
    # what the first sent and never recorded, and what it still sends when it wakes, each at most once more
    assert 0 < delivery["members"]["repeated"] and again <= 5
    assert site.unbalanced(uid) == [] and site.unbalanced(study.uid(41, "study")) == []
    assert len(site.ledger_study(uid)["deliveries"]) == 1


# ---- the database ----

def test_images_flow_while_the_database_is_away_and_the_ledger_catches_up(site, postgres, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    assert send_exactly(site.dicom, study.study(tmp_folder / "1", seed=4, slices=2)) == [0, 0]
    site.settled(study.uid(4, "study"), 2)
    postgres.kill()
    try:
        assert send_exactly(site.dicom, study.study(tmp_folder / "2", seed=5, slices=3)) == [0, 0, 0]
        sink.has(5, seconds=20)
        assert sink.identities() == compare.identities(tmp_folder)
        assert site.request("GET", f"/studies/{study.uid(5, 'study')}")[0] == 503
        assert site.receiver.get("/readyz")[0] == site.router.get("/readyz")[0] == 200
    finally:
        postgres.start()
    site.settled(study.uid(5, "study"), 3, seconds=60)
    assert site.unbalanced(study.uid(5, "study")) == []
    assert len(sink.arrived) == 5


# ---- targets ----

def test_of_two_targets_only_the_one_that_was_down_is_sent_to_again(site, tmp_folder):
    up, down = site.sink(), site.sink()
    down.stop()
    site.up(config.document({"up": config.dicom(up.port), "down": config.dicom(down.port, attempts=20)}))
    paths = study.study(tmp_folder, seed=6, slices=3)
    assert send_exactly(site.dicom, paths) == [0] * 3
    uid = study.uid(6, "study")

    def tried_twice():
        deliveries = {d["target"]: d for d in (site.ledger_study(uid) or {"deliveries": []})["deliveries"]}
        return deliveries["up"]["state"] == "delivered" and deliveries["down"]["attempts"] >= 2 and deliveries["down"]
    waiting = within(20, tried_twice, what="two attempts on the target that is down")
    assert waiting["state"] == "attempted" and waiting["members"]["open"] == 3 and waiting["reason"]
    down.start()
    site.settled(uid, 3)
    assert up.identities() == down.identities() == compare.identities(tmp_folder)
    assert (len(up.arrived), len(down.arrived)) == (3, 3)
    assert site.unbalanced(uid) == []


def test_after_a_cut_in_the_middle_only_what_is_open_is_sent_again(site, tmp_folder):
    """The third is stored by the target and never answered: it is the only one that may come twice."""
    sink = site.sink(answer=lambda n, sop: "ignore" if n == 2 else 0)
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    paths = study.study(tmp_folder, seed=7, slices=5)
    assert send_exactly(site.dicom, paths) == [0] * 5
    uid = study.uid(7, "study")
    delivery, = site.settled(uid, 5)["deliveries"]
    arrived = [a.sop for a in sink.arrived]
    assert sorted(arrived.count(s) for s in set(arrived)) == [1, 1, 1, 1, 2]
    assert arrived.count(arrived[2]) == 2
    assert (delivery["members"]["delivered"], delivery["members"]["repeated"]) == (4, 1)
    assert sink.identities() == compare.identities(tmp_folder)
    assert site.unbalanced(uid) == []


def test_a_target_without_resources_is_left_alone_and_gets_the_rest_later(site, tmp_folder):
    sink = site.sink(answer=lambda n, sop: 0xA700 if n == 1 else 0)
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=8, slices=4)) == [0] * 4
    uid = study.uid(8, "study")
    delivery, = site.settled(uid, 4)["deliveries"]
    assert delivery["members"]["delivered"] == 4 and delivery["attempts"] >= 1
    assert len(sink.arrived) == 5 and sink.identities() == compare.identities(tmp_folder)


def test_after_the_last_attempt_the_delivery_has_failed_and_everybody_sees_it(site, tmp_folder):
    sink = site.sink()
    sink.stop()
    site.up(config.document({"pacs": config.dicom(sink.port, attempts=2)}))
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=9, slices=2)) == [0, 0]
    uid = study.uid(9, "study")
    delivery, = site.settled(uid, 2, state="failed")["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["members"]["failed"]) == ("failed", 2, 2)
    status = site.request("GET", "/status")[1]
    assert [p for p in status["problems"] if p["subject"] == "pacs"]
    assert site.unbalanced(uid) == []


def test_a_target_that_hangs_holds_up_nobody_else(site, tmp_folder):
    hanging, well = site.sink(answer=lambda n, sop: "hang"), site.sink()
    site.up(config.document({"hanging": config.dicom(hanging.port, timeoutSeconds=600),
                             "well": config.dicom(well.port)}))
    for seed in (10, 11, 12):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
    well.has(6, seconds=15)
    assert well.identities() == compare.identities(tmp_folder)
    hanging.stop()


def test_a_paused_target_waits_without_an_attempt_and_goes_on_when_it_is_released(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port, paused=True)}))
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=13, slices=2)) == [0, 0]
    uid = study.uid(13, "study")
    seen = site.settled(uid, 2, state="working")
    within(10, lambda: site.ledger_study(uid)["deliveries"][0]["state"] == "requested", what="requested")
    assert sink.arrived == [] and seen["deliveries"][0]["attempts"] == 0
    site.apply(config.document({"pacs": config.dicom(sink.port)}))
    site.settled(uid, 2)
    assert len(sink.arrived) == 2


# ---- the store ----

def test_a_full_store_is_answered_A700_and_recovers_by_itself(site, small_store, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}), receiver={"reserveBytes": 0})
    paths = study.study(tmp_folder, seed=14, slices=4)
    ballast = small_store / "ballast"
    with open(ballast, "wb", buffering=0) as f:
        with pytest.raises(OSError):
            while True:
                f.write(bytes(4096))
    try:
        statuses = send_exactly(site.dicom, paths)
        assert set(statuses) == {0xA700}
    except pdu.Unexpected as rejected:
        assert rejected.kind == pdu.ASSOCIATE_RJ and rejected.body[1] == 2, "transient"
    assert site.value("SELECT count(*) FROM receipts") == 0
    assert site.stored() == []
    ballast.unlink()
    send_until_acknowledged(site.dicom, paths)
    site.settled(study.uid(14, "study"), 4)
    assert sink.identities() == compare.identities(tmp_folder)


def test_a_store_below_its_reserve_rejects_associations_as_transient(site, small_store, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}), receiver={"reserveBytes": 8 << 20})
    paths = study.study(tmp_folder, seed=15, slices=2)
    ballast = small_store / "ballast"
    ballast.write_bytes(bytes(10 << 20))

    def rejected():
        with pytest.raises(pdu.Unexpected) as e:
            send_exactly(site.dicom, paths)
        return e.value.kind == pdu.ASSOCIATE_RJ and (e.value.body[1], e.value.body[2]) == (2, 3)
    within(10, rejected, what="rejected as transient, by the presentation service provider")
    assert site.receiver.get("/readyz")[0] == 503
    ballast.unlink()
    send_until_acknowledged(site.dicom, paths)
    site.settled(study.uid(15, "study"), 2)
    assert sink.identities() == compare.identities(tmp_folder)


def test_an_fsync_error_is_not_acknowledged_and_the_next_send_is(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    paths = study.study(tmp_folder, seed=16, slices=3)
    site.receiver.stop()
    site.receiver.start(failpoints={"objstore.fsync": "errno:5@2"}, once=False).ready()
    assert send_exactly(site.dicom, paths) == [0, 0xA700, 0xA700]
    site.receiver.stop()
    site.receiver.start().ready()
    assert send_exactly(site.dicom, paths[1:]) == [0, 0]
    site.settled(study.uid(16, "study"), 3)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 3
