"""Nothing is deleted that is not proven settled; what is, goes in its hours; what nobody knows is announced."""
import os
import re
import shutil
import time
from datetime import datetime, timedelta

import pytest

from kit import compare, config, study
from kit.senders import Exact, Instance, send_exactly
from kit.wait import within

PLACES = ["cleaner.condemned", "cleaner.passed", "cleaner.recorded", "cleaner.deleted"]


def hours(are_now):
    """Off-peak hours that are now, or that are over."""
    at = datetime.now() + timedelta(hours=0 if are_now else 4)
    return {"offPeakStart": (at - timedelta(hours=1)).strftime("%H:%M"),
            "offPeakEnd": (at + timedelta(hours=1)).strftime("%H:%M")}


def document(targets, off_peak=True, keep=1, rules=None, **defaults):
    return config.document(targets, rules, keepSeconds=keep, **hours(off_peak), **defaults)


def sent(site, folder, seed, slices=3, **values):
    """A study that was sent and acknowledged; its UID."""
    assert send_exactly(site.dicom, study.study(folder / str(seed), seed=seed, slices=slices, **values)) == [0] * slices
    return study.uid(seed, "study")


def cleaner(site, failpoints=None, **settings):
    service = site.service("cleaner", **{"scanSeconds": 1, "reconcileSeconds": 3600, **settings})
    return service.start(failpoints=failpoints)


def scans(service, n, outcome="ok"):
    """Waits until so many more scans are over: enough for whatever would be deleted."""
    seen = within(10, lambda: service.metric("talaria_cleaner_scans_total") + 1, what="the cleaner's metrics")
    before = service.metric("talaria_cleaner_scans_total", outcome=outcome) if seen else 0
    within(30, lambda: service.metric("talaria_cleaner_scans_total", outcome=outcome) >= before + n,
           what=f"{n} more scans {outcome}")


def objects(site):
    return sorted(p for p in (site.store / "instances").rglob("*.dcm"))


def states(site, uid):
    return {r["state"]: r["n"] for r in site.query(
        "SELECT state::text, count(*) AS n FROM receipts WHERE study = %s GROUP BY 1", uid)}


def recorded(site, what):
    """Receipts in records object.condemned or object.deleted."""
    return sorted(r["x"] for r in site.query(
        "SELECT DISTINCT jsonb_array_elements_text(body->'receipts') AS x FROM events WHERE type = %s", what))


def receipts_of(site, uid):
    return sorted(r["receipt"] for r in site.query("SELECT receipt FROM receipts WHERE study = %s", uid))


def gone(site, uid, n, seconds=30):
    within(seconds, lambda: states(site, uid) == {"deleted": n}, what="all deleted and on record", every=0.1)
    assert not [p for p in objects(site) if uid in str(p)]


