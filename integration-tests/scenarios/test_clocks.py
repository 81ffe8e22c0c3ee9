"""The wall clock of a machine is a day wrong and jumps an hour while a series arrives: it decides nothing. Where it jumps
back the services start again (docs/decisions/0006), and the open association may end."""
import time

import pytest

from kit import compare, config, study
from kit.clock import Clock
from kit.senders import Exact, Instance
from kit.site import ALL
from kit.wait import passed, within

DAY, HOUR, QUIET, RETRY = 86400, 3600, 4, 3
ON_IT = ("receiver", "router", "dispatcher", "bookkeeper")


@pytest.mark.parametrize("ahead, jump", [(DAY, -HOUR), (-DAY, HOUR)],
                         ids=["a-day-fast-and-an-hour-back", "a-day-slow-and-an-hour-on"])
def test_a_wall_clock_that_is_a_day_wrong_and_jumps_changes_neither_a_decision_nor_a_retry(site, tmp_folder, ahead,
                                                                                         jump):
    refused = []

    def answer(n, sop):
        if not refused:
            refused.append(time.monotonic())
            clock.jump(ahead + 2 * jump)
            return 0xA700
        return 0

    clock, sink = Clock(tmp_folder, ahead), site.sink(answer=answer)
    for name in ALL:
        service = site.service(name, **({"drainSeconds": 25} if name == "receiver" else {}))
        service.env.update(clock.env if name in ON_IT else {})
        service.start()
    for name in ALL:
        getattr(site, name).ready()
    site.supervise()
    site.apply(config.document({"pacs": config.dicom(sink.port, retry=RETRY)}, quiet=QUIET))
    told = site.router.lines()[-1]["ts"][:10]
    assert (told > time.strftime("%Y-%m-%d", time.gmtime())) == (ahead > 0), "the clock is wrong"

    instances = [Instance(p) for p in study.study(tmp_folder / "study", seed=1, slices=4)]
    association = Exact(site.dicom, instances)
    assert [association.store(i) for i in instances[:2]] == [0, 0]
    passed(1, "a pause in the series")
    clock.jump(ahead + jump)
    passed(1, "a pause in the series")
    assert [association.store(i) for i in instances[2:]] == [0, 0]
    last = time.monotonic()
    association.release()
    uid = study.uid(1, "study")
    seen = site.settled(uid, 4, seconds=60)
    assert [d["instances"] for d in seen["decisions"]] == [4]
    assert refused[0] - last > QUIET - 0.5, "not before it was quiet"
    delivery, = seen["deliveries"]
    assert (delivery["attempts"], delivery["members"]["delivered"]) == (2, 4)
    assert sink.identities() == compare.identities(tmp_folder / "study") and len(sink.arrived) == 5
    assert site.unbalanced(uid) == []
    within(30, lambda: all(getattr(site, n).get("/readyz")[0] == 200 for n in ALL), what="all ready")
    assert all((getattr(site, n).starts > 1) == (jump < 0) for n in ON_IT)
