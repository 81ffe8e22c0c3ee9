"""CUTS=n power cuts, one after the other on one machine, at random places and moments: `make test-power CUTS=50`.
SEED repeats a run. Half of the machines (by the seed) have their database on the disk that loses power."""
import os
import random
import time

import pytest

from kit import config, powercut

CUTS = int(os.environ.get("CUTS", "20"))
SEED = int(os.environ.get("SEED", "0")) or int(time.time())
PER_MACHINE = 5
# Where to cut, and how often the place is passed within one ride. None: after so many answers.
PLACES = {
    None: 18, "receiver/receiver.stored": 9, "receiver/receiver.announced": 9, "receiver/receiver.answered": 9,
    "receiver/objstore.written": 9, "receiver/objstore.fsync": 9, "receiver/objstore.dirsync": 4,
    "receiver/receiver.ended": 2, "router/decide.objects": 2, "router/decide.flushed": 5, "router/plan.flushed": 2,
    "router/plan.committed": 2, "router/decide.committed": 2, "dispatcher/dispatcher.begun": 2,
    "dispatcher/dispatcher.sent": 12, "dispatcher/dispatcher.recorded": 2, "dispatcher/dispatch.flushed": 3,
    "bookkeeper/bookkeeper.before-commit": 3, "bookkeeper/bookkeeper.committed": 3,
}


def rides(number):
    """The cuts of one machine."""
    rng = random.Random(f"{SEED}/{number}")
    for n in range(min(PER_MACHINE, CUTS - number * PER_MACHINE)):
        place = rng.choice(list(PLACES))
        yield n, place, rng.randint(1, PLACES[place])


@pytest.mark.parametrize("number", range(-(-CUTS // PER_MACHINE)))
def test_whatever_the_power_takes_nothing_is_lost_and_nothing_doubled(number, request, tmp_folder):
    machine = request.getfixturevalue("whole_machine" if (SEED + number) % 2 else "machine")
    sink = machine.site.sink(answer=lambda n, sop: (0, 0.01))
    machine.site.up(config.document({"pacs": config.dicom(sink.port, attempts=50)}, quiet=1))
    for n, place, k in rides(number):
        print(f"SEED={SEED} machine {number} cut {n}: {place or 'answers'} {k}")
        closed = powercut.ride(machine, sink, tmp_folder / str(n), range(10 * n, 10 * n + 3), place,
                               hit=k if place else 1, after=k)
        print(f"  lost {machine.lost}, closed: {sorted(closed)}")
