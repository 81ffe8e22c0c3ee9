"""Who should get what: the rules once as Talaria reads them, once in Python; and the books at the end of a round."""
import hashlib
import json
from collections import Counter, defaultdict

from kit import config

# name: (expression, the same in Python, targets)
RULES = {
    "images": ("tags.Modality == 'CT' or tags.Modality == 'MR'", lambda m, b: m in ("CT", "MR"), ("pacs",)),
    "ct": ("tags.Modality == 'CT'", lambda m, b: m == "CT", ("slow",)),
    "chest": ("'CHEST' in tags.BodyPartExamined", lambda m, b: "CHEST" in b, ("archive",)),
    "never": ("tags.Modality == 'NM'", lambda m, b: m == "NM", ("research",)),
}
DISCARD = ("scouts", "tags.BodyPartExamined == 'SCOUT'", lambda m, b: b == "SCOUT")
# An instance that its worker held at two crashes in a row is set aside, visibly: that is what happens to poison, and
# random kills look like it now and then. It must come back when somebody asks for it (`talaria recover`).
IN_HAND = "in hand when its worker died%"
TARGETS = ("pacs", "slow", "archive", "research")


def document(ports, odd):
    """ports: of the targets. odd: every second configuration sends chests to research, too."""
    targets = {t: config.dicom(ports[t], attempts=200) for t in TARGETS}
    rules = {name: config.rule(expression, *to) for name, (expression, _, to) in RULES.items()}
    if odd:
        rules["chest"]["targets"].append("research")
    rules[DISCARD[0]] = config.rule(DISCARD[1], action="discard")
    sources = {"quiet": {"callingAes": ["QUIET"]},
               "release": {"callingAes": ["RELEASE"], "completion": "release", "graceSeconds": 1}}
    return config.document(targets, rules, sources, quiet=1, keepSeconds=1, offPeakStart="00:00", offPeakEnd="23:59")


def expected(sent, rules):
    """The targets of an instance under the rules of one revision."""
    modality, body_part = sent.modality, sent.body_part
    if DISCARD[2](modality, body_part):
        return set()
    return {t for name, (_, matches, _) in RULES.items() if matches(modality, body_part)
            for t in rules[name]["targets"]}


