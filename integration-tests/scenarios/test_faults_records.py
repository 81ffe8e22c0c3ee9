"""What is in the log stands: whatever the configuration says now, whoever repeats it, however often workers change."""
import itertools

from kit import compare, config, study
from kit.senders import Exact, Instance, send_exactly
from kit.wait import passed, within


def frozen(service):
    """Waits until a failpoint has frozen it."""
    def is_frozen():
        with open(f"/proc/{service.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"
    within(30, is_frozen, what=f"{service.name} frozen")


def killed_at(site, place, hit, send, meanwhile):
    """The router, frozen at a place while it works on what was sent; then, after a while, kill -9 and a new start."""
    router = site.router
    assert router.stop() == 0
    router.start(failpoints={place: f"stop@{hit}"}).ready()
    assert set(send()) == {0}
    frozen(router)
    hidden = site.services.pop("router-1")  # a frozen service takes no configuration
    meanwhile()
    site.services["router-1"] = hidden
    router.kill()
    return router.start().ready()


def test_a_decision_in_the_log_stands_whatever_the_configuration_says_when_it_is_replayed(site, tmp_folder):
    old, new = site.sink(), site.sink()
    targets = {"old": config.dicom(old.port), "new": config.dicom(new.port)}
    revision = site.up(config.document(targets, {"all": config.rule("True", "old")}))
    paths = study.study(tmp_folder / "1", seed=1, slices=3)

    def configure():
        site.ledger_within(20, "SELECT count(*) FROM decisions", 1)  # it is in the log
        site.apply(config.document(targets, {"all": config.rule("True", "new")}))
    # the first two that the plan handles are the claims of the start: the decision is the third
    killed_at(site, "plan.handled", 3, lambda: send_exactly(site.dicom, paths), configure)
    decision, = site.settled(study.uid(1, "study"), 3)["decisions"]
    assert decision["revision"] == revision
    assert send_exactly(site.dicom, study.study(tmp_folder / "2", seed=2, slices=2)) == [0, 0]
    site.settled(study.uid(2, "study"), 2)
    assert old.identities() == compare.identities(tmp_folder / "1") and len(old.arrived) == 3
    assert new.identities() == compare.identities(tmp_folder / "2") and len(new.arrived) == 2


def test_a_plan_that_comes_back_after_the_delivery_has_ended_sends_nothing_again(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    paths, uid = study.study(tmp_folder, seed=3, slices=3), study.uid(3, "study")
    written = "SELECT sum(next_offset) FROM positions WHERE topic LIKE '%%.delivery'"

    def ended():
        site.settled(uid, 3)
        ended.before = site.value(written)
    killed_at(site, "plan.flushed", 1, lambda: send_exactly(site.dicom, paths), ended)
    within(30, lambda: site.value(written) > ended.before, what="the request is in the log once more")
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=4, slices=2)) == [0, 0]
    site.settled(study.uid(4, "study"), 2)
    assert len(site.settled(uid, 3)["deliveries"]) == 1
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 5


def test_workers_that_come_and_go_all_the_time_decide_and_deliver_everything_once(site, tmp_folder):
    """A storm of rebalances: partitions go from hand to hand while images arrive."""
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    others = [site.service("router", n).start() for n in ("2", "3")]
    turns = itertools.cycle([site.router, *others])
    for seed in range(10, 18):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
        restless = next(turns)
        assert restless.stop() == 0
        passed(0.5, "a worker away")
        restless.start()
    for seed in range(10, 18):
        uid = study.uid(seed, "study")
        assert len(site.settled(uid, 2, seconds=60)["decisions"]) == 1
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 16


def test_of_two_instances_with_one_uid_both_are_kept_and_the_newest_is_delivered(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=4))
    first = Instance(study.study(tmp_folder / "1", seed=5, slices=1, ImageComments="first")[0])
    second = Instance(study.study(tmp_folder / "2", seed=5, slices=1, ImageComments="second")[0])
    assert first.sop == second.sop and first.dataset != second.dataset
    for instance, calling in ((first, "ONE"), (second, "OTHER")):
        association = Exact(site.dicom, [instance], calling=calling)
        assert association.store(instance) == 0
        association.release()
    uid = study.uid(5, "study")
    assert len(site.settled(uid, 2)["decisions"]) == 1
    roles = site.query("SELECT m.role::text, r.calling_ae FROM members m JOIN receipts r USING (receipt) ORDER BY 1")
    assert [tuple(r.values()) for r in roles] == [("member", "OTHER"), ("superseded", "ONE")]
    assert sink.identities() == compare.identities(tmp_folder / "2") and len(sink.arrived) == 1
    assert site.stored() == compare.identities(tmp_folder)


def test_a_delivery_whose_target_is_deleted_fails_visibly(site, tmp_folder):
    sink = site.sink()
    both = {"gone": config.dicom(sink.port, paused=True), "stays": config.dicom(sink.port)}
    site.up(config.document(both, {"all": config.rule("True", "gone")}))
    assert send_exactly(site.dicom, study.study(tmp_folder, seed=6, slices=2)) == [0, 0]
    uid = study.uid(6, "study")
    site.settled(uid, 2, state="working")
    site.ledger_within(20, "SELECT count(*) FROM deliveries WHERE state = 'requested'", 1)
    site.apply(config.document({"stays": both["stays"]}, {"all": config.rule("True", "stays")}))
    delivery, = site.settled(uid, 2, state="failed")["deliveries"]
    assert delivery["target"] == "gone" and delivery["members"]["failed"] == 2 and delivery["reason"]
    assert sink.arrived == []
