"""When a delivery starts: hours and priorities, associations and patients, the breaker, the last attempt."""
import time

from kit import config, study
from kit.ports import free_port
from kit.senders import send_exactly
from kit.wait import within


def hours(begin, end):
    """Off-peak hours, from and to so many minutes from now."""
    def clock(minutes):
        return time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))
    return {"offPeakStart": clock(begin), "offPeakEnd": clock(end)}


CLOSED, OPEN = hours(120, 180), hours(-120, 120)


def send(site, folder, name, patient="P", slices=1):
    uid = study.uid("schedule", name)
    paths = study.save(folder / name, [
        study.instance(study=uid, series=study.uid(uid, "series"), number=n, StudyDescription=name, PatientID=patient)
        for n in range(1, slices + 1)])
    assert set(send_exactly(site.dicom, paths)) == {0}
    return uid


def sop_of(uid, number=1):
    return study.uid(uid, study.uid(uid, "series"), "sop", number)


def deliveries(site, **where):
    return site.query("SELECT * FROM delivery_status WHERE " + " AND ".join(f"{k} = %s" for k in where) +
                      " ORDER BY requested_at", *where.values())


def all_requested(site, n):
    within(30, lambda: site.value("SELECT count(*) FROM deliveries WHERE state = 'requested'") == n,
           what=f"{n} deliveries requested")


def test_urgent_goes_before_normal_and_off_peak_only_in_its_hours(site, tmp_folder):
    sink = site.sink()
    words = ("offpeak", "normal", "urgent")

    def document(paused, when):
        return config.document({"pacs": config.dicom(sink.port, paused=paused)}, {
            w: config.rule(f"'{w}' in tags.StudyDescription", "pacs", priority=w) for w in words}, **when)

    site.up(document(True, CLOSED))
    first = {w: send(site, tmp_folder, f"{w}-1") for w in words}
    all_requested(site, 3)
    site.apply(document(False, CLOSED))
    for w in ("urgent", "normal"):
        site.settled(first[w], 1)
    assert [a.sop for a in sink.arrived] == [sop_of(first["urgent"]), sop_of(first["normal"])]
    waiting, = deliveries(site, study=first["offpeak"])
    assert (waiting["state"], waiting["attempts"]) == ("requested", 0)
    site.apply(document(False, OPEN))
    site.settled(first["offpeak"], 1)

    site.apply(document(True, OPEN))
    second = {w: send(site, tmp_folder, f"{w}-2") for w in words}
    all_requested(site, 3)
    site.apply(document(False, OPEN))
    for w in words:
        site.settled(second[w], 1)
    assert [a.sop for a in sink.arrived[3:]] == [sop_of(second[w]) for w in reversed(words)]


def test_as_many_associations_as_the_target_grants_and_one_for_a_patient(site, tmp_folder):
    three, one = (site.sink(answer=lambda n, sop, late=late: (0, late)) for late in (1, 0.3))

    def document(paused):
        return config.document({"three": {**config.dicom(three.port, paused=paused), "associations": 3},
                                "one": config.dicom(one.port, paused=paused)})

    site.up(document(True))
    patients = {sop_of(send(site, tmp_folder, f"{patient}-{n}", f"P{patient}")): patient
                for patient in range(4) for n in range(2)}
    all_requested(site, 16)
    site.apply(document(False))
    three.has(8)
    one.has(8)
    assert max(map(len, three.together)) == 3
    assert max(map(len, one.together)) == 1
    assert all(len({patients[sop] for sop in together}) == len(together) for together in three.together)
    within(20, lambda: site.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'") == 16, what="delivered")


def test_waiting_for_an_open_breaker_is_not_an_attempt(site, tmp_folder):
    port, well = free_port(), site.sink()
    site.up(config.document(
        {"pacs": config.dicom(port, attempts=5, retry=3600), "well": config.dicom(well.port)},
        {"pacs": config.rule("'pacs' in tags.StudyDescription", "pacs"),
         "well": config.rule("'well' in tags.StudyDescription", "well")}))
    for n in range(5):
        send(site, tmp_folder, f"pacs-{n}", f"P{n}")
    within(20, lambda: site.dispatcher.metric("talaria_target_breaker_open", target="pacs") == 1, what="open breaker")
    all_requested(site, 2)
    site.settled(send(site, tmp_folder, "well"), 1)  # meanwhile the others could have been tried
    tried = deliveries(site, target="pacs")
    assert sorted((d["state"], d["attempts"]) for d in tried) == [("attempted", 1)] * 3 + [("requested", 0)] * 2
    pacs = site.sink(port=port)
    retried = next(d for d in tried if d["state"] == "attempted")
    assert site.request("POST", f"/deliveries/{retried['delivery']}/retry", {"reason": "it is back"})[0] == 202
    pacs.has(3)
    within(20, lambda: len(deliveries(site, target="pacs", state="delivered")) == 3, what="three delivered")
    assert {d["attempts"] for d in deliveries(site, target="pacs", state="attempted")} == {1}


def test_after_the_last_attempt_it_has_failed_visibly_and_a_restart_ends_well(site, tmp_folder):
    sink = site.sink(answer=lambda n, sop: "drop" if n else 0)
    site.up(config.document({"pacs": config.dicom(sink.port, attempts=3, retry=1)}))
    uid = send(site, tmp_folder, "restart", slices=3)
    failed, = site.settled(uid, 3, "failed")["deliveries"]
    assert (failed["attempts"], failed["members"]["delivered"], failed["members"]["failed"]) == (3, 1, 2)
    assert failed["reason"].startswith("after 3 attempts: ")
    assert [p for p in site.request("GET", "/status")[1]["problems"] if p["kind"] == "deliveries failed"]
    before = len(sink.arrived)
    sink.answer = lambda n, sop: 0
    status, answer = site.request("POST", f"/deliveries/{failed['delivery']}/restart", {"reason": "mended"})
    assert status == 202
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", "delivered", answer["restarted"])
    assert [a.sop for a in sink.arrived[before:]] == [sop_of(uid, n) for n in (2, 3)]
    assert site.settled(uid, 3)["state"] == "delivered" and site.unbalanced(uid) == []
