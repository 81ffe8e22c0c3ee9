"""Targets that do not behave: the right outcome per member, nothing lost, the reason readable, others undisturbed.

All cases share one site: a target, a rule and a study each, all sent at once, so that what hangs hangs beside
what works."""
import json
import ssl
import subprocess
import threading

import pytest

from conftest import finish_site, make_site
from kit import config, study
from kit.ports import free_port
from kit.senders import send_exactly
from kit.sink import Sink
from kit.wait import patient, within

pytestmark = pytest.mark.xdist_group("targets")  # they share a site

SLICES = 3
ALWAYS = 10 ** 6
SHORT = 4  # seconds: the patience with a target whose silence is the case


def uid_of(name):
    return study.uid("targets", name)


def sop_of(name, position):
    """The SOP instance UID of a case's instance."""
    return study.uid(uid_of(name), study.uid(uid_of(name), "series"), "sop", position + 1)


class Case:
    """misbehave(position, the how manyth try of this instance) is the sink's answer; want: members in the
    end; reason: a word of what the ledger says of it."""

    def __init__(self, want, misbehave=None, reason=None, state=None, attempts=None, target=None, early=None, **sink):
        self.want, self.reason, self.attempts = want, reason, attempts
        self.state = state or ("failed" if want.get("failed") else "delivered")
        self.misbehave, self.early, self.sink_options = misbehave, early, sink
        self.target = {"attempts": 2, "retry": 1, "timeoutSeconds": 60, **(target or {})}
        self.sink = self.uid = None

    def start(self, name):
        self.uid, tries, early = uid_of(name), {}, {}
        places = {sop_of(name, n): n for n in range(SLICES)}

        def answer(_, sop):
            tries[sop] = tries.get(sop, 0) + 1
            return self.misbehave(places[sop], tries[sop]) if self.misbehave else 0

        def stop_early(sop):
            early[sop] = early.get(sop, 0) + 1
            return self.early(places[sop], early[sop])

        options = {**self.sink_options, "answer": answer}
        if self.early:
            options["early"] = stop_early
        self.sink = Sink(**options).start()
        return config.dicom(self.sink.port, **self.target)


def at(position, what, times=ALWAYS):
    """This answer at one position, at its first so many tries."""
    return lambda place, n: what if place == position and n <= times else 0


STORED = (0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007, 0xBFFF)
LATER = (0xA700, 0xA7FF)
ONCE_MORE = (0x0110, 0x0111, 0x0210)
NEVER = (0x0117, 0x0122, 0x0124, 0x0211, 0x0212, 0xA900, 0xA9FF, 0xC000, 0xCFFF, 0xFE00, 0x0115, 0xFF00, 0x1234)
# what a person reads of them
WORDS = {0x0001: "warning", 0x0107: "warning", 0x0110: "processing failure", 0x0111: "duplicate SOP instance",
         0x0116: "out of range", 0x0117: "invalid SOP instance", 0x0122: "SOP class", 0x0124: "not authorised",
         0x0210: "duplicate invocation", 0x0211: "unrecognised operation", 0x0212: "mistyped argument",
         0xA700: "out of resources", 0xA900: "does not match", 0xB000: "stored with changes",
         0xC000: "cannot understand"}


def words_of(status):
    return WORDS.get(status) or WORDS.get(status & 0xFF00) or WORDS.get(status & 0xF000) or "unknown failure status"


POSITIONS = {"first": 0, "middle": 1, "last": 2}
ALL, ONE_FAILED = {"delivered": 3}, {"delivered": 2, "failed": 1}


def status_cases():
    out = {}
    for status in STORED + LATER + ONCE_MORE + NEVER:
        for word, position in POSITIONS.items():
            good = status in STORED
            out[f"{status:04X}-{word}"] = Case(
                ALL if good else ONE_FAILED, at(position, status), attempts=2 if status in LATER + ONCE_MORE else 1,
                reason=None if status == 0 else status)
    for status in LATER + ONCE_MORE:
        out[f"{status:04X}-once"] = Case(ALL, at(1, status, 1), attempts=2)
    return out


