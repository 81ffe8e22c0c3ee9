#!/usr/bin/python3
"""Follows one study through the gateway's REST interface until it has ended, and prints each stage as it is
passed: show.py GATEWAY STUDY [SECONDS]. Exit status 1: it failed, or did not end in time."""
import datetime
import json
import select
import sys
import urllib.error
import urllib.request


def get(gateway, path):
    try:
        with urllib.request.urlopen(f"{gateway}/api/v1{path}", timeout=5) as r:
            return json.load(r)
    except urllib.error.HTTPError as e:
        if e.code == 404:  # nothing of it is in the ledger yet
            return None
        raise


def moment(text):
    return datetime.datetime.fromisoformat(text)


def after(start, text):
    return f"{(moment(text) - start).total_seconds():7.2f} s"


def label(study, uid):
    """Modality and description of a series."""
    for s in study["series"]:
        if s["series"] == uid:
            return f"{s['modality'] or '?'} {s['description'] or ''}".strip()
    return "study"


def lines(study):
    """(key, text) of everything that has happened; a key is printed once."""
    if not study["series"]:
        return
    start = min(moment(s["firstAt"]) for s in study["series"])
    instances = sum(s["instances"] for s in study["series"])
    if all(a["outcome"] == "released" for s in study["series"] for a in s["associations"]) and \
            all(s["associations"] for s in study["series"]):
        last = max(s["lastAt"] for s in study["series"])
        yield "received", (f"{after(start, last)}  received    {instances} instances in {len(study['series'])} "
                           f"series, {sum(s['bytes'] for s in study['series']) / 1e6:.1f} MB, on stable storage")
    for d in study["decisions"]:
        fired = ", ".join(d["fired"] or {}) or "no rule"
        how = f"discarded by {d['discardedBy']}" if d["discardedBy"] else f"rules: {fired}"
        yield d["decision"], (f"{after(start, d['decidedAt'])}  decided     {label(study, d['series'])}: "
                              f"{d['instances']} instances, {d['reason']}; {how}")
    for d in study["deliveries"]:
        if d["finishedAt"]:
            m = d["members"]
            text = f"{m['delivered'] + m['repeated']} of {m['asked']} instances"
            if d["state"] != "delivered":
                text += f"; {d['reason'] or 'no reason given'}"
            yield d["delivery"], (f"{after(start, d['finishedAt'])}  {d['state']:<11} to {d['target']}: "
                                  f"{label(study, d['series'])}, {text}")
        elif d["attempts"] and d["reason"]:
            yield (d["delivery"], d["attempts"]), (
                f"{after(start, d['attemptedAt'])}  retrying    to {d['target']}: {d['reason']}; "
                f"next attempt {d['nextDue'] or 'at once'}")


def ended(study):
    """Every series was decided, and every delivery that was asked for has ended."""
    decided = {d["series"] for d in study["decisions"]}
    return bool(study["series"]) and all(s["undecided"] == 0 and s["series"] in decided for s in study["series"]) \
        and all(d["finishedAt"] for d in study["deliveries"]) and bool(study["deliveries"])


def main():
    gateway, uid = sys.argv[1:3]
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 90
    printed, study, waited = set(), None, 0.0
    print(f"\nStudy {uid}")
    while True:
        study = get(gateway, f"/studies/{uid}")
        for key, text in lines(study) if study else ():
            if key not in printed:
                printed.add(key)
                print("  " + text, flush=True)
        if study and ended(study):
            break
        if waited >= limit:
            print(f"  not at its end after {limit:.0f} s", file=sys.stderr)
            return 1
        select.select([], [], [], 0.1)
        waited += 0.1
    bad = [d for d in study["deliveries"] if d["state"] not in ("delivered", "superseded")]
    print(f"  the whole study: {gateway}/api/v1/studies/{uid}")
    return 1 if bad or study["rejected"] else 0


if __name__ == "__main__":
    sys.exit(main())
