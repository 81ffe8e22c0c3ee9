"""When a series is whole, and what the rules make of it."""
import time

import pytest

from kit import compare, config, study
from kit.senders import Exact, Instance, send_exactly
from kit.wait import passed, patient, within


def send(site, folder, seed, slices=1, **values):
    """A study of one series; its StudyInstanceUID."""
    paths = study.study(folder / str(seed), seed=seed, slices=slices, **values)
    assert send_exactly(site.dicom, paths) == [0] * slices
    return study.uid(seed, "study")


def fired(seen):
    decision, = seen["decisions"]
    return decision["fired"] or {}


def targets(seen):
    return sorted(d["target"] for d in seen["deliveries"])


@pytest.fixture
def sink(site):
    return site.sink()


def test_each_rule_acts_on_the_series_it_names_and_on_no_other(site, sink, tmp_folder):
    """Rows 17 to 22 and 26, 28, 29, 30 of mercure's behaviour, in one configuration."""
    other = site.sink()
    site.up(config.document(
        {"pacs": config.dicom(sink.port), "research": config.dicom(other.port)},
        {
            "thorax": config.rule("'Thorax' in tags.SeriesDescription", "pacs"),
            "exact": config.rule("@modality@ == 'CT'", "pacs"),
            "loose": config.rule("tags.modality == 'MR'", "pacs", "research"),
            "thin": config.rule("float(tags.SliceThickness) < 2 and tags.Modality == 'MR'", "pacs"),
            "absent": config.rule("tags.NoSuchTag == 'x' or True", "pacs"),
            "broken": config.rule("1/0", "pacs"),
            "number": config.rule("tags.SliceThickness < 2", "pacs"),
            "off": config.rule("True", "research", disabled=True),
            "scouts": config.rule("'Scout' in tags.SeriesDescription", action="discard"),
        }))
    thorax = send(site, tmp_folder, 1, SeriesDescription="Thorax 1.25 mm")
    head = send(site, tmp_folder, 2, slices=2, modality="MR", sop_class=study.MR, SeriesDescription="T1 axial")
    scout = send(site, tmp_folder, 3, SeriesDescription="Thorax Scout")
    nothing = send(site, tmp_folder, 4, SeriesDescription="Localizer")

    seen = site.settled(thorax, 1)
    assert fired(seen) == {"thorax": "route"} and targets(seen) == ["pacs"]
    assert set(seen["decisions"][0]["failed"]) == {"broken", "number"}
    assert "1.25" not in str(seen["decisions"][0]["failed"])

    seen = site.settled(head, 2)
    assert fired(seen) == {"loose": "route", "thin": "route"}
    assert {d["target"]: d["rules"] for d in seen["deliveries"]} == {"pacs": ["loose", "thin"],
                                                                    "research": ["loose"]}

    seen = site.settled(scout, 1, state="discarded")
    assert fired(seen) == {"scouts": "discard"} and seen["deliveries"] == []
    assert seen["decisions"][0]["discardedBy"] == "scouts"

    seen = site.settled(nothing, 1, state="discarded")
    assert fired(seen) == {} and seen["decisions"][0]["discardedBy"] == "unmatched"

    assert sink.identities() == sorted(compare.identities(tmp_folder / "1") + compare.identities(tmp_folder / "2"))
    assert other.identities() == compare.identities(tmp_folder / "2")


def test_a_rule_that_errs_is_told_and_the_others_act(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)},
                            {"broken": config.rule("1/0", "pacs"), "good": config.rule("True", "pacs")}))
    uid = send(site, tmp_folder, 5)
    seen = site.settled(uid, 1)
    assert fired(seen) == {"good": "route"}
    assert "zero" in seen["decisions"][0]["failed"]["broken"]

    def told():
        events = site.request("GET", "/events?limit=500")[1]["items"]
        return [e for e in events if e["type"] == "rule.failed"]
    event, = within(10, told, what="rule.failed in the events")
    assert event["body"]["name"] == "broken" and event["body"]["study"] == uid


def test_a_fallback_acts_only_when_nothing_else_does(site, sink, tmp_folder):
    other = site.sink()
    site.up(config.document(
        {"pacs": config.dicom(sink.port), "rest": config.dicom(other.port)},
        {"else": config.rule("True", "rest", fallback=True), "ct": config.rule("tags.Modality == 'CT'", "pacs")}))
    ct, mr = send(site, tmp_folder, 6), send(site, tmp_folder, 7, modality="MR", sop_class=study.MR)
    assert fired(site.settled(ct, 1)) == {"ct": "route"}
    assert fired(site.settled(mr, 1)) == {"else": "route"}
    assert sink.identities() == compare.identities(tmp_folder / "6")
    assert other.identities() == compare.identities(tmp_folder / "7")