CASES = {
    **status_cases(),
    "all-busy": Case({"failed": 3}, lambda place, n: 0xA700, reason="A7xx", attempts=2),
    "abort-once": Case({"delivered": 2, "repeated": 1}, at(1, "abort", 1), attempts=2),
    "abort-always": Case({"delivered": 1, "failed": 2}, at(1, "abort"), reason="abort", attempts=2),
    "close-once": Case({"delivered": 2, "repeated": 1}, at(1, "drop", 1), attempts=2),
    "close-always": Case({"delivered": 1, "failed": 2}, at(1, "drop"), reason="answer", attempts=2),
    "stored-unanswered": Case({"delivered": 2, "repeated": 1}, at(1, "ignore", 1), attempts=2),
    "abort-amid": Case({"delivered": 1, "failed": 2}, early=lambda place, n: place == 1, attempts=2, reason=""),
    "wrong-id": Case({"delivered": 1, "failed": 2}, at(1, "wrong id"), reason="another message", attempts=2),
    "wrong-id-once": Case({"delivered": 2, "repeated": 1}, at(1, "wrong id", 1), attempts=2),
    "twice": Case(ALL, lambda place, n: "twice", attempts=1),
    "late": Case(ALL, at(1, (0, 1)), attempts=1),
    "too-late": Case({"delivered": 1, "failed": 2}, at(1, (0, 2 * SHORT)), reason="answer", attempts=2,
                     target={"timeoutSeconds": SHORT}),
    "stays-silent": Case({"delivered": 1, "failed": 2}, at(1, "hang"), reason="answer", attempts=2,
                         target={"timeoutSeconds": SHORT}),
    "mute": Case({"failed": 3}, mute=True, reason="", attempts=2, target={"timeoutSeconds": SHORT}),
    "one-byte-a-second": Case({"failed": 3}, slow="association", reason="", attempts=2,
                              target={"timeoutSeconds": SHORT}),
    "one-byte-from-the-start": Case({"failed": 3}, slow="connection", reason="", attempts=2,
                                    target={"timeoutSeconds": SHORT}),
    "no-context": Case({"failed": 3}, accept=lambda a, s: None, reason=0x0122, attempts=1),
    "no-context-skip": Case({"notAccepted": 3}, accept=lambda a, s: None, reason=0x0122, attempts=1,
                            target={"unaccepted": "skip"}),
    "rejects-transient": Case({"failed": 3}, reject=(2, 3, 1), reason="transient, temporary congestion", attempts=2),
    **{f"rejects-permanent-{reason}": Case({"failed": 3}, reject=(1, 1, reason), reason=f"permanent, {text}", attempts=2)
       for reason, text in ((1, "no reason"), (3, "calling AE title"), (7, "called AE title"))},
}
TLS = {"tls-good": (ALL, None), "tls-named": (ALL, None), "tls-client": (ALL, None),
       "tls-wrong-ca": ({"failed": 3}, "certificate"), "tls-expired": ({"failed": 3}, "expired"),
       "tls-wrong-host": ({"failed": 3}, "mismatch"), "tls-plain": ({"failed": 3}, "TLS"),
       "tls-no-client": ({"failed": 3}, "")}
GOOD = 12  # series of the study for the target that works


# ---- certificates ----------------------------------------------------------------------------

def openssl(folder, *arguments):
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.pem", "-days", 30, "-subj", f"/CN={name}", "-addext",
            "basicConstraints=critical,CA:TRUE")


def certificate(folder, name, ca, alternative, days=("-days", "30")):
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-extfile", f"{name}.ext", *days)


