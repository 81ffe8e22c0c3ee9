"""Rows of the result: medians, ratios, spreads; as one table and as JSON."""
import statistics


def number(value, unit=""):
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


class Row:
    """One case. ours, peers: figures of all runs. more_is_better decides the direction of the ratio."""

    def __init__(self, case, unit, more_is_better=True, target=None, ratio_target=None, peer_name="", note=""):
        self.case, self.unit, self.more = case, unit, more_is_better
        self.target, self.ratio_target = target, ratio_target
        self.peer_name, self.note = peer_name, note
        self.ours, self.peer = [], []
        self.missing = None

    def median(self, side):
        return statistics.median(side) if side else None

    def ratio(self):
        a, b = self.median(self.ours), self.median(self.peer)
        if a is None or b is None or not a or not b:
            return None
        return a / b if self.more else b / a

    def aims(self):
        out = []
        if self.ratio_target is not None:
            out.append(f"≥ {self.ratio_target:g} ×")
        if self.target is not None:
            out.append(f"{'≥' if self.more else '≤'} {number(self.target)}")
        return ", ".join(out) or "-"

    def met(self):
        """True, False, or None where there is nothing to compare."""
        seen = []
        if self.target is not None and self.ours:
            value = self.median(self.ours)
            seen.append(value >= self.target if self.more else value <= self.target)
        if self.ratio_target is not None:
            seen.append(None if self.ratio() is None else self.ratio() >= self.ratio_target)
        return None if not seen or None in seen else all(seen)

    def spread(self):
        def one(side):
            return f"{number(min(side))}–{number(max(side))}" if side else "-"
        return one(self.ours) + (f"; {one(self.peer)}" if self.peer else "")

    def cells(self):
        if self.missing:
            return [self.case, "not measured", self.peer_name or "-", "-", "-", self.aims(), "", self.missing]
        peer = f"{number(self.median(self.peer))} ({self.peer_name})" if self.peer else "-"
        verdict = {True: "met", False: "missed", None: ""}[self.met()]
        ratio = self.ratio()
        return [self.case, number(self.median(self.ours), self.unit), peer,
                f"{number(ratio)} ×" if ratio else "-", self.spread(), self.aims(), verdict, self.note]

    def json(self):
        return {"case": self.case, "unit": self.unit, "moreIsBetter": self.more, "ours": self.ours,
                "peer": self.peer, "peerName": self.peer_name, "median": self.median(self.ours),
                "peerMedian": self.median(self.peer), "ratio": self.ratio(), "target": self.target,
                "ratioTarget": self.ratio_target, "met": self.met(), "missing": self.missing,
                "note": self.note}


def text(rows):
    titles = ["CASE", "OURS", "PEER", "RATIO", "SPREAD (OURS; PEER)", "TARGET", "", "NOTE"]
    lines = [titles] + [r.cells() for r in rows]
    widths = [max(len(line[c]) for line in lines) for c in range(len(titles))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