def stopped(service):
    """Waits until a failpoint has frozen it."""
    def is_stopped():
        with open(f"/proc/{service.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"
    within(30, is_stopped, what=f"{service.name} frozen")


# ---- mercure's rows ----

def test_what_is_older_than_its_retention_goes_off_peak_and_stays_at_peak(site, tmp_folder):
    """Row 80."""
    sink = site.sink()
    targets = {"pacs": config.dicom(sink.port)}
    rules = {"short": config.rule("tags.Modality == 'CT'", "pacs", keepSeconds=1),
             "long": config.rule("tags.Modality == 'MR'", "pacs", keepSeconds=3600)}
    site.up(document(targets, off_peak=False, rules=rules))
    short = sent(site, tmp_folder, 1)
    long = sent(site, tmp_folder, 2, modality="MR", sop_class=study.MR)
    dropped = sent(site, tmp_folder, 3, modality="US")
    for uid, state in ((short, "delivered"), (long, "delivered"), (dropped, "discarded")):
        site.settled(uid, 3, state=state)
    service = cleaner(site).ready()
    within(20, lambda: service.metric("talaria_cleaner_oldest_due_seconds") > 0, what="something is due")
    scans(service, 2)
    assert len(objects(site)) == 9 and recorded(site, "object.condemned") == []

    site.apply(document(targets, off_peak=True, rules=rules))
    gone(site, short, 3)
    gone(site, dropped, 3)  # discarded by rule: the retention of the defaults
    expected = sorted(receipts_of(site, short) + receipts_of(site, dropped))
    assert recorded(site, "object.condemned") == recorded(site, "object.deleted") == expected
    scans(service, 2)
    assert len(objects(site)) == 3 and states(site, long) == {"decided": 3}
    assert service.metric("talaria_cleaner_deleted_objects_total", kind="receipt") == 6
    assert service.metric("talaria_cleaner_deleted_bytes_total") > 6 * 8192
    assert service.metric("talaria_cleaner_oldest_due_seconds") == 0
    assert sink.identities() == sorted(compare.identities(tmp_folder / "1") + compare.identities(tmp_folder / "2"))
    for uid in (short, long, dropped):
        assert site.unbalanced(uid) == []


def test_under_disk_pressure_settled_data_goes_at_any_hour_and_nothing_else(site, tmp_folder):
    """Row 81. The volume is used to 1 % at least."""
    up, down = site.sink(), site.sink()
    down.stop()
    site.up(document({"up": config.dicom(up.port), "down": config.dicom(down.port, attempts=1)}, off_peak=False,
                     keep=3600, rules={"good": config.rule("tags.Modality == 'CT'", "up"),
                                       "bad": config.rule("tags.Modality == 'MR'", "down")}))
    good, bad = sent(site, tmp_folder, 1), sent(site, tmp_folder, 2, modality="MR", sop_class=study.MR)
    site.settled(good, 3)
    site.settled(bad, 3, state="failed")
    service = cleaner(site, emergencyPercentage=1).ready()
    gone(site, good, 3)
    scans(service, 2)
    assert states(site, bad) == {"decided": 3} and len(objects(site)) == 3
    assert service.metric("talaria_store_used_percent") >= 1
    site.ledger_within(10, "SELECT string_agg(type, ' ' ORDER BY seq) FROM events WHERE subject = 'disk'",
                       "alarm.raised")
    service.stop()
    service = cleaner(site, emergencyPercentage=100).ready()
    site.ledger_within(10, "SELECT string_agg(type, ' ' ORDER BY seq) FROM events WHERE subject = 'disk'",
                       "alarm.raised alarm.cleared")
    assert len(objects(site)) == 3


def test_a_failed_delivery_stays_until_a_person_dismisses_it(site, tmp_folder):
    """Row 82."""
    up, down = site.sink(), site.sink()
    down.stop()
    site.up(document({"up": config.dicom(up.port), "down": config.dicom(down.port, attempts=1)}))
    uid = sent(site, tmp_folder, 1)
    deliveries = {d["target"]: d["delivery"] for d in site.settled(uid, 3, state="failed")["deliveries"]}
    service = cleaner(site).ready()
    within(20, lambda: site.value("SELECT now() > max(finished_at) + interval '2 s' FROM deliveries"),
           what="retention over")
    scans(service, 3)
    assert len(objects(site)) == 3

    def dismiss(**body):
        return site.request("POST", "/dismissals", {"kind": "delivery", "why": "the target is gone", **body}, timeout=30)
    assert dismiss(id=deliveries["up"])[0] == 409
    assert dismiss(id="unknown")[0] == 404
    assert dismiss(id=deliveries["down"], kind="other")[0] == 422
    assert dismiss(id=deliveries["down"]) == (201, {"id": deliveries["down"], "shown": True})
    gone(site, uid, 3)
    assert site.query("SELECT by_user, why FROM dismissals") == [{"by_user": "admin", "why": "the target is gone"}]
    assert site.request("GET", f"/studies/{uid}")[1]["state"] == "delivered"


# ---- deletion and what happens meanwhile ----

@pytest.mark.parametrize("place", PLACES)
def test_a_cleaner_that_is_killed_anywhere_ends_what_it_began(site, tmp_folder, place):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    uid = sent(site, tmp_folder, 1, slices=5)
    site.settled(uid, 5)
    service = cleaner(site, failpoints={place: "kill"})
    assert service.died(40) == -9
    left = len(objects(site))
    assert left == (0 if place == "cleaner.deleted" else 5)
    if place in ("cleaner.condemned", "cleaner.passed"):
        assert recorded(site, "object.condemned") == []
    service.start().ready()
    gone(site, uid, 5)
    assert recorded(site, "object.condemned") == recorded(site, "object.deleted") == receipts_of(site, uid)
    assert site.value("SELECT count(*) FROM receipts WHERE removed_at IS NULL") == 0
    assert len(sink.arrived) == 5 and site.unbalanced(uid) == []


def test_a_resend_during_deletion_is_untouched(site, tmp_folder):
    sink = site.sink()
    targets = {"pacs": config.dicom(sink.port)}
    site.up(document(targets))
    paths = study.study(tmp_folder / "1", seed=1, slices=3)
    uid = study.uid(1, "study")
    assert send_exactly(site.dicom, paths) == [0] * 3
    site.settled(uid, 3)
    first = receipts_of(site, uid)
    service = cleaner(site, failpoints={"cleaner.recorded": "stop"})
    stopped(service)
    assert send_exactly(site.dicom, paths) == [0] * 3
    site.services.pop("cleaner-1")  # a frozen service takes no configuration
    site.apply(document(targets, keep=3600))
    site.settled(uid, 6)
    site.services["cleaner-1"] = service
    service.thaw()
    within(30, lambda: states(site, uid) == {"deleted": 3, "decided": 3}, what="the first three deleted")
    scans(service, 2)
    assert recorded(site, "object.deleted") == first
    assert site.stored() == compare.identities(tmp_folder)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 6


def test_a_hold_forbids_deletion_and_says_what_it_came_too_late_for(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    held, late, single = (sent(site, tmp_folder, n) for n in (1, 2, 3))
    for uid in (held, late, single):
        site.settled(uid, 3)

    def hold(timeout=30, headers=None, **what):
        return site.request("POST", "/holds", {"why": "research", **what}, headers=headers, timeout=timeout)
    one = receipts_of(site, single)[0]
    status, first = hold(study=held)
    assert (status, first["stands"], first["condemned"], first["by"]) == (201, True, 0, "admin")
    assert hold(receipts=[one], headers={"Idempotency-Key": "mine"})[1]["hold"] == "mine"
    assert hold(receipts=[one], study=held)[0] == hold()[0] == hold(receipts=["x"])[0] == 422
    assert hold(study=held, until="soon")[0] == 422
    assert {h["hold"] for h in site.request("GET", "/holds")[1]["items"]} == {first["hold"], "mine"}

    # chosen, before the ends were taken: the hold counts, and knows that it was close
    service = cleaner(site, failpoints={"cleaner.condemned": "stop"})
    stopped(service)
    status, second = hold(study=late)
    assert (status, second["condemned"]) == (201, 3)
    service.thaw()
    within(30, lambda: states(site, single) == {"deleted": 2, "decided": 1}, what="all but one receipt deleted")
    scans(service, 2)
    assert states(site, held) == states(site, late) == {"decided": 3}
    assert service.metric("talaria_cleaner_spared_total") == 3

    # confirmed: the hold comes too late and says so
    service.stop()
    service = cleaner(site, failpoints={"cleaner.passed": "stop"}, instance="later")
    assert site.request("DELETE", f"/holds/{second['hold']}", timeout=30)[1]["stands"] is False
    stopped(service)
    status, third = hold(study=late)
    assert (status, third["condemned"]) == (201, 3)
    service.thaw()
    gone(site, late, 3)

    for name in (first["hold"], "mine"):
        assert site.request("DELETE", f"/holds/{name}", timeout=30)[0] == 200
    assert site.request("DELETE", "/holds/unknown")[0] == 404
    gone(site, held, 3)
    gone(site, single, 3)


def test_nothing_is_deleted_while_the_ledger_is_behind(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    uid = sent(site, tmp_folder, 1)
    site.settled(uid, 3)
    site.bookkeeper.stop()
    other = sent(site, tmp_folder, 2)
    service = cleaner(site, barrierSeconds=1)
    scans(service, 2, outcome="failed")
    assert len(objects(site)) == 6 and "behind" in service.get("/readyz")[1]
    site.bookkeeper.start().ready()
    gone(site, uid, 3)
    gone(site, other, 3)
    assert site.unbalanced(uid) == site.unbalanced(other) == []


def test_of_two_cleaners_one_cleans(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    both = [site.service("cleaner", instance=n, scanSeconds=1).start().ready() for n in ("1", "2")]
    uid = sent(site, tmp_folder, 1, slices=20)
    site.settled(uid, 20)
    gone(site, uid, 20)
    assert sum(s.metric("talaria_cleaner_deleted_objects_total") for s in both) == 20
    assert site.value("SELECT count(*) FROM events WHERE type = 'object.deleted'") == 1


# ---- the reconciler ----

def test_an_object_that_was_never_announced_is_announced_and_delivered(site, tmp_folder):
    sink = site.sink()
    site.up({**document({"pacs": config.dicom(sink.port)}, keep=3600), "sources": {"ct": {"charset": "ISO_IR 100"}}})
    receiver = site.receiver
    receiver.stop()
    receiver.start(failpoints={"receiver.stored": "kill@2"}).ready()
    paths = study.study(tmp_folder / "1", seed=2, slices=2)
    for path in paths:  # written in the characters of the source, which the dataset does not name
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b" " * 10))
    instances = [Instance(p) for p in paths]
    association = Exact(site.dicom, instances, calling="CT7")
    assert association.store(instances[0]) == 0
    with pytest.raises(Exception):
        association.store(instances[1])
    association.close()
    assert receiver.died() == -9
    receiver.start().ready()
    uid = study.uid(2, "study")
    site.settled(uid, 1)
    assert len(objects(site)) == 2
    service = cleaner(site, reconcileSeconds=1, orphanSeconds=1).ready()
    site.settled(uid, 2)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 2
    rows = site.query("SELECT flags, calling_ae, source, association, tags FROM receipts ORDER BY stored_at")
    assert [r["flags"] for r in rows] == ["", "again,reconciled"]
    assert rows[1]["calling_ae"] == "CT7" and rows[0]["association"] == rows[1]["association"]
    assert [r["tags"]["PatientName"] for r in rows] == ["Müller^Jörg"] * 2
    assert set(rows[0]["tags"]) == set(rows[1]["tags"]) and rows[0]["source"] == rows[1]["source"]
    walks = service.metric("talaria_cleaner_walks_total")
    within(20, lambda: service.metric("talaria_cleaner_walks_total") >= walks + 2, what="two more walks")
    assert service.metric("talaria_cleaner_orphans_announced_total") == 1
    assert site.unbalanced(uid) == []


def test_torn_expired_and_strange_objects_are_shown_and_neither_announced_nor_deleted(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    uid = sent(site, tmp_folder, 1, slices=1)
    site.settled(uid, 1)
    whole, = objects(site)

    def copy(receipt, size=None, age=600):
        to = whole.with_name(re.sub(r"[0-9a-f]{16}\.dcm$", f"{receipt:016x}.dcm", whole.name))
        shutil.copyfile(whole, to)
        if size is not None:
            os.truncate(to, size)
        os.utime(to, (time.time() - age,) * 2)
        return to
    kept = [copy(1, size=whole.stat().st_size - 1), copy(2, size=0), copy(3, size=200),
            copy(4),  # whole, but another one's receipt within
            copy(5, age=20 * 86400)]
    strange = whole.with_name("notes.txt")
    strange.write_text("what is this?")
    os.utime(strange, (time.time() - 600,) * 2)
    young = copy(6, size=10, age=0)
    service = cleaner(site, reconcileSeconds=1, orphanSeconds=300, batch=2).ready()
    gone_one = within(30, lambda: not whole.exists(), what="what was settled is deleted")
    shown = {"torn": 4, "expired": 1, "strange": 1}
    within(20, lambda: {k: service.metric("talaria_cleaner_orphans", kind=k) for k in shown} == shown,
           what="what nobody knows is shown")
    assert gone_one and all(p.exists() for p in [*kept, strange, young])
    assert service.metric("talaria_cleaner_orphans_announced_total") == 0
    assert site.value("SELECT count(*) FROM receipts") == 1
    site.ledger_within(10, "SELECT string_agg(type || (body->>'kind'), ' ') FROM events WHERE subject = 'orphan'",
                       "alarm.raisedorphan")
    for p in [*kept, strange, young]:
        p.unlink()
    site.ledger_within(20, "SELECT string_agg(type, ' ' ORDER BY seq) FROM events WHERE subject = 'orphan'",
                       "alarm.raised alarm.cleared")


# ---- does it add up? ----

def test_the_command_ledger_says_whether_it_adds_up(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    uid = sent(site, tmp_folder, 1)
    site.settled(uid, 3)
    code, text = site.cli("ledger", check=False)
    assert code == 0 and "The ledger adds up." in text
    assert site.request("GET", "/ledger")[1]["balances"] == {"receipts": 0, "deliveries": 0}
    site.query("UPDATE deliveries SET members = members + 1")
    code, text = site.cli("ledger", check=False)
    assert code == 1 and "DOES NOT ADD UP" in text
    assert len(site.imbalances()) == 1, "the end of every test sees it too"
    site.query("UPDATE deliveries SET members = members - 1")
