"""However a sender spreads a series over associations, it is decided once and delivered once, as it was sent."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit import compare, config, study
from kit.ports import free_port
from kit.senders import Exact, Instance, send_exactly
from kit.wait import passed, within

RELEASE = {"ct": {"completion": "release"}}
HELD = {"pacs": {"completion": "open-association"}}


def delivered_once(site, sink, seed, folder, receipts, **decision):
    """The study has one decision over all its receipts, and the target has each instance once. The study."""
    uid = study.uid(seed, "study")
    seen = site.settled(uid, receipts, seconds=40)
    decided, = seen["decisions"]
    assert {"instances": receipts, **decision} == {k: decided[k] for k in ("instances", *decision)}
    sent = compare.identities(folder)
    assert sink.identities() == sent and len(sink.arrived) == len(sent)
    delivery, = seen["deliveries"]
    assert (delivery["members"]["asked"], delivery["members"]["delivered"]) == (len(sent), len(sent))
    assert site.unbalanced(uid) == []
    return seen


@pytest.fixture
def sink(site):
    return site.sink()


@pytest.mark.parametrize("completion", ["quiet", "release"])
def test_one_association_per_image_is_one_decision(site, sink, tmp_folder, completion):
    """An association with one instance proves nothing, so that of a source with release waits as well."""
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources={"ct": {"completion": completion}}, quiet=3,
                            graceSeconds=0))
    for path in study.study(tmp_folder, seed=1, slices=12):
        assert send_exactly(site.dicom, [path]) == [0]
    delivered_once(site, sink, 1, tmp_folder, 12, reason="quiet")


@pytest.mark.parametrize("completion", ["quiet", "release"])
def test_an_abort_at_150_of_300_and_a_resend_of_all_is_one_decision_with_each_image_once(site, sink, tmp_folder,
                                                                                       completion):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources={"ct": {"completion": completion}}, quiet=4,
                            graceSeconds=0))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=2, slices=300, rows=8, columns=8)]
    first = Exact(site.dicom, instances)
    assert {first.store(i) for i in instances[:150]} == {0}
    first.sender.abort()
    second = Exact(site.dicom, instances)
    assert {second.store(i) for i in instances} == {0}
    second.release()
    delivered_once(site, sink, 2, tmp_folder, 450, reason="quiet")
    assert site.query("SELECT role::text, count(*) AS n FROM members GROUP BY 1 ORDER BY 1") == [
        {"role": "duplicate", "n": 150}, {"role": "member", "n": 300}]


def test_four_staggered_associations_of_one_series_are_one_decision_soon_after_the_last_release(site, sink,
                                                                                             tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources=RELEASE, quiet=600, graceSeconds=1))
    instances = [Instance(p) for p in study.study(tmp_folder, seed=3, slices=40)]
    parts = [instances[n::4] for n in range(4)]
    begun, ended = [], 0
    while ended < 4:  # the next begins when the one before has sent three; the first is released long before the last
        if len(begun) < 4 and (not begun or begun[-1][2] == 3):
            begun.append([Exact(site.dicom, instances), parts[len(begun)], 0])
        for one in begun:
            association, part, sent = one
            if sent < len(part):
                assert association.store(part[sent]) == 0
                one[2] += 1
            elif sent == len(part):
                association.release()
                one[2] += 1
                ended += 1
    seen = delivered_once(site, sink, 3, tmp_folder, 40, reason="released")
    assert [a["outcome"] for a in seen["series"][0]["associations"]] == ["released"] * 4


def test_the_same_instances_to_two_receivers_at_once_are_one_decision_with_each_once(site, sink, tmp_folder):
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=3))
    other = free_port()
    site.service("receiver", "2", port=other).start().ready()
    paths = study.study(tmp_folder, seed=4, slices=10)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda port: send_exactly(port, paths), (site.dicom, other))) == [[0] * 10] * 2
    delivered_once(site, sink, 4, tmp_folder, 20)
    assert site.query("SELECT role::text, count(*) AS n FROM members GROUP BY 1 ORDER BY 1") == [
        {"role": "duplicate", "n": 10}, {"role": "member", "n": 10}]


# ---- an association that is held open: 90 minutes with pauses, here seconds ----

LOST = 4


def held(site, sink):
    site.up(config.document({"pacs": config.dicom(sink.port)}, sources=HELD, quiet=1, lostSeconds=LOST),
            receiver={"aliveSeconds": 1})


def test_an_association_held_open_with_pauses_beyond_the_quiet_time_is_one_decision(site, sink, tmp_folder):
    held(site, sink)
    instances = [Instance(p) for p in study.study(tmp_folder, seed=5, slices=6)]
    association = Exact(site.dicom, instances)
    for at in (0, 3):
        assert [association.store(i) for i in instances[at:at + 3]] == [0] * 3
        passed(LOST + 1.5, "a pause longer than the quiet time, and than that after which it would count as lost")
    assert sink.arrived == [] and site.value("SELECT count(*) FROM decisions") == 0
    assert site.receiver.metric("talaria_associations_alive_total", outcome="ok") >= 6
    association.release()
    delivered_once(site, sink, 5, tmp_folder, 6, reason="quiet")


def test_a_receiver_killed_while_it_holds_an_association_open_ends_the_wait_and_loses_nothing(site, sink, tmp_folder):
    held(site, sink)
    site.receiver.stop()
    receiver = site.receiver.start(failpoints={"receiver.alive": "kill@2"}).ready()
    instances = [Instance(p) for p in study.study(tmp_folder / "first", seed=6, slices=2)]
    association = Exact(site.dicom, instances)
    assert [association.store(i) for i in instances] == [0, 0]
    assert receiver.died() == -9
    delivered_once(site, sink, 6, tmp_folder / "first", 2, reason="quiet")
    waited = site.value("SELECT extract(epoch FROM closed_at - opened_at) FROM decisions")
    assert waited > LOST
    association.close()
    receiver.start().ready()
    rest = study.save(tmp_folder / "second", [study.instance(
        seed=6, study=study.uid(6, "study"), series=study.uid(6, "series", 0), number=3)])
    assert send_exactly(site.dicom, rest) == [0]
    seen = site.settled(study.uid(6, "study"), 3)
    assert sorted(d["instances"] for d in seen["decisions"]) == [1, 2]
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 3
    assert site.unbalanced(study.uid(6, "study")) == []


def test_an_open_association_of_any_other_source_is_not_told(site, tmp_folder):
    receiver = site.start("receiver", aliveSeconds=1)
    instances = [Instance(p) for p in study.study(tmp_folder, seed=7, slices=1)]
    association = Exact(site.dicom, instances)
    assert association.store(instances[0]) == 0
    passed(2.5, "two beats")
    assert receiver.metric("talaria_associations_alive_total") == 0
    association.release()