class Books:
    """What ledger, targets and journal say of one round; problems: sentences, empty if all is well."""

    def __init__(self, site, journal, arrived, forgiven, earlier=None):
        """arrived: {target: [(sop, sha256)]} of what was answered 0000, or not at all, and so may be kept.
        forgiven: copies that zombies may have sent on without being on record. earlier: {sop: Sent} of earlier rounds,
        whose unacknowledged objects `talaria recover` has announced."""
        self.site, self.journal, self.forgiven, self.earlier = site, journal, forgiven, earlier or {}
        self.arrived = {t: Counter(a) for t, a in arrived.items()}
        self.problems, self.counts = [], Counter()
        self.studies = list(journal.studies)
        self._rules()
        self._members()
        self.balances()
        self.receipts()
        self.targets()

    def problem(self, kind, text):
        self.counts[kind] += 1
        if self.counts[kind] <= 5:
            self.problems.append(f"{kind}: {text}")

    def _rules(self):
        self.rules = {r["revision"]: json.loads(r["document"])["rules"]
                      for r in self.site.query("SELECT revision, document FROM config_revisions")}

    def _members(self):
        self.receipts_of, self.decided = defaultdict(list), defaultdict(list)
        for r in self.site.query("SELECT receipt, sop, sha256, state::text FROM receipts WHERE study = ANY (%s)",
                                 self.studies):
            self.receipts_of[r["sop"]].append(r)
        self.member_rows = self.site.query(
            "SELECT m.receipt, m.sop, m.role::text, m.position, d.decision, d.kind, d.command, d.revision "
            "FROM decisions d JOIN members m USING (decision) WHERE d.study = ANY (%s)", self.studies)
        for m in self.member_rows:
            self.decided[m["receipt"]].append(m)

    def balances(self):
        code, text = self.site.cli("ledger", check=False)
        if code:
            self.problem("ledger", text)
        for d in self.site.query(
                "SELECT delivery, target, state::text FROM deliveries WHERE study = ANY (%s) AND (state < 'delivered' OR members "
                "<> COALESCE(delivered,0) + COALESCE(repeated,0) + COALESCE(not_accepted,0) + COALESCE(failed,0) "
                "+ COALESCE(cancelled,0))", self.studies):
            self.problem("open", f"delivery {d}")
        for r in self.site.query("SELECT * FROM rejected WHERE NOT (stage = 'decide' AND error LIKE %s)", IN_HAND):
            self.problem("rejected", f"{r}")
        self.counts["void choices"] += self.site.value("SELECT count(*) FROM void_choices")
        self.counts["late windows"] += self.site.value(
            "SELECT count(*) FROM decisions WHERE addition > 1 AND study = ANY (%s)", self.studies)

    def receipts(self):
        """Each acknowledgement has its receipt, each receipt its one decision."""
        for sop, sent in self.journal.sent.items():
            got = self.receipts_of[sop]
            self.counts["acknowledgements"] += sent.acknowledged
            self.counts["acknowledged"] += sent.acknowledged > 0
            self.counts["sends"] += sent.sends
            self.counts["receipts"] += len(got)
            if len(got) < sent.acknowledged:
                self.problem("lost", f"{sop} was acknowledged {sent.acknowledged} times, has {len(got)} receipts")
            for r in got:
                windows = [m for m in self.decided[r["receipt"]] if m["kind"] == "series" and not m["command"]]
                if len(windows) > 1:
                    self.problem("decided twice", f"receipt {r['receipt']}: {windows}")
                if not windows and r["state"] != "failed":
                    self.problem("lost", f"receipt {r['receipt']} of {sop} is in no decision ({r['state']})")
                if r["sha256"] != sent.sha256:
                    self.problem("changed", f"receipt {r['receipt']} of {sop}: {r['sha256']}")

    def targets(self):
        """Each target got what the rules of the decisions name, byte for byte, and nothing else."""
        self.outcomes, beyond = self._outcomes(), 0
        for sop, sent in self.journal.sent.items():
            wanted = set()
            for r in self.receipts_of[sop]:
                for m in self.decided[r["receipt"]]:
                    wanted |= expected(sent, self.rules[m["revision"]])
            for target in TARGETS:
                beyond += self._at_target(sop, sent, target, target in wanted, self.outcomes[target, sop])
        for target, arrivals in self.arrived.items():
            for (sop, sha256), n in arrivals.items():
                if sop not in self.journal.sent and self._earlier(target, sop, sha256):
                    self.counts["orphans brought back"] += n
                elif sop not in self.journal.sent:
                    self.problem("misdelivered", f"{target} has {sop} ({n}), which nobody sent in this round")
        self.counts["copies not on record"] += beyond
        if beyond > self.forgiven:
            self.problem("unexplained copies", f"{beyond} beyond what is on record, {self.forgiven} can be explained")

    def _earlier(self, target, sop, sha256):
        """An orphan of an earlier round may come where any revision sends it."""
        sent = self.earlier.get(sop)
        return sent and sent.sha256 == sha256 and any(target in expected(sent, r) for r in self.rules.values())

    def _at_target(self, sop, sent, target, wanted, outcome):
        """Checks one instance at one target; the copies that nothing explains."""
        n = self.arrived[target][sop, sent.sha256]
        other = sum(k for (s, sha), k in self.arrived[target].items() if s == sop and sha != sent.sha256) \
            if n != self.count_of(target, sop) else 0
        if other:
            self.problem("changed", f"{target} has {sop} with other bytes")
        if n and not wanted:
            self.problem("misdelivered", f"{target} has {sop} ({sent.modality}, {sent.body_part})")
        if not wanted:
            return 0
        self.counts["owed"] += sent.acknowledged > 0
        if not n and outcome["failed"]:
            self.counts["visibly failed"] += 1
        elif not n and sent.acknowledged:
            self.problem("lost", f"{sop} is not at {target}: {dict(outcome)}")
        self.counts["deliveries"] += n
        self.counts["copies"] += max(0, n - 1)
        return 0 if outcome["repeated"] else max(0, n - outcome["delivered"] - outcome["failed"])

    def count_of(self, target, sop):
        if not hasattr(self, "_by_sop"):
            self._by_sop = {t: Counter() for t in self.arrived}
            for t, arrivals in self.arrived.items():
                for (s, _), k in arrivals.items():
                    self._by_sop[t][s] += k
        return self._by_sop[target][sop]

    def _outcomes(self):
        """{(target, sop): Counter of member states} over all deliveries of the round."""
        out = defaultdict(Counter)
        for r in self.site.query(
                "SELECT d.target, m.sop, s.state::text, count(*) AS n FROM deliveries d "
                "JOIN members m ON m.decision = d.decision AND m.role = 'member' "
                "JOIN delivery_members s ON s.delivery = d.delivery AND s.position = m.position "
                "WHERE d.study = ANY (%s) GROUP BY 1, 2, 3", self.studies):
            out[r["target"], r["sop"]][r["state"]] += r["n"]
        return out


def digest(data):
    return hashlib.sha256(data).hexdigest()
