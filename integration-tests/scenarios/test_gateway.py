"""What the gateway promises to people and programs."""
import hashlib
import http.client
import json
import re

import pytest

from kit import config, pdu, study
from kit.compare import dataset
from kit.openapi import Document
from kit.ports import free_port
from kit.senders import send_exactly
from kit.wait import patient, within

WORKERS = ("receiver", "router", "dispatcher", "bookkeeper", "gateway")


def ask(site, method, path, body=None, **headers):
    """(status, content type, headers, body: decoded if JSON)"""
    c = http.client.HTTPConnection("127.0.0.1", site.web, timeout=patient(10))
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        c.request(method, path, data, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        kind, text = r.getheader("Content-Type", ""), r.read()
        return r.status, kind, dict(r.getheaders()), json.loads(text) if "json" in kind else text
    finally:
        c.close()


def problem(answer, status):
    """The body of an answer that must be a problem with this status."""
    got, kind, _, body = answer
    assert (got, kind, body.get("status")) == (status, "application/problem+json", status), answer
    assert body["type"].startswith("urn:talaria:problem:") and body["title"] and body["detail"]
    return body


def put(site, document, if_match=None, **headers):
    if if_match is not None:
        headers["If_Match"] = if_match
    return ask(site, "PUT", "/api/v1/config", document, Content_Type="application/json", **headers)


def current(site):
    status, _, headers, body = ask(site, "GET", "/api/v1/config")
    assert status == 200
    return headers["ETag"].strip('"'), body


def sent_study(site, tmp_folder, seed=30, slices=2):
    paths = study.study(tmp_folder / str(seed), seed=seed, slices=slices)
    assert set(send_exactly(site.dicom, paths)) == {0}
    return study.uid(seed, "study"), study.uid(seed, "series", 0)


# ---- the interface ---------------------------------------------------------------------------

def test_every_route_answers_as_its_document_says(site, tmp_folder):
    site.up(config.document({"archive": config.folder(tmp_folder / "archive"),
                             "closed": config.dicom(free_port(), attempts=1),
                             "shut": config.dicom(free_port(), attempts=1),
                             "paused": config.dicom(free_port(), paused=True),
                             "halted": config.dicom(free_port(), paused=True)}))
    uid, series = sent_study(site, tmp_folder)
    site.ledger_within(30, "SELECT count(*) FROM deliveries WHERE state = 'failed'", 2)
    site.ledger_within(30, "SELECT count(*) FROM deliveries WHERE state = 'requested' AND study IS NOT NULL", 2)
    document, faults, seen = Document(), [], set()
    etag, body = current(site)
    right = {"study": uid, "series": series, "hold": "a-hold"}
    of_target = {r["target"]: r["delivery"] for r in site.query("SELECT target, delivery FROM deliveries")}
    acted_on = {"cancelDelivery": of_target["paused"], "retryDelivery": of_target["halted"],
                "restartDelivery": of_target["shut"], "resendDelivery": of_target["archive"]}
    failed = of_target["closed"]
    because, reason = {"why": "a test"}, {"reason": "a test"}
    bodies = {"putConfig": [body, {"rules": 7}, b"{"], "checkConfig": [body, {"nonsense": 1}, b"", b"\xff"],
              "setHold": [{"study": uid, **because}, {"study": uid}, {"receipts": ["x"], **because}, {}],
              "releaseHold": [because],
              **{action: [reason, {}, {"reason": 7}, b"{"] for action in acted_on},
              "restartDeliveries": [{"ids": ["none"], **reason}, {"target": "x", "ids": ["none"], **reason}, {}],
              "resendDeliveries": [{"ids": [of_target["archive"], "none"], **reason}, {"ids": [], **reason}, reason],
              "replayStudy": [{"dryRun": True, **reason}, {"decisions": ["none"], **reason}, {"rules": 7, **reason}, {}],
              "rerouteStudy": [{"targets": ["archive"], "dryRun": True, **reason}, {"targets": [], **reason}, reason],
              "dismiss": [{"kind": "delivery", "id": failed, **because}, {"kind": "delivery", "id": "none", **because},
                          {"kind": "person", "id": failed, **because}],
              "testRule": [{"rule": "tags.Modality == 'CT'", "tags": {"Modality": "CT"}}, {"rule": "tags."}, {}, []]}
    queries = {"listStudies": ["", "?q=DEMO", "?state=failed&limit=1", "?limit=x", "?limit=501", "?cursor=nonsense",
                               "?state=nonsense", "?q=%25%27%22%5C", "?q=%FF%FE"],
               "listDeliveries": ["", "?state=open", "?state=failed", "?target=archive&limit=1", f"?study={uid}", "?limit=-1",
                                  "?cursor=nonsense", "?state=nonsense"],
               "listEvents": ["", "?after=0", "?after=1&limit=2", "?after=-1", "?limit=99999999999999999999"]}

    def check(method, template, path, data=None, **headers):
        status, kind, _, answer = ask(site, method, path, data, **headers)
        seen.add((method, template, status))
        faults.extend(f"{method} {path} {status}: {f}" for f in document.check(method, template, status, kind, answer))
        return status, answer

    for method, template, operation in document.operations():
        name = operation["operationId"]
        if method == "GET":
            for query in queries.get(name, [""]):
                check(method, template, template.format(**right) + query)
            if "{" in template:
                for wrong in ("1.2.3", "%2e%2e", "x'y", "%00", "a" * 3000, "%FF"):
                    check(method, template, template.format(study=wrong, series=wrong))
        path = template.format(**right, delivery=acted_on.get(name))
        if name in acted_on:
            check(method, template, template.format(delivery="none"), reason, Content_Type="application/json")
        if name in ("replayStudy", "rerouteStudy"):
            check(method, template, template.format(study="1.2.3"), bodies[name][0], Content_Type="application/json")
        for data in bodies.get(name, ()):
            for kind, match in (("application/json", etag), ("text/plain", etag), ("application/json", '"99-0"')):
                check(method, template, path, data, Content_Type=kind, If_Match=match, Idempotency_Key="a-hold")
        if method == "PUT":
            check(method, template, path, body, Content_Type="application/json")
        if method == "DELETE":
            check(method, template, template.format(hold="nothing"), because, Content_Type="application/json")
        if method != "GET":
            check(method, template, path, b" " * (5 << 20), Content_Type="application/json")
    assert not faults, "\n".join(faults)
    for method, template, operation in document.operations():
        assert any((method, template, s) in seen for s in (200, 201, 202)), f"{method} {template} never answered 200"
        if "404" in operation["responses"]:
            assert (method, template, 404) in seen, f"{method} {template} never answered 404"
    assert {s for _, _, s in seen} >= {200, 400, 404, 412, 413, 415, 422, 428}


def test_what_has_no_route_is_a_problem_too(site):
    site.start("gateway")
    problem(ask(site, "GET", "/api/v1/nothing"), 404)
    problem(ask(site, "GET", "/api/v1/studies/1.2/3"), 404)
    problem(ask(site, "DELETE", "/api/v1/config"), 405)
    problem(ask(site, "POST", "/api/v1/status", {}), 405)
    problem(ask(site, "GET", "/api/v1/status", Host="evil.example"), 421)
    assert ask(site, "GET", "/api/v1/status")[0] == 200
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/api/v1/../../x"):
        problem(ask(site, "GET", path), 404)


def test_a_token_is_asked_for_where_one_is_set(site, tmp_folder):
    (tmp_folder / "token").write_text("correct horse battery\n")
    site.start("gateway", apiTokenFile=tmp_folder / "token")
    for path in ("/api/v1/status", "/api/v1/studies", "/api/v1/config"):
        problem(ask(site, "GET", path), 401)
        problem(ask(site, "GET", path, Authorization="Bearer correct horse batter"), 401)
        problem(ask(site, "GET", path, Authorization="Basic correct horse battery"), 401)
        assert ask(site, "GET", path, Authorization="Bearer correct horse battery")[0] == 200
    assert ask(site, "GET", "/")[0] == 200
    assert "correct horse battery" not in site.gateway.log()


def test_the_study_page_tells_the_stages(site, tmp_folder):
    site.up(config.document({"archive": config.folder(tmp_folder / "archive")}))
    uid, series = sent_study(site, tmp_folder, slices=3)
    told = site.settled(uid, 3)
    stages = {s["stage"]: (s["done"], s["open"], s["failed"]) for s in told["stages"]}
    assert stages["received"] == (3, 0, 0) and stages["decided"] == (3, 0, 0)
    assert stages["delivered"][0] > 0 and stages["delivered"][1:] == (0, 0)
    status, listed = site.request("GET", "/studies")
    assert status == 200 and [s["study"] for s in listed["items"]] == [uid]
    status, detail = site.request("GET", f"/series/{series}")
    assert status == 200 and len(detail["items"][0]["items"]) == 3
    status, present = site.request("GET", "/status")
    assert status == 200 and present["deliveries"]["open"] == 0 and present["receipts"]["undecided"] == 0


# ---- configuration ---------------------------------------------------------------------------

VALID = {"rules": {"r": {"rule": "tags.Modality == 'CT'", "targets": ["t"]}}, "targets": {"t": {"type": "dummy"}}}
INVALID = [
    ({**VALID, "rules": {"r": {"rule": "tags.Modality ==", "targets": ["t"]}}}, "/rules/r/rule"),
    ({**VALID, "rules": {"r": {"rule": "True", "targets": ["nowhere"]}}}, "/rules/r/targets/0"),
    ({**VALID, "targets": {"t": {"type": "dicom"}}}, "/targets/t/dicom"),
    ({**VALID, "targets": {"t": {"type": "carrier pigeon"}}}, "/targets/t/type"),
    ({**VALID, "sources": {"s": {"addresses": ["10.0.0.0/99"]}}}, "/sources/s/addresses/0"),
    ({**VALID, "sources": {"s": {"callingAes": "CT"}}}, "/sources/s/callingAes"),
    ({**VALID, "defaults": {"quietSeconds": -5}}, "/defaults/quietSeconds"),
    ({**VALID, "defaults": {"extraTags": ["NoSuchKeyword"]}}, "/defaults/extraTags/0"),
    ({**VALID, "targts": {}}, "/targts"),
]


def test_a_change_names_what_it_replaces(site):
    site.start("gateway")
    first, body = current(site)
    assert (first, body) == ("0", {})
    problem(put(site, VALID), 428)
    problem(put(site, VALID, ""), 428)
    status, _, headers, saved = put(site, VALID, first, Talaria_User="anna", Talaria_Reason="go-live")
    assert status == 200 and saved["published"] and headers["ETag"].strip('"') == saved["revision"]
    stale = put(site, {}, first)
    problem(stale, 412)
    assert stale[2]["ETag"].strip('"') == saved["revision"]
    for nonsense in ("x", "1", "1-", '"', "1-" + "0" * 500, f'{saved["revision"]}, "2-x"'):
        problem(put(site, {}, nonsense), 412)
    assert current(site) == (saved["revision"], VALID)
    _, revisions = site.request("GET", "/config/revisions")
    newest = revisions["items"][0]
    assert (newest["revision"], newest["by"], newest["why"]) == (saved["revision"], "anna", "go-live")


@pytest.mark.parametrize("document, pointer", INVALID, ids=[p for _, p in INVALID])
def test_an_invalid_document_is_refused_with_the_place_and_the_reason(site, document, pointer):
    site.start("gateway", "receiver")
    revision = site.apply(VALID)
    for answer in (put(site, document, revision),
                   ask(site, "POST", "/api/v1/config/check", document, Content_Type="application/json")):
        errors = problem(answer, 422)["errors"]
        assert pointer in [e["pointer"] for e in errors], errors
        assert all(e["reason"] for e in errors)
    assert current(site) == (revision, VALID)
    assert site.receiver.metric("talaria_config_info", revision=revision) == 1


def test_all_faults_of_a_document_are_told_at_once(site):
    site.start("gateway")
    document = {"targets": {"a b": {"type": "dummy"}, "c": {"type": "nonsense"}}, "defaults": {"keepSeconds": "x"}}
    errors = problem(ask(site, "POST", "/api/v1/config/check", document, Content_Type="application/json"), 422)["errors"]
    assert len({e["pointer"] for e in errors}) >= 3, errors


def test_export_and_apply_change_nothing(site, tmp_folder):
    site.start("gateway")
    text = json.dumps(VALID, indent=3) + "\n"
    (tmp_folder / "first.json").write_text(text)
    revision = site.cli("apply", tmp_folder / "first.json", "--why", "first").split()[-1]
    exported = site.cli("export")
    (tmp_folder / "exported.json").write_text(exported)
    assert json.loads(exported) == VALID
    assert site.cli("apply", tmp_folder / "exported.json").split()[-1] == revision
    assert site.cli("export") == exported
    _, revisions = site.request("GET", "/config/revisions")
    assert [r["revision"] for r in revisions["items"]] == [revision]


def test_an_invalid_published_document_replaces_nothing(site, tmp_folder):
    """Somebody writes around the gateway's check: what ran keeps running, and the next valid one counts."""
    site.up(config.document({"archive": config.folder(tmp_folder / "archive")}))
    revision, valid = current(site)
    text = '{"rules": {"r": {"rule": "this is (no rule", "targets": ["nowhere"]}}}'
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    number = int(revision.split("-")[0]) + 1
    site.query("INSERT INTO config_revisions (number, revision, document, sha256, by_user, why) "
               "VALUES (%s, %s, %s, %s, 'mallory', '')", number, f"{number}-{sha256[:12]}", text, sha256)
    site.query("UPDATE config_current SET number = %s, revision = %s", number, f"{number}-{sha256[:12]}")
    workers = ("receiver", "router", "dispatcher", "gateway")
    for name in workers:
        worker = site.services[f"{name}-1"]
        within(20, lambda w=worker: f"{number}-{sha256[:12]}" in w.log(), what=f"{name} has heard of it")
    for name in workers:
        assert site.services[f"{name}-1"].metric("talaria_config_info", revision=revision) == 1, name
    uid, _ = sent_study(site, tmp_folder)
    site.settled(uid, 2)
    site.apply({**valid, "defaults": {"quietSeconds": 2}})


# ---- rules -----------------------------------------------------------------------------------

def rule_test(site, rule, **tags):
    return ask(site, "POST", "/api/v1/rules/test", {"rule": rule, "tags": tags}, Content_Type="application/json")


def test_a_rule_is_tried_and_every_clause_explained(site):
    site.start("gateway")
    status, _, _, told = rule_test(site, "tags.Modality == 'CT' and 'HEAD' in tags.BodyPartExamined.upper()",
                                   Modality="CT", BodyPartExamined="head")
    assert (status, told["verdict"]) == (200, "match")
    clauses = {c["source"]: c["value"] for c in told["clauses"]}
    assert clauses["tags.Modality == 'CT'"].lower() == "true"
    assert any(c["depth"] == 0 and c["source"].startswith("tags.Modality == 'CT' and") for c in told["clauses"])
    assert rule_test(site, "tags.Modality == 'CT'", Modality="MR")[3]["verdict"] == "no match"
    assert rule_test(site, "tags.Modality == 'CT'")[3]["verdict"] == "no match"
    assert rule_test(site, "float(tags.SliceThickness) < 2", SliceThickness="1.5")[3]["verdict"] == "match"
    assert rule_test(site, "1/0 == 1")[3]["verdict"] == "error"
    errors = problem(rule_test(site, "tags.Modality = 'CT'"), 422)["errors"]
    assert errors[0]["pointer"] == "/rule" and errors[0]["reason"]
    for hostile in ("__import__('os').system('id')", "().__class__", "(" * 5000, "'a' * 10**9", "tags.a" * 2000):
        answer = rule_test(site, hostile)
        assert answer[0] in (200, 422), answer
        assert answer[0] == 422 or answer[3]["verdict"] != "match"


# ---- every worker ----------------------------------------------------------------------------

def test_every_worker_tells_health_readiness_and_figures(site):
    site.start()
    for name in WORKERS:
        worker = site.services[f"{name}-1"]
        assert worker.get("/healthz")[0] == 200, name
        status, text = worker.get("/readyz")
        assert status == 200 and json.loads(text)["ready"] is True, name
        status, text = worker.get("/metrics")
        assert status == 200 and f'talaria_build_info{{service="{name}"' in text, name
        assert re.search(r"^process_resident_memory_bytes [1-9]", text, re.M), name
        assert worker.get("/nothing")[0] == 404, name


def test_no_patient_appears_in_logs_figures_or_addresses(site, tmp_folder):
    """A canary in everything that names a person; delivered, failed, malformed, searched for, and refused."""
    site.up(config.document({"archive": config.folder(tmp_folder / "archive"),
                             "closed": config.dicom(free_port(), attempts=2, retry=1)},
                            {"all": config.rule("True", "archive", "closed"),
                             "odd": config.rule("tags.PatientID + 1 == 2", "archive")}))
    canaries = dict(PatientName="CANARYNAME^Xenia", PatientID="CANARYID77", PatientBirthDate="19010203",
                    AccessionNumber="CANARYACC", OtherPatientIDs="CANARYOTHER", ImageComments="CANARYCOMMENT",
                    ReferringPhysicianName="CANARYDOCTOR")
    paths = study.study(tmp_folder / "sent", seed=40, slices=2, **canaries)
    assert send_exactly(site.dicom, paths) == [0, 0]
    uid = study.uid(40, "study")
    with pdu.Sender.to(site.dicom) as s:  # malformed, without ids, and cut off inside
        s.associate([(study.CT, [pdu.EXPLICIT])])
        data = dataset(paths[0])
        assert s.store(1, study.CT, "1.2.3", data[:300]) == 0xC000
        s.send(pdu.message(1, pdu.store_rq(study.CT, "1.2.3", 2), data)[:600])
    site.settled(uid, 2, "failed")
    for value in ("CANARYID77", "CANARYACC", "CANARYNAME"):
        assert site.request("GET", f"/studies?q={value}")[0] == 200
        site.request("GET", f"/studies/{value}")
        site.request("GET", f"/nothing/{value}?x={value}")
    rule_test(site, "tags.PatientName", PatientName="CANARYNAME")
    found = site.request("GET", "/studies?q=CANARYID77")[1]
    assert [s["study"] for s in found["items"]] == [uid], "the search itself works"
    metrics = {name: site.services[f"{name}-1"].get("/metrics")[1] for name in WORKERS}
    for name in WORKERS:
        for where, text in (("log", site.services[f"{name}-1"].log()), ("metrics", metrics[name])):
            told = [line for line in text.splitlines() if "CANARY" in line or "19010203" in line]
            assert not told, f"{name}'s {where}: {told}"
    assert site.value("SELECT count(*) FROM events WHERE body::text ~ 'CANARY'") == 0
    assert site.value("SELECT count(*) FROM events") > 0
    assert not [p for p in site.store.rglob("*") if "CANARY" in p.name]
