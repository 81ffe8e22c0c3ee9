"""What is decided may be decided once more: a replay by the rules, a reroute to named targets; each command acts once."""
import pytest

from kit import compare, config, study
from kit.senders import send_exactly
from kit.wait import within

REASON = {"reason": "a test"}


def send(site, folder, seed, slices=2, **values):
    """A study of one series, sent; its UID."""
    paths = study.study(folder / str(seed), seed=seed, slices=slices, **values)
    assert set(send_exactly(site.dicom, paths)) == {0}
    return study.uid(seed, "study")


def command(site, uid, name, key=None, **body):
    """POST, which waits for the router's answer; the answer."""
    status, answer = site.request("POST", f"/studies/{uid}/{name}", {**REASON, **body},
                                  {"Idempotency-Key": key} if key else None, timeout=30)
    assert status == 200, (status, answer)
    return answer


def by_command(site, uid):
    return [d for d in site.ledger_study(uid)["decisions"] if d["of"]]


def two_series(site, folder, seed):
    uid = study.uid("two", seed)
    images = [study.instance(seed=seed, study=uid, series=study.uid(uid, s), number=i) for s in (1, 2) for i in (1, 2)]
    assert set(send_exactly(site.dicom, study.save(folder / str(seed), images))) == {0}
    return uid


def test_a_discarded_study_is_rerouted_to_a_target_byte_for_byte(site, tmp_folder):
    sink, other = site.sink(), site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port), "other": config.dicom(other.port)}, {}))
    uid = send(site, tmp_folder, 1)
    site.settled(uid, 2, state="discarded")
    first, = site.ledger_study(uid)["decisions"]
    assert "pacs" in site.cli("reroute", uid, "--target", "pacs")
    seen = site.settled(uid, 2)
    assert sink.identities() == compare.identities(tmp_folder / "1") and other.identities() == []
    again, = by_command(site, uid)
    assert again["of"] == [first["decision"]] and site.unbalanced(uid) == []
    assert [(d["target"], d["rules"]) for d in seen["deliveries"]] == [("pacs", None)]
    assert "again by command, over 1 decision" in site.cli("study", uid)
    code, text = site.cli("reroute", uid, "--target", "nowhere", check=False)
    assert code == 1 and "no target nowhere" in text


def test_a_replay_decides_by_the_configuration_of_now_or_by_the_original_one(site, tmp_folder):
    old, new = site.sink(), site.sink()
    targets = {"old": config.dicom(old.port), "new": config.dicom(new.port)}
    before = site.up(config.document(targets, {"was": config.rule("True", "old")}))
    uid = send(site, tmp_folder, 2)
    site.settled(uid, 2)
    after = site.apply(config.document(targets, {"is": config.rule("tags.Modality == 'CT'", "new"),
                                                 "not": config.rule("True", "old")}))
    site.cli("replay", uid, "--rule", "is")
    sent = compare.identities(tmp_folder / "2")
    within(20, lambda: new.identities() == sent, what="the study at the new rule's target")
    assert old.identities() == sent
    assert "was (route)" in site.cli("replay", uid, "--original")
    within(10, lambda: len(by_command(site, uid)) == 2, what="both in the ledger")
    assert [d["revision"] for d in by_command(site, uid)] == [after, before]
    seen = site.settled(uid, 2)
    assert [(d["target"], d["members"]["delivered"]) for d in seen["deliveries"]] == [("old", 2), ("new", 2), ("old", 2)]
    assert new.identities() == sent and site.unbalanced(uid) == []


def test_a_dry_run_changes_nothing(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, {}))
    uid = send(site, tmp_folder, 3)
    site.settled(uid, 2, state="discarded")
    site.apply(config.document({"pacs": config.dicom(sink.port)}))
    text = site.cli("replay", uid, "--dry-run")
    assert "nothing was done" in text and "everything (route); to pacs" in text
    assert "to pacs" in site.cli("reroute", uid, "--target", "pacs", "--dry-run")
    # a command after it is worked after it: had the dry run done something, it would be there now
    command(site, uid, "replay", rules=["everything"])
    site.settled(uid, 2)
    assert len(by_command(site, uid)) == 1 and sink.identities() == compare.identities(tmp_folder / "3")


def test_the_same_key_twice_acts_once(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, {}))
    uid = send(site, tmp_folder, 4)
    site.settled(uid, 2, state="discarded")
    first = command(site, uid, "reroute", key="once", targets=["pacs"])
    assert first["outcome"] == "done" and first["command"] == "once"
    assert command(site, uid, "reroute", key="once", targets=["pacs"]) == first
    site.settled(uid, 2)
    command(site, uid, "reroute", key="another", targets=["pacs"], dryRun=True)
    assert len(by_command(site, uid)) == 1 and sink.identities() == compare.identities(tmp_folder / "4")


@pytest.mark.parametrize("place", ["decide.handled", "decide.flushed"])
def test_a_router_killed_in_the_middle_of_a_command_acts_once(site, tmp_folder, place):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, {}))
    uid = two_series(site, tmp_folder, 5)
    site.settled(uid, 4, state="discarded")
    assert site.router.stop() == 0
    site.router.start(failpoints={place: "kill@1"})
    site.router.ready()
    site.supervise()
    assert command(site, uid, "reroute", targets=["pacs"])["outcome"] == "done"
    within(5, lambda: site.router.starts > 2, what="the router was killed and started again")
    site.settled(uid, 4)
    assert len(by_command(site, uid)) == 2 and len(site.ledger_study(uid)["deliveries"]) == 2
    assert sink.identities() == compare.identities(tmp_folder / "5")
    assert site.unbalanced(uid) == []


def test_what_is_held_ends_by_a_replay_and_windows_are_rerouted_as_one(site, tmp_folder):
    sink = site.sink()
    document = config.document({"pacs": config.dicom(sink.port)}, {"ai": config.rule("True", action="process", modules=["m"], late="hold")})
    document["modules"] = {"m": {"image": "module:1"}}
    site.up(document)
    paths = study.study(tmp_folder / "6", seed=6, slices=2)
    uid = study.uid(6, "study")
    for path in paths:  # the second is late
        assert send_exactly(site.dicom, [path]) == [0]
        site.settled(uid, paths.index(path) + 1, state="working")
        within(10, lambda: len(site.ledger_study(uid)["decisions"]) == paths.index(path) + 1, what="decided")
    late = site.ledger_study(uid)["decisions"][1]
    assert late["held"][0]["rule"] == "ai"
    ended = "SELECT held_ended(d, 'ai') FROM decisions d WHERE decision = %s"
    assert site.value(ended, late["decision"]) is False
    answer = command(site, uid, "replay", decisions=[late["decision"]])
    assert "ai (process); tasks 1" in answer["text"]
    site.ledger_within(10, ended, True, late["decision"])
    again, = by_command(site, uid)
    assert again["held"] == [] and len(site.ledger_study(uid)["tasks"]) == 2
    # both windows to a target: one delivery over one manifest
    site.cli("reroute", uid, "--target", "pacs")
    within(20, lambda: sink.identities() == compare.identities(tmp_folder / "6"), what="both images at the target")
    site.ledger_within(10, "SELECT count(*) FROM deliveries WHERE state = 'delivered' AND delivered = 2", 1)
    assert site.unbalanced(uid) == []
