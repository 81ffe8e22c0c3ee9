"""kill -9 at every place that has a name: what was acknowledged is delivered, once, and the ledger adds up.

One site for the whole file: after each kill the service is started again, as a supervisor would, and the site goes
on with the next study, so that each kill also stands on what the kills before have left behind."""
import subprocess

import pytest

from conftest import finish_site, make_site
from kit import compare, config, study
from kit.paths import BIN
from kit.senders import Instance, send_until_acknowledged
from kit.wait import TimedOut, within

pytestmark = pytest.mark.xdist_group("kills")  # they share a site

QUIET = 1
SLICES = 3

# Places of a service that a study on its way through a healthy site does not pass, and who passes them.
ELSEWHERE = {
    "receiver": {
        "receiver.outboxed": "test_outages.py: only while the broker is away",
        "receiver.drained": "test_outages.py",
        "receiver.alive": "test_senders.py: only while an association is held open",
    },
    "router": {
        "objstore.renamed": "a manifest is written in one piece",
        "objstore.write": "of streamed objects",
    },
    "dispatcher": {
        **{f"objstore.{p}": "writes no objects" for p in ("dirsync", "fsync", "renamed", "write", "written")},
    },
    "bookkeeper": {
        **{f"objstore.{p}": "writes no objects" for p in ("dirsync", "fsync", "renamed", "write", "written")},
    },
}
# Which passages kill. The second where nothing is said, so that something was done before. What the start itself
# passes (the claims in the journals) is killed there; the third passage of the plan is then the study's.
HITS = {
    "objstore.renamed": (1,), "objstore.write": (1,), "receiver.ended": (1,),
    "receiver.stored": (1, 2), "receiver.announced": (1, 2), "receiver.answered": (1, 2),
    "objstore.dirsync": (1,), "objstore.fsync": (1,), "objstore.written": (1,),
    "decide.claimed": (1,), "decide.folded": (1,), "decide.committed": (1,), "decide.objects": (1,), "decide.flushed": (1, 2),
    "plan.handled": (1, 3), "plan.committed": (1, 2), "plan.objects": (1,), "plan.flushed": (1,),
    "dispatch.claimed": (1,), "dispatch.folded": (1,), "dispatcher.begun": (1,), "dispatcher.recorded": (1,),
    "dispatcher.sent": (1, 2), "dispatch.flushed": (1, 2),
}
# What else must be so for a study to come by: outcomes are recorded every 200 ms, so the target is slow.
WITH = {"dispatcher.recorded": {"dispatcher.sent": "delay:150"}}


def places(service):
    done = subprocess.run([BIN / f"talaria-{service}", "--failpoints"], stdout=subprocess.PIPE, check=False)
    return list(dict.fromkeys(done.stdout.decode().split()))


MATRIX = [(service, place, hit) for service in ELSEWHERE for place in places(service)
          if place not in ELSEWHERE[service] for hit in HITS.get(place, (2,))]


@pytest.fixture(scope="module")
def killed_site(kafka, postgres, run_folder, request):
    site = make_site(kafka, postgres, run_folder, request)
    site.create_topics()
    site.target = site.sink()
    site.up(config.document({"pacs": config.dicom(site.target.port)}, quiet=QUIET),
            receiver={"streamBytes": 65536})
    yield site
    finish_site(site, request)


def revive(site):
    """Whatever a test before has left dead runs again."""
    for s in site.services.values():
        if not s.alive():
            s.start()
    for s in site.services.values():
        s.ready()


def restarted(service, place, hit):
    """The service stopped (TERM, 0) and started again so that the place kills it once, perhaps at its start."""
    assert service.stop() == 0, service.tail()
    (service.folder / f"{service.name}.failed-once").unlink(missing_ok=True)
    return service.start(failpoints={place: f"kill@{hit}", **WITH.get(place, {})})


def died_soon(service):
    try:
        return within(3, service.ended_by_itself, what="killed", patience=1)
    except TimedOut:
        return False


@pytest.mark.parametrize("service, place, hit", MATRIX, ids=lambda v: str(v))
def test_killed_anywhere_what_was_acknowledged_is_delivered(killed_site, tmp_folder, service, place, hit):
    site, seed = killed_site, 100 + MATRIX.index((service, place, hit))
    revive(site)
    uid = study.uid(seed, "study")
    # the last is streamed to disk while it arrives, the others are written in one piece
    paths = study.study(tmp_folder, seed=seed, slices=SLICES - 1)
    paths += study.save(tmp_folder, [study.instance(seed=seed, study=uid, series=study.uid(seed, "series", 0),
                                                    number=SLICES, rows=200, columns=200)])
    before = len(site.target.arrived)
    victim = restarted(getattr(site, service), place, hit)
    ends = len(victim.codes)

    def again():
        if victim.ended_by_itself():
            victim.died()
            victim.start()

    def acknowledged(images):
        return send_until_acknowledged(site.dicom, images, between=again if service == "receiver" else None)
    sends, further = acknowledged(paths), {}
    while len(victim.codes) == ends:
        if died_soon(victim):
            victim.died()
            victim.start()
        else:  # some places are passed by the clock: how often by one study is not said
            assert len(further) < 5, f"{place} is not passed\n{victim.tail()}"
            one = 10 * seed + len(further)
            further[study.uid(one, "study")] = acknowledged(study.study(tmp_folder / "further", seed=one, slices=2))
    assert victim.codes[ends:] == [-9]
    victim.ready()

    def counted(uid, least, most):
        n = sum(s["instances"] for s in site.ledger_study(uid)["series"])
        return least <= n <= most and site.settled(uid, n, seconds=0)
    seen = within(30, counted, uid, SLICES, sends, what="the study delivered", every=0.1)
    for one, most in further.items():
        within(30, counted, one, 2, most, what="a further study delivered", every=0.1)
    assert site.unbalanced(uid) == []
    arrived = site.target.arrived[before:]
    assert sorted({a.identity() for a in arrived if a.status == 0}) == compare.identities(tmp_folder)
    sops = {Instance(p).sop for p in paths}
    arrived = [a for a in arrived if a.sop in sops]
    repeated = sum(d["members"]["repeated"] for d in seen["deliveries"])
    # more copies than instances: only what the dispatcher did not know the outcome of, or what a sender sent
    # again after its series was decided
    assert len(arrived) - SLICES <= repeated + (sends - SLICES), [a.sop for a in arrived]
    if service in ("router", "bookkeeper"):
        assert len(arrived) == SLICES
        assert len(seen["decisions"]) == 1 or site.pause_in(uid) >= QUIET


def test_every_named_place_is_covered():
    for service, elsewhere in ELSEWHERE.items():
        unknown = set(elsewhere) - set(places(service))
        assert not unknown, f"{service} has no {unknown}"
    assert len(MATRIX) > 30