def server_context(folder, name, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    if client_ca:
        context.load_verify_locations(folder / f"{client_ca}.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls_targets(folder):
    """{name: (sink, target)}"""
    authority(folder, "ca")
    authority(folder, "other")
    certificate(folder, "good", "ca", "IP:127.0.0.1")
    certificate(folder, "named", "ca", "DNS:pacs.example")
    certificate(folder, "stranger", "ca", "IP:192.0.2.1")
    certificate(folder, "expired", "ca", "IP:127.0.0.1", ("-days", "-1"))
    certificate(folder, "client", "ca", "DNS:talaria")
    ca = folder / "ca.pem"
    client = {"certificate": str(folder / "client.pem"), "key": str(folder / "client.key")}

    def one(server, ca=ca, client_ca=None, **keys):
        sink = Sink(tls=server_context(folder, server, client_ca) if server else None).start()
        return sink, config.dicomtls(sink.port, ca, timeoutSeconds=60 if server else SHORT, **keys)

    return {"tls-good": one("good"), "tls-named": one("named", certificateName="pacs.example"),
            "tls-client": one("good", client_ca="ca", **client), "tls-wrong-ca": one("good", ca=folder / "other.pem"),
            "tls-expired": one("expired"), "tls-wrong-host": one("stranger"), "tls-plain": one(None),
            "tls-no-client": one("good", client_ca="ca")}


# ---- the site --------------------------------------------------------------------------------

class Targets:
    def __init__(self, site, folder, tls_sinks, good):
        self.site, self.folder, self.tls_sinks, self.good = site, folder, tls_sinks, good

    def delivery(self, name, state, seconds=60):
        """The one delivery of a case's study, ended."""
        s = self.site.settled(uid_of(name), SLICES, state, seconds)
        assert len(s["deliveries"]) == 1
        return s["deliveries"][0]


def send(site, folder, name, series=1, **values):
    uid = uid_of(name)
    paths = study.save(folder / name, [
        study.instance(study.CT, study=uid, series=study.uid(uid, "series", *([s] if series > 1 else [])), number=n,
                       StudyDescription=name, SeriesNumber=s + 1, PatientID=f"P-{name}", **values)
        for s in range(series) for n in range(1, SLICES + 1)])
    assert set(send_exactly(site.dicom, paths)) == {0}
    return uid


def document(targets, **defaults):
    return config.document(targets, {f"to-{t}": config.rule(f"tags.StudyDescription == '{t}'", t) for t in targets},
                           **defaults)


@pytest.fixture(scope="module")
def targets(kafka, postgres, run_folder, request):
    site = make_site(kafka, postgres, run_folder, request)
    site.create_topics()
    folder = run_folder / "targets"
    folder.mkdir()
    tls = tls_targets(folder)
    good = Sink().start()
    listed = {name: case.start(name) for name, case in CASES.items()}
    listed.update({name: target for name, (_, target) in tls.items()})
    listed["good"] = config.dicom(good.port)
    listed["dead"] = config.dicom(free_port(), attempts=50, retry=1)
    site.up(document(listed), dispatcher={"connectSeconds": SHORT + 2})
    for name in [n for n in listed if n not in ("good", "dead")]:
        slow = CASES.get(name) and CASES[name].sink_options.get("slow")
        send(site, folder, name, **({"rows": 256, "columns": 256} if slow else {}))
    send(site, folder, "dead")
    send(site, folder, "good", series=GOOD)
    yield Targets(site, folder, {n: s for n, (s, _) in tls.items()}, good)
    for case in CASES.values():
        case.sink.stop()
    for sink in [*(s for s, _ in tls.values()), good]:
        sink.stop()
    finish_site(site, request)


def members_of(delivery):
    return {k: v for k, v in delivery["members"].items() if v and k not in ("asked", "open")}


def tells(delivery, reason):
    """Is that word, or that DICOM status, in what the ledger tells of the delivery?"""
    if isinstance(reason, int):
        return any(r["status"] == reason and words_of(reason) in r["reason"] for r in delivery["reasons"])
    words = [delivery["reason"] or ""] + [r["reason"] or "" for r in delivery["reasons"]]
    return any(words) and (not reason or any(reason in w for w in words))


# ---- one outcome per case --------------------------------------------------------------------

def test_a_target_that_works_is_as_fast_beside_all_that_do_not(targets):
    s = targets.site.settled(uid_of("good"), GOOD * SLICES, seconds=60)
    assert all(d["attempts"] == 1 and members_of(d) == ALL for d in s["deliveries"])
    slowest = targets.site.value("SELECT max(extract(epoch FROM finished_at - requested_at)) FROM deliveries "
                                 "WHERE target = 'good'")
    assert slowest < patient(5), f"{slowest} s"  # 12 deliveries of one patient, one after the other, sanitized


@pytest.mark.parametrize("name", CASES)
def test_a_target_that(targets, name):
    case = CASES[name]
    d = targets.delivery(name, case.state)
    got = members_of(d)
    assert got == case.want, d
    assert d["state"] == case.state
    if case.attempts:
        assert d["attempts"] == case.attempts, d
    if case.reason is not None:
        assert tells(d, case.reason), d
    assert targets.site.unbalanced(case.uid) == []
    arrived = {a.sop for a in case.sink.arrived}
    if "delivered" in case.want or "repeated" in case.want:
        assert len(arrived) >= got.get("delivered", 0) + got.get("repeated", 0)
    if case.misbehave:  # what was delivered is not sent again
        once = [sop_of(name, n) for n in range(SLICES) if case.misbehave(n, 1) == 0]
        assert all(sum(a.sop == sop for a in case.sink.arrived) <= 1 for sop in once)


@pytest.mark.parametrize("name", TLS)
def test_a_tls_target(targets, name):
    want, reason = TLS[name]
    d = targets.delivery(name, "delivered" if want == ALL else "failed")
    assert members_of(d) == want, d
    assert reason is None or tells(d, reason), d
    assert len(targets.tls_sinks[name].arrived) == want.get("delivered", 0)


# ---- what people do --------------------------------------------------------------------------

def add_target(targets, name, target):
    """One more target with its rule, in the running site."""
    whole = json.loads((targets.site.folder / "config.json").read_text())
    whole["targets"][name] = target
    whole["rules"][f"to-{name}"] = config.rule(f"tags.StudyDescription == '{name}'", name)
    targets.site.apply(whole)


def post(site, path, body=None, key=None):
    return site.request("POST", f"/deliveries/{path}", body or {"reason": "a test"},
                        {"Idempotency-Key": key} if key else None)


def first_delivery(site, name, state, seconds=30):
    """The delivery of that study in a state of the ledger."""
    return within(seconds, lambda: site.query(
        "SELECT * FROM delivery_status WHERE study = %s AND parent IS NULL AND state::text = %s", uid_of(name), state),
        what=f"delivery of {name} {state}")[0]


def test_a_target_that_was_down_gets_only_what_is_open(targets):
    gone = threading.Event()

    def answer(n, _):
        if n == 2:
            gone.set()
        return "drop" if n == 2 else 0

    sink = Sink(answer).start()
    add_target(targets, "updown", config.dicom(sink.port, attempts=50, retry=1))
    send(targets.site, targets.folder, "updown")
    assert gone.wait(patient(20))
    sink.stop()
    within(20, lambda: first_delivery(targets.site, "updown", "attempted")["attempts"] >= 2, what="two attempts")
    assert len(sink.arrived) == 3
    sink.start()
    d = targets.delivery("updown", "delivered")
    assert members_of(d) == {"delivered": 2, "repeated": 1}
    assert [a.sop for a in sink.arrived] == [sop_of("updown", n) for n in (0, 1, 2, 2)]
    sink.stop()


def test_a_delivery_that_waits_is_cancelled_by_rest(targets):
    site = targets.site
    d = first_delivery(site, "dead", "attempted")
    assert post(site, f"{d['delivery']}/restart")[0] == 409
    status, answer = post(site, f"{d['delivery']}/cancel", key="cancel-dead")
    assert (status, answer) == (202, {"command": "cancel-dead", "delivery": d["delivery"]})
    ended = first_delivery(site, "dead", "cancelled")
    assert (ended["cancelled"], ended["reason"]) == (SLICES, "cancelled")
    assert site.unbalanced(uid_of("dead")) == []
    assert post(site, f"{d['delivery']}/cancel")[0] == post(site, f"{d['delivery']}/retry")[0] == 409
    assert post(site, "none/cancel")[0] == 404
    site.ledger_within(20, "SELECT outcome FROM commands WHERE command = 'cancel-dead'", "done")


def test_an_attempt_under_way_is_ended_by_a_cancel_and_what_was_delivered_stays_so(targets):
    sink = Sink(answer=lambda n, sop: "hang" if n == 1 else 0).start()
    add_target(targets, "running", config.dicom(sink.port, attempts=50, retry=1, timeoutSeconds=600))
    send(targets.site, targets.folder, "running")
    sink.has(2)
    d = first_delivery(targets.site, "running", "requested")
    assert post(targets.site, f"{d['delivery']}/cancel")[0] == 202
    ended = first_delivery(targets.site, "running", "cancelled", seconds=10)
    assert (ended["delivered"], ended["cancelled"]) == (1, 2)
    sink.stop()


def test_a_retry_by_rest_does_not_wait_for_the_next_attempt(targets):
    sink = Sink(reject=(2, 3, 1)).start()
    add_target(targets, "hour", config.dicom(sink.port, attempts=5, retry=3600))
    send(targets.site, targets.folder, "hour")
    d = first_delivery(targets.site, "hour", "attempted")
    sink.reject = None
    assert post(targets.site, f"{d['delivery']}/retry")[0] == 202
    assert members_of(targets.delivery("hour", "delivered", 15)) == ALL
    sink.stop()


def test_what_failed_is_restarted_once_however_often_it_is_asked(targets):
    site = targets.site
    sink = Sink(reject=(1, 1, 7)).start()
    add_target(targets, "again", config.dicom(sink.port, attempts=1, retry=1))
    send(site, targets.folder, "again")
    d = first_delivery(site, "again", "failed")
    sink.reject = None
    first = post(site, f"{d['delivery']}/restart", key="restart-again")
    assert first[0] == 202 and len(first[1]["restarted"]) == 32
    beside = post(site, f"{d['delivery']}/restart", key="at once")  # before the ledger shows the first, or after
    assert beside[0] == 409 or beside[1]["restarted"] == first[1]["restarted"]
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", "delivered", first[1]["restarted"])
    assert post(site, f"{d['delivery']}/restart", key="restart-again") == first
    assert post(site, f"{d['delivery']}/restart", key="another")[0] == 409
    s = site.ledger_study(uid_of("again"))
    assert s["state"] == "delivered"
    assert {x["delivery"]: (x["state"], x["parent"]) for x in s["deliveries"]} == {
        d["delivery"]: ("superseded", None), first[1]["restarted"]: ("delivered", d["delivery"])}
    assert len(sink.arrived) == SLICES
    assert post(site, f"{first[1]['restarted']}/restart", key="a third")[0] == 409
    assert len(sink.arrived) == SLICES
    sink.stop()


def ends_as(site, delivery, state):
    """Waits for its end; what it was asked for, and the members that were not delivered."""
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", state, delivery)
    row, = site.query("SELECT members, members - delivered - repeated AS rest FROM deliveries WHERE delivery = %s", delivery)
    return row["members"], row["rest"]


def test_a_restart_sends_only_what_did_not_arrive(targets):
    """Two of three are refused; the restart of the rest goes wrong half-way, and so the restart of the restart."""
    site, name, refuse = targets.site, "rest", {0, 2}
    sink = Sink(answer=lambda _, sop: 0xA900 if sop in [sop_of(name, n) for n in refuse] else 0).start()
    add_target(targets, name, config.dicom(sink.port, attempts=1, retry=1))
    send(site, targets.folder, name)
    first = first_delivery(site, name, "failed")["delivery"]
    assert members_of(targets.delivery(name, "failed")) == {"delivered": 1, "failed": 2}
    arrived, refuse = len(sink.arrived), {2}
    status, answer = post(site, f"{first}/restart")
    assert (status, answer["members"]) == (202, 2)
    second = answer["restarted"]
    assert ends_as(site, second, "failed") == (2, 1)
    assert [a.sop for a in sink.arrived[arrived:]] == [sop_of(name, 0), sop_of(name, 2)]
    status, problem = post(site, f"{first}/restart")  # its restart is the one to go on with
    assert status == 409 and second in problem["detail"]
    arrived, refuse = len(sink.arrived), {}
    items = site.request("POST", "/deliveries/restart", {"reason": "mended", "target": name})[1]["items"]
    assert [(i["delivery"], i["members"]) for i in items] == [(second, 1)]
    third = items[0]["restarted"]
    assert ends_as(site, third, "delivered") == (1, 0)
    assert [a.sop for a in sink.arrived[arrived:]] == [sop_of(name, 2)]
    assert post(site, f"{third}/restart")[0] == 409
    ends = {d["delivery"]: d["state"] for d in site.settled(uid_of(name), SLICES)["deliveries"]}
    assert ends == {first: "superseded", second: "superseded", third: "delivered"}
    assert site.unbalanced(uid_of(name)) == []
    sink.stop()


def test_a_resend_sends_everything_again_on_record(targets):
    site, name = targets.site, "disk"
    sink = Sink().start()
    add_target(targets, name, config.dicom(sink.port, attempts=1, retry=1))
    send(site, targets.folder, name)
    first = targets.delivery(name, "delivered")["delivery"]
    status, problem = post(site, f"{first}/restart")
    assert status == 409 and "resend" in problem["detail"]
    answer = post(site, f"{first}/resend", key="lost its disk")
    assert answer[0] == 202 and answer[1]["members"] == SLICES
    assert ends_as(site, answer[1]["resent"], "delivered") == (SLICES, 0)
    assert post(site, f"{first}/resend", key="lost its disk") == answer
    assert sorted(a.sop for a in sink.arrived) == sorted(2 * [sop_of(name, n) for n in range(SLICES)])
    site.ledger_within(20, "SELECT body->>'why' FROM events WHERE type = 'command.answered' "
                       "AND body->>'kind' = 'resend' AND body->>'name' = %s", "a test", first)
    assert site.cli("resend", first, "--reason", "and once more").split()[:2] == [first, "resend"]
    sink.has(3 * SLICES)
    site.settled(uid_of(name), SLICES)
    assert {d["state"] for d in site.ledger_study(uid_of(name))["deliveries"]} == {"delivered"}
    assert site.unbalanced(uid_of(name)) == []
    sink.stop()


def test_a_target_that_refuses_us_for_good_is_an_alarm_until_it_takes_something(targets):
    site = targets.site
    sink = Sink(reject=(1, 1, 7)).start()
    add_target(targets, "stranger", config.dicom(sink.port, attempts=2, retry=1))
    send(site, targets.folder, "stranger")
    d = first_delivery(site, "stranger", "failed")
    assert d["attempts"] == 2 and "called AE title not recognised" in d["reason"]

    def alarms():
        return [(e["type"], e["text"]) for e in site.query(
            "SELECT type, body->>'text' AS text FROM events WHERE body->>'kind' = 'target' "
            "AND body->>'name' = 'stranger' ORDER BY at, seq")]
    raised = within(20, alarms, what="an alarm")
    assert [t for t, _ in raised] == ["alarm.raised"] and "called AE title not recognised" in raised[0][1]
    assert site.dispatcher.metric("talaria_target_refused", target="stranger") == 1
    sink.reject = None
    assert post(site, f"{d['delivery']}/restart")[0] == 202
    within(20, lambda: [t for t, _ in alarms()] == ["alarm.raised", "alarm.cleared"], what="the alarm is over")
    assert site.dispatcher.metric("talaria_target_refused", target="stranger") == 0
    sink.stop()


def test_the_alarm_of_a_target_ends_when_it_leaves_the_configuration(targets):
    site = targets.site
    without = json.loads((site.folder / "config.json").read_text())
    sink = Sink(reject=(1, 1, 7)).start()
    add_target(targets, "former", config.dicom(sink.port, attempts=1, retry=1))
    send(site, targets.folder, "former")

    def alarms():
        return [e["type"] for e in site.query("SELECT type FROM events WHERE body->>'kind' = 'target' "
                                              "AND body->>'name' = 'former' ORDER BY at, seq")]
    within(20, lambda: alarms() == ["alarm.raised"], what="an alarm")
    assert 'target="former"' in site.dispatcher.get("/metrics")[1]
    first_delivery(site, "former", "failed")
    site.apply(without)
    within(20, lambda: alarms() == ["alarm.raised", "alarm.cleared"], what="the alarm is over")
    gauges = ("talaria_target_refused", "talaria_target_up", "talaria_target_breaker_open")
    within(20, lambda: not any(line.startswith(gauges) and "former" in line
                               for line in site.dispatcher.get("/metrics")[1].splitlines()), what="no such series")
    sink.stop()


def test_the_command_line_lists_restarts_resends_and_cancels(targets):
    site = targets.site
    sink = Sink(reject=(1, 1, 7)).start()
    add_target(targets, "line", config.dicom(sink.port, attempts=1, retry=1))
    send(site, targets.folder, "line")
    d = first_delivery(site, "line", "failed")
    text = site.cli("deliveries", "--target", "line", "--state", "failed")
    assert d["delivery"] in text and "reject" in text
    sink.reject = None
    child = site.cli("restart", "--target", "line", "--reason", "it is back").split()[-1]
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", "delivered", child)
    assert site.cli("restart", "--target", "line") == ""
    code, text = site.cli("cancel", child, check=False)
    assert code != 0 and "has ended" in text
    code, text = site.cli("restart", child, check=False)
    assert code != 0 and "resend" in text
    assert site.cli("resend", child).split()[:2] == [child, "resend"]
    sink.stop()


# ---- sites of their own ----------------------------------------------------------------------

def test_what_is_open_too_long_expires_visibly_and_may_be_restarted(site, tmp_folder):
    sink = Sink(answer=lambda n, sop: "drop" if n == 1 else 0)
    site.others.append(sink)
    sink.start()
    site.up(document({"slow": config.dicom(sink.port, attempts=50, retry=3600)}), dispatcher={"expireSeconds": 6})
    send(site, tmp_folder, "slow")
    ended = first_delivery(site, "slow", "expired")
    assert (ended["delivered"], ended["failed"], ended["reason"]) == (1, 2, "expired")
    assert site.unbalanced(uid_of("slow")) == []
    status, answer = post(site, f"{ended['delivery']}/restart")
    assert (status, answer["members"]) == (202, 2)
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", "delivered", answer["restarted"])


def test_contexts_beyond_128_travel_over_further_associations(site, tmp_folder):
    """130 SOP classes in one study: private ones, as no standard has so many."""
    sink = site.sink()
    site.up(document({"many": config.dicom(sink.port)}, quiet=4))
    uid = uid_of("many")
    paths = study.save(tmp_folder / "many", [
        study.instance(f"1.3.6.1.4.1.99999.7.{n}", study=uid, series=study.uid(uid, "series"), number=n,
                       StudyDescription="many", rows=8, columns=8) for n in range(1, 131)])
    assert set(send_exactly(site.dicom, paths[:100])) == set(send_exactly(site.dicom, paths[100:])) == {0}
    site.settled(uid, 130)
    assert len({a.sop for a in sink.arrived}) == len(sink.arrived) == 130
    assert len(site.ledger_study(uid)["deliveries"]) == 1 and sink.associations == 2


def test_an_undecodable_record_goes_to_dlq_and_stops_nothing(site, tmp_folder):
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port)}))
    site.kafka.produce(f"talaria.{site.name}.delivery", "pacs", '{"specversion": "1.0", nonsense',
                       ce_type="talaria.delivery.requested.v1")
    site.ledger_within(30, "SELECT count(*) FROM rejected WHERE stage = 'dispatch'", 1)
    send(site, tmp_folder, "pacs")
    site.settled(uid_of("pacs"), SLICES)
    site.dispatcher.kill()
    site.dispatcher.start().ready()
    send(site, tmp_folder, "pacs", NumberOfFrames=1)
    within(20, lambda: len(sink.arrived) == 2 * SLICES, what="delivered after the restart")


