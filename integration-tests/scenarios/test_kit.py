"""The kit keeps its word: what the other scenarios stand on is tested first."""
import os

import pytest

from kit import compare, pdu, study
from kit.process import Process
from kit.senders import dcmsend, echoscu, storescu
from kit.sink import Sink
from kit.wait import TimedOut, within


@pytest.fixture
def sink():
    s = Sink().start()
    yield s
    s.stop()


def test_what_a_stock_sender_sends_arrives_at_the_sink_with_identical_dataset_bytes(sink, tmp_folder):
    paths = study.save(tmp_folder / "sent", study.demo(seed=2, slices=3))
    storescu(sink.port, paths).ok()
    assert sink.identities() == compare.identities(tmp_folder / "sent")
    assert (sink.associations, sink.released) == (1, 1)


def test_implicit_vr_is_sent_as_it_is(sink, tmp_folder):
    study.study(tmp_folder, seed=8, slices=2, syntax=pdu.IMPLICIT)
    storescu(sink.port, sorted(tmp_folder.iterdir()), options=["-xi"]).ok()
    assert sink.identities() == compare.identities(tmp_folder)
    assert {syntax for _, syntax, _ in sink.identities()} == {pdu.IMPLICIT}


def test_dcmsend_sends_a_study(sink, tmp_folder):
    dcmsend(sink.port, study.study(tmp_folder, seed=9, series=2, slices=2)).ok()
    assert sink.identities() == compare.identities(tmp_folder)


def test_the_same_seed_makes_the_same_bytes(tmp_folder):
    study.save(tmp_folder / "a", study.demo(seed=3, slices=2))
    study.save(tmp_folder / "b", study.demo(seed=3, slices=2))
    study.save(tmp_folder / "c", study.demo(seed=4, slices=2))
    a, b, c = (compare.identities(tmp_folder / n) for n in "abc")
    assert a == b
    assert not set(a) & set(c)


@pytest.mark.parametrize("answer, code", [(0xA700, "a700"), ("abort", "Abort"), ("drop", "Peer")])
def test_the_sink_answers_as_scripted(sink, tmp_folder, answer, code):
    paths = study.study(tmp_folder, seed=5, slices=2)
    sink.answer = lambda n, sop: answer if n == 1 else 0
    sent = storescu(sink.port, paths)
    assert sent.code != 0
    assert len(sink.arrived) == 2 and len(sink.identities()) == 1
    assert code.lower() in sent.text.lower()


def test_the_sink_refuses_associations_and_syntaxes_as_scripted(sink, tmp_folder):
    paths = study.study(tmp_folder, seed=6, slices=1)
    sink.reject = (1, 1, 1)
    assert echoscu(sink.port).code != 0
    sink.reject = None
    sink.accept = lambda abstract, syntaxes: None if abstract == study.CT else syntaxes[0]
    assert echoscu(sink.port).code == 0
    assert storescu(sink.port, paths).code != 0
    assert sink.arrived == []


def test_the_hand_made_sender_speaks_with_a_stock_receiver(tmp_folder):
    path, = study.study(tmp_folder / "sent", seed=7, slices=1)
    (tmp_folder / "got").mkdir()
    from kit.ports import free_port
    port = free_port()
    scp = Process("storescp", ["storescp", "+B", "+xa", "-od", tmp_folder / "got", port], tmp_folder).start()
    try:
        within(10, lambda: echoscu(port).code == 0)
        sop, syntax, _ = compare.identity(path)
        with pdu.Sender.to(port) as s:
            accepted = s.associate([(study.CT, [syntax]), (pdu.VERIFICATION, [pdu.IMPLICIT])])
            assert accepted == {1: syntax, 3: pdu.IMPLICIT}
            assert s.store(1, study.CT, sop, compare.dataset(path), size=1000) == 0
            assert s.echo(3) == 0
            s.release()
        assert compare.identities(tmp_folder / "got") == [compare.identity(path)]
    finally:
        scp.kill()


def test_waiting_ends_with_the_last_value_told():
    with pytest.raises(TimedOut, match="not within .* s; last: 0"):
        within(0.05, lambda: 0, what="nothing")


def test_a_process_is_killed_frozen_and_started_again(tmp_folder):
    p = Process("reader", ["tail", "-f", "/dev/null"], tmp_folder).start()
    p.freeze()
    within(5, lambda: open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T")
    p.thaw()
    first = p.pid
    p.kill()
    assert p.codes == [-9] and not p.alive()
    p.start()
    assert p.alive() and p.pid != first and p.rss() > 0
    p.kill()


def test_each_site_has_a_database_with_the_schema(site, postgres):
    assert site.value("SELECT count(*) FROM receipts") == 0
    assert site.value("SELECT max(version) FROM migrations") == len(
        [f for f in os.listdir(os.path.join(os.path.dirname(__file__), "../../schemas/sql")) if f.endswith(".sql")])


def test_a_broker_that_was_killed_comes_back(own_kafka):
    own_kafka.kill()
    own_kafka.start()
