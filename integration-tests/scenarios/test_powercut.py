"""The power goes: what was answered 0000 is delivered, whatever of it was only in memory."""
from kit import config, powercut

QUIET = 1


def up(machine):
    """The target is slow enough to be met in the middle of a delivery."""
    sink = machine.site.sink(answer=lambda n, sop: (0, 0.01))
    machine.site.up(config.document({"pacs": config.dicom(sink.port, attempts=50)}, quiet=QUIET))
    return sink


def test_a_cut_while_images_arrive_takes_records_and_no_image(machine, tmp_folder):
    """Records of images that were decided are gone: without them their offsets would be used twice."""
    sink = up(machine)
    first = powercut.Load(machine.site, tmp_folder / "first", range(1, 4)).start()
    first.end()
    first.delivered(sink)
    closed = powercut.ride(machine, sink, tmp_folder / "second", range(4, 8), after=6)
    assert machine.lost["instance"] > 0, "the cut took nothing, so it proves nothing"
    assert sum(machine.lost.values()) == machine.lost["instance"], "a topic that is flushed lost its end"
    assert {"router-1", "bookkeeper-1"} <= closed
    first.delivered(sink)


def test_a_cut_of_everything_loses_and_doubles_nothing_wherever_it_comes(whole_machine, tmp_folder):
    sink = up(whole_machine)
    for n, place in enumerate(("receiver/receiver.announced", "dispatcher/dispatcher.sent")):
        powercut.ride(whole_machine, sink, tmp_folder / str(n), range(10 * n, 10 * n + 3), place, hit=2)