def test_requests_for_members_that_there_are_not_harm_nobody(site, tmp_folder):
    """Positions that are none go to dlq; those that the manifest does not have fail visibly."""
    sink = site.sink()
    site.up(document({"pacs": config.dicom(sink.port, attempts=1)}))
    send(site, tmp_folder, "pacs")
    parent, = site.settled(uid_of("pacs"), SLICES)["deliveries"]
    request = json.loads(site.value("SELECT request FROM deliveries WHERE delivery = %s", parent["delivery"]))
    for child, members, positions in (("overlapping", 4, "0-2,2"), ("beyond", 2, "0,7"), ("some", 2, "0,2")):
        data = {**request, "delivery": child, "parent": parent["delivery"], "members": members, "positions": positions}
        site.kafka.produce(f"talaria.{site.name}.delivery", "pacs", json.dumps({
            "specversion": "1.0", "id": child, "source": "/test", "type": "talaria.delivery.requested.v1", "data": data}),
            ce_type="talaria.delivery.requested.v1")
    site.ledger_within(20, "SELECT state::text FROM deliveries WHERE delivery = %s", "delivered", "some")
    site.ledger_within(20, "SELECT reason FROM deliveries WHERE delivery = %s",
                       "after 1 attempts: manifest: 3 members instead of 8 or more", "beyond")
    assert [a.sop for a in sink.arrived[SLICES:]] == [sop_of("pacs", n) for n in (0, 2)]
    site.ledger_within(20, "SELECT count(*) FROM rejected WHERE stage = 'dispatch' AND error LIKE '%%/positions%%'", 1)
    assert site.query("SELECT * FROM deliveries WHERE delivery = 'overlapping'") == []


