"""What a modality sends arrives at each target as it was sent, and the ledger says so."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit import compare, config, pdu, study
from kit.orthanc import Orthanc
from kit.senders import dcmsend, echoscu, send_exactly, storescu
from kit.sink import Sink
from kit.wait import within

PRIVATE_CLASS = "1.3.6.1.4.1.99999.5.1"


def three_series(folder, seed):
    """CT, MR and a report: 9 instances of one study."""
    uid = study.uid("three", seed)
    common = dict(seed=seed, study=uid)
    out = [study.instance(study.CT, series=study.uid(uid, 1), number=i, SeriesDescription="Thorax", **common)
           for i in range(1, 6)]
    out += [study.instance(study.MR, series=study.uid(uid, 2), number=i, modality="MR", SeriesNumber=2, **common)
            for i in range(1, 4)]
    out += [study.report(study.instance(study.SR, series=study.uid(uid, 3), modality="SR", SeriesNumber=3,
                                        **common))]
    return uid, study.save(folder, out)


def both_targets(site):
    """(port of a storescp, its folder, folder target, document)"""
    port, arrived = site.storescp()
    folder = site.folder / "export"
    return arrived, folder, config.document({"pacs": config.dicom(port, calledAe="TARGET"),
                                             "disk": config.folder(folder)})


def delivered_members(of_ledger):
    return {t: sum(d["members"]["delivered"] for d in of_ledger["deliveries"] if d["target"] == t)
            for t in {d["target"] for d in of_ledger["deliveries"]}}


@pytest.mark.parametrize("send", [storescu, dcmsend], ids=lambda f: f.__name__)
def test_a_study_of_a_stock_sender_arrives_everywhere_with_identical_dataset_bytes(site, tmp_folder, send):
    arrived, folder, document = both_targets(site)
    site.up(document)
    assert echoscu(site.dicom, calling="ANYBODY", called="ANYTHING").code == 0
    uid, paths = three_series(tmp_folder / "sent", seed=1)
    send(site.dicom, paths).ok()

    seen = site.settled(uid, 9)
    sent = compare.identities(tmp_folder / "sent")
    assert site.stored() == sent
    assert compare.identities(arrived) == sent
    assert compare.identities(folder) == sent
    assert delivered_members(seen) == {"pacs": 9, "disk": 9}
    assert len(seen["decisions"]) == 3 and len(seen["deliveries"]) == 6
    assert site.unbalanced(uid) == []
    for series in seen["series"]:
        status, detail = site.request("GET", f"/series/{series['series']}")
        assert status == 200
        assert {i["state"] for i in detail["items"][0]["items"]} == {"decided"}
        assert [a["outcome"] for a in series["associations"]] == ["released"]


def test_what_orthanc_sends_arrives_as_orthanc_sent_it(site, tmp_folder):
    arrived, folder, document = both_targets(site)
    site.up(document)
    uid, paths = three_series(tmp_folder / "sent", seed=2)
    direct = site.sink()
    orthanc = Orthanc(tmp_folder, {"talaria": ("TALARIA", site.dicom), "direct": ("SINK", direct.port)}).start()
    try:
        ids = orthanc.take(paths)
        assert orthanc.send("direct", ids) == orthanc.send("talaria", ids) == 9
    finally:
        orthanc.stop()
    site.settled(uid, 9)
    assert compare.identities(arrived) == compare.identities(folder) == direct.identities()
    assert {r["calling_ae"] for r in site.query("SELECT calling_ae FROM receipts")} == {"ORTHANC"}


def test_ae_titles_are_those_configured_passed_on_or_the_senders_own(site, tmp_folder):
    sinks = {name: site.sink() for name in ("fixed", "passed", "mixed", "plain", "back")}
    port = {name: sink.port for name, sink in sinks.items()}
    site.up(config.document({
        "fixed": config.dicom(port["fixed"], callingAe="ROUTER", calledAe="ARCHIVE"),
        "passed": config.dicom(port["passed"], passSenderAe=True, passReceiverAe=True, callingAe="ROUTER",
                               calledAe="ARCHIVE"),
        "mixed": config.dicom(port["mixed"], passSenderAe=True, calledAe="ARCHIVE"),
        "plain": config.dicom(port["plain"]),
        "back": config.dicom(port["back"], host="sender"),
    }), dispatcher={"callingAe": "DEFAULTAE"})
    paths = study.study(tmp_folder, seed=3, slices=2)
    site.storescu(paths, calling="CT_ROOM_1", called="FROM_CT").ok()
    site.settled(study.uid(3, "study"), 2)
    got = {name: {(a.calling, a.called) for a in sink.arrived} for name, sink in sinks.items()}
    assert got == {
        "fixed": {("ROUTER", "ARCHIVE")},
        "passed": {("CT_ROOM_1", "FROM_CT")},
        "mixed": {("CT_ROOM_1", "ARCHIVE")},
        "plain": {("DEFAULTAE", "ANY-SCP")},
        "back": {("DEFAULTAE", "CT_ROOM_1")},
    }
    assert all(sink.identities() == compare.identities(tmp_folder) for sink in sinks.values())


def test_instances_of_two_senders_in_one_series_keep_their_own_ae_titles(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port, passSenderAe=True)}))
    a, b = study.study(tmp_folder, seed=4, slices=2)
    site.storescu([a], calling="CT1").ok()
    site.storescu([b], calling="CT2").ok()
    site.settled(study.uid(4, "study"), 2)
    assert {(x.sop, x.calling) for x in sink.arrived} == {(compare.identity(a)[0], "CT1"),
                                                          (compare.identity(b)[0], "CT2")}


def test_a_folder_target_gets_a_folder_of_its_own_marked_complete_without_what_is_excluded(site, tmp_folder):
    paths = study.study(tmp_folder / "sent", seed=5, slices=3)
    excluded = compare.identity(paths[0])
    folder = site.folder / "export"
    site.up(config.document({"disk": config.folder(folder, exclude=[f"*#{excluded[0]}.*"])}))
    site.storescu(paths).ok()
    seen = site.settled(study.uid(5, "study"), 3)
    delivery, = seen["deliveries"]
    assert [d.name for d in folder.iterdir()] == [delivery["delivery"]]
    names = {f.name for f in (folder / delivery["delivery"]).iterdir()}
    assert ".complete" in names and len(names) == 3
    assert compare.identities(folder) == sorted(set(compare.identities(tmp_folder / "sent")) - {excluded})
    assert (delivery["members"]["delivered"], delivery["members"]["notAccepted"]) == (2, 1)
    assert site.unbalanced(study.uid(5, "study")) == []


def test_compressed_syntaxes_and_a_private_sop_class_arrive_unchanged(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port), "disk": config.folder(site.folder / "export")}))
    sent = tmp_folder / "sent"
    plain = study.study(tmp_folder / "plain", seed=6, slices=3)
    sent.mkdir()
    subprocess.run(["dcmcrle", plain[0], sent / "rle.dcm"], check=True)
    subprocess.run(["dcmcjpeg", "+e1", plain[1], sent / "jpeg.dcm"], check=True)
    study.study(tmp_folder / "implicit", seed=6, slices=3, syntax=pdu.IMPLICIT)[2].rename(sent / "implicit.dcm")
    private = study.instance(PRIVATE_CLASS, seed=6, study=study.uid(6, "study"),
                             series=study.uid(6, "private"), modality="OT", SeriesNumber=9)
    private.private_block(0x0029, "TALARIA TEST", create=True).add_new(1, "UN", b"\x00\xff" * 40)
    study.save(sent, [private])
    paths = sorted(sent.iterdir())
    assert {i[1] for i in compare.identities(sent)} == {
        "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}
    assert send_exactly(site.dicom, paths) == [0, 0, 0, 0]
    site.settled(study.uid(6, "study"), 4)
    assert sink.identities() == compare.identities(sent)
    assert compare.identities(site.folder / "export") == compare.identities(sent)
    assert PRIVATE_CLASS in {a.sop_class for a in sink.arrived}


def test_an_object_that_is_streamed_to_disk_while_it_arrives_arrives_unchanged(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port), "disk": config.folder(site.folder / "export")}))
    path, = study.study(tmp_folder, seed=7, slices=1, rows=1500, columns=1501)
    assert path.stat().st_size > 4 << 20
    site.storescu([path]).ok()
    site.settled(study.uid(7, "study"), 1)
    assert sink.identities() == compare.identities(site.folder / "export") == [compare.identity(path)]


def test_an_instance_sent_twice_is_two_receipts_and_one_member(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    paths = study.study(tmp_folder, seed=8, slices=2)
    site.storescu(paths + paths[:1]).ok()
    seen = site.settled(study.uid(8, "study"), 3)
    assert seen["deliveries"][0]["members"]["asked"] == 2
    assert len(sink.arrived) == 2 and sink.identities() == compare.identities(tmp_folder)
    assert site.query("SELECT role::text, count(*) AS n FROM members GROUP BY 1 ORDER BY 1") == [
        {"role": "duplicate", "n": 1}, {"role": "member", "n": 2}]
    assert site.unbalanced(study.uid(8, "study")) == []


def test_a_delivery_of_which_the_target_refuses_one_instance_is_not_complete(site, tmp_folder):
    refused = compare.identity(study.study(tmp_folder, seed=9, slices=3)[1])
    sink = site.sink(answer=lambda n, sop: 0xC001 if sop == refused[0] else 0)
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    site.storescu(sorted(tmp_folder.iterdir())).ok()
    seen = site.settled(study.uid(9, "study"), 3, state="failed")
    delivery, = seen["deliveries"]
    assert (delivery["state"], delivery["members"]["delivered"], delivery["members"]["failed"]) == ("failed", 2, 1)
    assert [r["status"] for r in delivery["reasons"] if r["state"] == "failed"] == [0xC001]
    assert sink.identities() == sorted(set(compare.identities(tmp_folder)) - {refused})
    problems = site.request("GET", "/status")[1]["problems"]
    assert "pacs" in {p["subject"] for p in problems}
    assert site.unbalanced(study.uid(9, "study")) == []


def test_a_syntax_that_the_target_does_not_take_fails_or_is_skipped_as_configured(site, tmp_folder):
    def no_ct(abstract, syntaxes):
        return None if abstract == study.CT else syntaxes[0]

    strict, lax = Sink(accept=no_ct).start(), Sink(accept=no_ct).start()
    site.others += [strict, lax]
    site.up(config.document({"strict": config.dicom(strict.port),
                             "lax": config.dicom(lax.port, unaccepted="skip")}))
    uid, paths = three_series(tmp_folder / "sent", seed=10)
    site.storescu(paths).ok()
    seen = site.settled(uid, 9, state="failed")
    states = {(d["target"], d["state"], d["members"]["delivered"], d["members"]["failed"],
               d["members"]["notAccepted"]) for d in seen["deliveries"]}
    assert states == {("strict", "failed", 0, 5, 0), ("strict", "delivered", 3, 0, 0), ("strict", "delivered", 1, 0, 0),
                      ("lax", "delivered", 0, 0, 5), ("lax", "delivered", 3, 0, 0), ("lax", "delivered", 1, 0, 0)}
    assert strict.identities() == lax.identities()


def test_two_senders_at_once_lose_nothing(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}))
    folders = [tmp_folder / str(n) for n in range(4)]
    for n, f in enumerate(folders):
        study.study(f, seed=20 + n, slices=10)
    with ThreadPoolExecutor(4) as pool:
        for sent in pool.map(lambda f: site.storescu(sorted(f.iterdir()), calling=f"CT{f.name}"), folders):
            sent.ok()
    for n in range(4):
        site.settled(study.uid(20 + n, "study"), 10)
    within(5, lambda: sink.identities() == compare.identities(tmp_folder), what="all at the target")
    assert len(sink.arrived) == 40
