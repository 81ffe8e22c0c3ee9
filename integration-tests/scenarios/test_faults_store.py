"""The store fails, fills up, goes bad or goes read-only: nothing false is acknowledged, nothing corrupt leaves the
house, and what was only late goes on by itself."""
import errno
import os
import resource
import socket
import subprocess

import pytest

from kit import compare, config, pdu, study
from kit.senders import Exact, Instance, send_exactly, send_until_acknowledged
from kit.wait import passed, within

STREAM = 65536  # what is larger goes to the disk while it arrives


def objects(site):
    return sorted(p for p in (site.store / "instances").rglob("*") if p.is_file())


def sizes(folder, seed, *rows):
    """One series, a file with an instance of each size."""
    return [study.save(folder / str(n), [study.instance(seed=seed, number=n + 1, rows=r, columns=r)])[0]
            for n, r in enumerate(rows)]


@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_whatever_step_of_storing_fails_the_answer_is_a700_and_nothing_stays(site, tmp_folder, code):
    receiver = site.service("receiver", streamBytes=STREAM)
    site.start("bookkeeper")
    paths = sizes(tmp_folder, 1, 64, 300)
    small, large = map(Instance, paths)
    assert len(small.dataset) < STREAM < len(large.dataset)
    for place in ("objstore.write", "objstore.fsync", "objstore.dirsync"):
        receiver.start(failpoints={place: f"errno:{code}"}, once=False).ready()
        association = Exact(site.dicom, [small, large])
        assert [association.store(i) for i in (small, large)] == [0xA700, 0xA700], place
        association.close()
        receiver.stop()
        assert objects(site) == [] and not list((site.store / "parts").iterdir()), place
    receiver.start().ready()
    assert send_exactly(site.dicom, paths) == [0, 0]
    site.ledger_within(20, "SELECT count(*) FROM receipts", 2)
    assert site.stored() == compare.identities(tmp_folder)


@pytest.mark.parametrize("stream", [STREAM, 1 << 30], ids=["streamed", "whole"])
def test_a_write_that_comes_short_is_answered_a700_and_what_fits_is_stored(site, small_store, tmp_folder, stream):
    site.start("receiver", reserveBytes=0, streamBytes=stream)
    paths = sizes(tmp_folder, 2, 48, 500)
    small, large = map(Instance, paths)
    space, ballast = os.statvfs(small_store), small_store / "ballast"
    ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - 200_000))
    association = Exact(site.dicom, [small, large])
    assert (association.store(small), association.store(large)) == (0, 0xA700)
    association.close()
    assert [compare.identity(p) for p in objects(site)] == [compare.identity(paths[0])]
    assert not list((site.store / "parts").glob("*"))
    ballast.unlink()
    send_until_acknowledged(site.dicom, paths[1:])
    assert site.stored() == compare.identities(tmp_folder)


def test_what_went_bad_in_the_store_fails_visibly_and_never_leaves_it(site, tmp_folder):
    """Bit rot and truncation at rest, found when the bytes are read, by every kind of target."""
    sink, folder = site.sink(), tmp_folder / "archive"

    def document(paused):
        return config.document({"pacs": config.dicom(sink.port, paused=paused),
                                "archive": {**config.folder(folder), "paused": paused}})
    site.up(document(True))
    paths = study.study(tmp_folder / "sent", seed=3, slices=4)
    assert send_exactly(site.dicom, paths) == [0] * 4
    uid = study.uid(3, "study")
    site.ledger_within(20, "SELECT count(*) FROM deliveries WHERE state = 'requested'", 2)
    of_sop = {Instance(p).sop: p for p in objects(site)}
    sops = [Instance(p).sop for p in paths]
    with open(of_sop[sops[1]], "r+b") as f:  # the last byte: everything else can still be parsed
        f.seek(-1, os.SEEK_END)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_END)
        f.write(bytes([byte ^ 1]))
    os.truncate(of_sop[sops[2]], of_sop[sops[2]].stat().st_size - 2)
    site.apply(document(False))
    seen = site.settled(uid, 4, state="failed")
    for d in seen["deliveries"]:
        assert (d["state"], d["members"]["delivered"], d["members"]["failed"]) == ("failed", 2, 2), d
        assert len([r for r in d["reasons"] if r["reason"]]) == 2, "the reasons can be read"
    good = sorted(compare.identity(p) for p in (paths[0], paths[3]))
    assert sink.identities() == good
    assert sorted(compare.identity(p) for p in folder.rglob("*.dcm")) == good
    assert site.unbalanced(uid) == []


