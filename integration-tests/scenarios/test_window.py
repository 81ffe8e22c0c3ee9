"""Several instances under way in one association: answers in any order, each to its own member; what is lost is
sent again, and nothing else."""
import pytest

from conftest import finish_site, make_site
from kit import config, study
from kit.senders import send_exactly
from kit.sink import Sink

pytestmark = pytest.mark.xdist_group("window")  # they share a site

SLICES = 6
WINDOW = 3
POSITION = 1  # of the instance that is answered in another way


def uid_of(name):
    return study.uid("window", name)


def sop_of(name, position):
    return study.uid(uid_of(name), study.uid(uid_of(name), "series"), "sop", position + 1)


class Case:
    """what: what the sink does at one position, at the first or at every try; ours, theirs: the windows; repeated,
    failed: how many members may end so (the window that was under way when an association is lost)."""

    def __init__(self, what=None, always=False, attempts=1, theirs=WINDOW, ours=WINDOW, repeated=(0,), failed=(0,),
                 reason=None):
        self.what, self.always, self.attempts, self.reason = what, always, attempts, reason
        self.theirs, self.ours, self.repeated, self.failed = theirs, ours, repeated, failed
        self.sink = None

    def start(self, name):
        tries = []

        def answer(_, sop):
            if sop != sop_of(name, POSITION):
                return 0
            tries.append(sop)
            return self.what if self.what and (self.always or len(tries) == 1) else 0

        self.sink = Sink(answer, window=self.theirs).start()
        return config.dicom(self.sink.port, attempts=2, window=self.ours, timeoutSeconds=60)


CASES = {
    "reversed": Case(),
    "target-takes-one": Case(theirs=1),
    "target-takes-two": Case(theirs=2),
    "not-asked-for": Case(ours=1),
    "refused-for-ever": Case(0xC000, always=True, failed=(1,), reason="Cxxx"),
    "refused-for-now": Case(0xA700, attempts=2),
    "twice": Case("twice"),
    "lost": Case("drop", attempts=2, repeated=(2, 3)),
    "aborted": Case("abort", attempts=2, repeated=(2, 3)),
    "wrong-id": Case("wrong id", attempts=2, repeated=(2, 3)),
    "wrong-id-always": Case("wrong id", always=True, attempts=2, repeated=(0, 1, 2), failed=(1, 2, 3, 4),
                            reason="another message"),
}


@pytest.fixture(scope="module")
def window_site(kafka, postgres, run_folder, request):
    site = make_site(kafka, postgres, run_folder, request)
    site.create_topics()
    targets = {name: case.start(name) for name, case in CASES.items()}
    site.up(config.document(targets, {f"to-{t}": config.rule(f"tags.StudyDescription == '{t}'", t) for t in targets}))
    for name in CASES:
        uid = uid_of(name)
        paths = study.save(run_folder / "window" / name, [
            study.instance(study=uid, series=study.uid(uid, "series"), number=n, StudyDescription=name,
                           PatientID=f"P-{name}") for n in range(1, SLICES + 1)])
        assert set(send_exactly(site.dicom, paths)) == {0}
    yield site
    for case in CASES.values():
        case.sink.stop()
    finish_site(site, request)


@pytest.mark.parametrize("name", CASES)
def test_instances_under_way_together(window_site, name):
    case = CASES[name]
    s = window_site.settled(uid_of(name), SLICES, "failed" if case.reason else "delivered", 40)
    d = s["deliveries"][0]
    got = {k: v for k, v in d["members"].items() if v and k not in ("asked", "open")}
    repeated, failed = got.get("repeated", 0), got.get("failed", 0)
    assert repeated in case.repeated and failed in case.failed, d
    assert got["delivered"] == SLICES - repeated - failed
    assert d["attempts"] == case.attempts, d
    agreed = min(case.ours, case.theirs)
    assert case.sink.most_held == (0 if case.theirs == 1 else agreed + (case.what == "twice"))
    if case.reason:
        assert case.reason in str([d["reason"], d["reasons"]])
    assert len({a.sop for a in case.sink.arrived}) >= SLICES - failed
    assert len(case.sink.arrived) <= SLICES + WINDOW * (case.attempts - 1)  # nothing but what was under way
    assert window_site.unbalanced(uid_of(name)) == []
