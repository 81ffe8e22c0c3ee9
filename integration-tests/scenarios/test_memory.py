"""A limit on memory by the kernel: the process ends, or refuses, and loses nothing."""
import resource
import signal

from kit import compare, config, pdu, study
from kit.process import SANITIZERS
from kit.senders import Exact, Instance, send_until_acknowledged
from kit.wait import within

MORE = 64 << 20  # bytes, beyond what it has when the limit comes
LARGE = 40       # datasets of 12 MB that wait for their end in memory, one beside each of so many small ones
NO_THREAD = "no thread for an association"


def limit(process, more):
    """From now on it gets no more than so many bytes of address space."""
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (size + more, size + more))


def test_a_receiver_that_runs_out_of_memory_under_large_objects_loses_nothing_that_was_acknowledged(site, tmp_folder):
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=3),
            receiver={"memoryBytes": 1 << 30, "streamBytes": 1 << 30})
    receiver = site.receiver
    receiver.stop()
    # without it the sanitizer ends the process, in its own words
    receiver.env["ASAN_OPTIONS"] = SANITIZERS["ASAN_OPTIONS"] + ":allocator_may_return_null=1"
    receiver.start().ready()
    paths = study.study(tmp_folder, seed=1, slices=LARGE, rows=8, columns=8)
    small, large = [Instance(p) for p in paths], study.instance(seed=2, rows=8, columns=8)
    large.PixelData = bytes(12 << 20)
    large = Instance.of(large)
    steady, acknowledged, held = Exact(site.dicom, small), 1, []
    assert steady.store(small[0]) == 0
    limit(receiver, MORE)
    try:
        for instance in small[1:]:
            held.append(Exact(site.dicom, [large]))
            held[-1].sender.send(pdu.message(1, pdu.store_rq(large.sop_class, large.sop), large.dataset)[:-4096])
            acknowledged += steady.store(instance) == 0
    except (OSError, pdu.Closed, pdu.Unexpected):
        pass
    within(10, lambda: not receiver.alive() or NO_THREAD in receiver.log(), what="it ended, or refuses")
    if receiver.alive():
        receiver.kill()
    else:
        assert receiver.died() == -signal.SIGABRT and '"msg":"out of memory"' in receiver.log()
    assert acknowledged < LARGE
    for association in (steady, *held):
        association.close()
    receiver.start().ready()
    send_until_acknowledged(site.dicom, paths[acknowledged:])
    uid = study.uid(1, "study")

    def receipts():
        return site.value("SELECT count(*) FROM receipts WHERE study = %s", uid)  # one may stand there twice
    within(60, lambda: site.settled(uid, max(LARGE, receipts()), seconds=0), what="all delivered", every=0.1)
    assert sink.identities() == compare.identities(tmp_folder)
    assert site.unbalanced(uid) == []