def test_an_object_that_shows_late_is_delivered_and_one_that_is_missing_fails_alone(site, tmp_folder):
    """A network file system may show an object to another machine after a while."""
    sink, folder = site.sink(), tmp_folder / "archive"

    def document(paused):
        return config.document({"pacs": config.dicom(sink.port, paused=paused),
                                "archive": {**config.folder(folder), "paused": paused}})
    site.up(document(True), dispatcher={"missingSeconds": 10})
    paths = study.study(tmp_folder / "sent", seed=5, slices=4)
    assert send_exactly(site.dicom, paths) == [0] * 4
    uid = study.uid(5, "study")
    site.ledger_within(20, "SELECT count(*) FROM deliveries WHERE state = 'requested'", 2)
    of_sop = {Instance(p).sop: p for p in objects(site)}
    late, gone = (of_sop[Instance(p).sop] for p in paths[1:3])
    for path in late, gone:
        path.rename(tmp_folder / path.name)
    site.apply(document(False))
    within(10, lambda: len(sink.arrived) == 2, what="what is there is not held up")
    within(10, lambda: len(list(folder.rglob("*.dcm"))) == 2, what="neither in the folder")
    assert not list(folder.rglob(".complete"))
    (tmp_folder / late.name).rename(late)
    seen = site.settled(uid, 4, state="failed")
    for d in seen["deliveries"]:
        assert (d["members"]["delivered"], d["members"]["failed"], d["attempts"]) == (3, 1, 1), d
        assert ["No such file" in r["reason"] for r in d["reasons"] if r["reason"]] == [True], d
    good = sorted(compare.identity(p) for p in (paths[0], paths[1], paths[3]))
    assert sink.identities() == good
    assert sorted(compare.identity(p) for p in folder.rglob("*.dcm")) == good
    assert list(folder.rglob(".complete")) and site.unbalanced(uid) == []


def test_while_the_store_is_read_only_nothing_is_acknowledged_and_then_everything_goes_on(site, small_store, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=2), receiver={"reserveBytes": 0})
    first = study.study(tmp_folder / "1", seed=4, slices=3)
    assert send_exactly(site.dicom, first) == [0] * 3

    def mount(how):
        subprocess.run(["mount", "-o", f"remount,{how}", small_store], check=True)
    mount("ro")
    try:
        with pytest.raises(pdu.Unexpected) as rejected:  # the first probe may come before the receiver has noticed
            for _ in range(20):
                assert set(send_exactly(site.dicom, study.study(tmp_folder / "2", seed=5, slices=2))) == {0xA700}
        assert rejected.value.kind == pdu.ASSOCIATE_RJ and rejected.value.body[1] == 2, "transient"
        # the quiet time is over, the manifest cannot be written: no decision, and nobody gives up
        within(20, lambda: site.router.metric("talaria_stage_failures_total", stage="decide") > 0 or
               "read-only" in site.router.log().lower(), what="the router has met the read-only store")
        assert sink.arrived == []
    finally:
        mount("rw")
    send_until_acknowledged(site.dicom, study.study(tmp_folder / "2", seed=5, slices=2))
    for seed, n in ((4, 3), (5, 2)):
        uid = study.uid(seed, "study")
        assert len(site.settled(uid, n, seconds=60)["decisions"]) == 1
        assert site.unbalanced(uid) == []
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 5


# ---- open files ----

def cpu_seconds(service):
    with open(f"/proc/{service.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_free_file_descriptor_the_receiver_waits_without_spinning_and_recovers(site, tmp_folder):
    receiver = site.start("receiver", drainSeconds=1)
    paths = study.study(tmp_folder, seed=7, slices=2)
    assert send_exactly(site.dicom, paths[:1]) == [0]
    free = 9
    limit = len(os.listdir(f"/proc/{receiver.pid}/fd")) + free
    resource.prlimit(receiver.pid, resource.RLIMIT_NOFILE, (limit, limit))
    held = [socket.create_connection(("127.0.0.1", site.dicom)) for _ in range(3 * free)]
    within(10, lambda: "accept failed" in receiver.log() or "no thread" in receiver.log(), what="none is left")
    before = cpu_seconds(receiver)
    passed(2, "without descriptors")
    assert cpu_seconds(receiver) - before < 0.5 and receiver.alive()
    for s in held:
        s.close()
    send_until_acknowledged(site.dicom, paths[1:])
    assert site.stored() == compare.identities(tmp_folder)
    assert receiver.get("/healthz")[0] == 200
