"""One instance that kills whoever works it stops nobody else: after a bounded number of crashes it lies in dlq."""
import threading

from kit import compare, config, study
from kit.senders import Instance, send_exactly
from kit.wait import within

CRASHES = 4  # two that nobody can explain, two with the same record in hand


def poisoned(site, text):
    """The router, started again whenever it dies, as every supervisor does; records with this text kill it."""
    router = site.router
    router.env.update(TALARIA_FAILPOINTS="decide.poison=kill", TALARIA_POISON=text)
    router.restart()
    done = threading.Event()

    def watch():
        while not done.wait(0.05):
            if router.ended_by_itself():
                router.died()
                router.start()

    threading.Thread(target=watch, daemon=True).start()
    return done


def test_an_instance_that_kills_its_worker_goes_to_dlq_and_its_neighbours_are_delivered(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=2))
    paths = study.study(tmp_folder / "1", seed=1, slices=4)
    others = study.study(tmp_folder / "2", seed=2, slices=3)
    victim = Instance(paths[1])
    done = poisoned(site, victim.sop)
    assert send_exactly(site.dicom, paths) == [0] * 4
    assert send_exactly(site.dicom, others) == [0] * 3
    site.ledger_within(60, "SELECT count(*) FROM rejected", 1)
    sink.has(6)
    done.set()
    assert site.router.codes.count(-9) == CRASHES
    want = [i for i in compare.identities(tmp_folder) if i[0] != victim.sop]
    assert sink.identities() == want and len(sink.arrived) == 6

    uid = study.uid(1, "study")
    receipt, = site.query("SELECT receipt, state, object_key, stored_at FROM receipts WHERE sop = %s", victim.sop)
    assert receipt["state"] == "failed" and receipt["object_key"]
    site.ledger_within(10, "SELECT count(*) FROM receipts WHERE state = 'decided'", 6)
    rejected, = site.query("SELECT * FROM rejected")
    assert (rejected["stage"], rejected["study"], rejected["attempts"]) == ("decide", uid, CRASHES)
    seen = site.settled(uid, 4, state="rejected")
    assert sum(d["instances"] for d in seen["decisions"]) == 3
    assert site.value("SELECT sum(left_out) FROM decisions WHERE study = %s", uid) == 1
    within(10, lambda: site.router.metric("talaria_stage_poison_total", stage="decide") == 1, what="counted")
    site.router.ready()

    # clean again: the partition is worked like any other, and the object is still there
    site.router.env.pop("TALARIA_POISON")
    site.router.restart()
    site.router.ready()
    assert send_exactly(site.dicom, study.study(tmp_folder / "3", seed=3, slices=2)) == [0, 0]
    site.settled(study.uid(3, "study"), 2)
    assert sorted(site.stored()) == compare.identities(tmp_folder)
    assert site.value("SELECT count(*) FROM rejected") == 1