def test_a_new_rule_counts_from_the_next_series_on_without_restart(site, sink, tmp_folder):
    target = {"pacs": config.dicom(sink.port)}
    site.up(config.document(target, {"mr": config.rule("tags.Modality == 'MR'", "pacs")}))
    assert site.settled(send(site, tmp_folder, 8), 1, state="discarded")
    revision = site.apply(config.document(target, {"ct": config.rule("tags.Modality == 'CT'", "pacs")}))
    seen = site.settled(send(site, tmp_folder, 9), 1)
    assert fired(seen) == {"ct": "route"} and seen["decisions"][0]["revision"] == revision


def test_an_invalid_configuration_changes_nothing(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    path = tmp_folder / "bad.json"
    path.write_text('{"rules": {"bad": {"rule": "tags.Modality = 1", "targets": ["nowhere"]}}}')
    code, text = site.cli("apply", path, check=False)
    assert code != 0 and "/rules/bad" in text
    site.settled(send(site, tmp_folder, 10), 1)


def test_a_series_is_whole_when_nothing_came_for_the_quiet_time_and_not_before(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=4))
    paths = study.study(tmp_folder, seed=11, slices=5)
    uid = study.uid(11, "study")
    with_pauses = [Instance(p) for p in paths]
    association = Exact(site.dicom, with_pauses)
    for instance in with_pauses:
        # each image comes before the quiet time after the one before it is over: one series, however long
        passed(1.2, "a pause of the modality")
        last = time.monotonic()
        assert association.store(instance) == 0
    association.release()
    sink.has(1, seconds=10)
    assert 4 <= time.monotonic() - last < patient(7.5)
    decision, = site.settled(uid, 5)["decisions"]
    assert (decision["reason"], decision["instances"], decision["addition"]) == ("quiet", 5, 1)
    assert decision["waited"] >= 4


def test_a_later_image_of_a_series_is_a_second_window_with_only_that_image(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    paths = study.study(tmp_folder, seed=12, slices=3)
    uid = study.uid(12, "study")
    assert send_exactly(site.dicom, paths[:2]) == [0, 0]
    site.settled(uid, 2)
    assert send_exactly(site.dicom, paths[2:]) == [0]
    seen = site.settled(uid, 3)
    assert sorted((d["addition"], d["instances"]) for d in seen["decisions"]) == [(1, 2), (2, 1)]
    assert sorted(d["members"]["delivered"] for d in seen["deliveries"]) == [1, 2]
    assert len(sink.arrived) == 3 and sink.identities() == compare.identities(tmp_folder)
    assert site.unbalanced(uid) == []


def release_source(**keys):
    return {"ct": {"callingAes": ["CT*"], "completion": "release", **keys}, "rest": {}}


def test_a_source_that_releases_is_decided_within_the_grace_long_before_the_quiet_time(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources=release_source(), quiet=600, graceSeconds=1))
    paths = study.study(tmp_folder, seed=13, series=2, slices=4)
    uid = study.uid(13, "study")
    began = time.monotonic()
    assert send_exactly(site.dicom, paths, calling="CT1") == [0] * 8
    seen = site.settled(uid, 8, seconds=20)
    assert time.monotonic() - began < patient(15)
    assert {(d["reason"], d["instances"]) for d in seen["decisions"]} == {("released", 4)}
    assert sink.identities() == compare.identities(tmp_folder)


def test_a_lost_association_is_evidence_of_nothing_and_the_quiet_time_decides(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources=release_source(), quiet=6, graceSeconds=1))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=14, slices=4)]
    first = Exact(site.dicom, instances, calling="CT1")
    assert [first.store(i) for i in instances[:2]] == [0, 0]
    first.close()
    site.ledger_within(10, "SELECT count(*) FROM associations WHERE outcome <> 'released'", 1)
    second = Exact(site.dicom, instances, calling="CT1")
    assert [second.store(i) for i in instances[2:]] == [0, 0]
    second.release()
    decision, = site.settled(study.uid(14, "study"), 4)["decisions"]
    assert (decision["reason"], decision["instances"]) == ("quiet", 4)


def test_a_series_over_two_associations_is_decided_when_both_are_released(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources=release_source(), quiet=600, graceSeconds=1))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=15, slices=6)]
    first, second = (Exact(site.dicom, instances, calling="CT1") for _ in range(2))
    assert [first.store(i) for i in instances[:2]] + [second.store(instances[2])] == [0, 0, 0]
    first.release()
    site.ledger_within(10, "SELECT count(*) FROM associations WHERE outcome = 'released'", 1)
    assert [second.store(i) for i in instances[3:]] == [0, 0, 0]
    second.release()
    decision, = site.settled(study.uid(15, "study"), 6, seconds=20)["decisions"]
    assert (decision["reason"], decision["instances"]) == ("released", 6)