OPEN = 10000


def dead_requests(site):
    """Requests of 200 members each, as long as real ones, for a target that is not there."""
    for i in range(OPEN):
        uid, name = study.uid("ten thousand", i), f"{i:032x}"
        yield json.dumps({
            "specversion": "1.0", "id": name, "source": "/talaria/test/router/1", "subject": name,
            "type": "talaria.delivery.requested.v1", "time": "2026-01-01T00:00:00Z",
            "data": {"delivery": name, "decision": name, "target": "dead", "study": uid, "series": uid, "members": 200,
                     "patientHash": name, "callingAe": "MODALITY", "calledAe": "TALARIA", "peer": "127.0.0.1",
                     "manifest": {"key": f"manifests/00/{uid}/{uid}/{name}.1.json", "sha256": "0" * 64}}})


RETRY = 600  # far beyond every bound below: what waits for a delivery of the dead target waits too long


def test_ten_thousand_deliveries_for_a_dead_target_hold_up_nobody(site, tmp_folder):
    """How fast the others are beside these is measured: `bench.py --only "dead target"`."""
    sink = site.sink()
    site.up(config.document(
        {"good": config.dicom(sink.port), "dead": config.dicom(free_port(), attempts=1000, retry=RETRY)},
        {"to-good": config.rule("'good' in tags.StudyDescription", "good")}))
    site.kafka.produce(f"talaria.{site.name}.delivery", "dead", *dead_requests(site),
                       ce_type="talaria.delivery.requested.v1")

    def all_open():
        return site.dispatcher.metric("talaria_deliveries_open") == OPEN

    def goes_past(name):
        send(site, tmp_folder, name, series=16)
        deliveries = site.settled(uid_of(name), 16 * SLICES, seconds=RETRY / 10)["deliveries"]
        assert {d["attempts"] for d in deliveries} == {1}
    within(60, all_open, what="all known to the dispatcher")
    goes_past("good-1")
    site.ledger_within(120, "SELECT count(*) FROM deliveries WHERE target = 'dead'", OPEN)
    site.dispatcher.kill()
    site.dispatcher.start().ready()
    within(60, all_open, what="all known again")
    goes_past("good-2")
    assert len(sink.arrived) == len({a.sop for a in sink.arrived}) == 2 * 16 * SLICES
