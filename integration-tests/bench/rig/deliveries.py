"""The dispatcher alone: many small deliveries, and 10,000 open ones for a target that is not there."""
import json
import time

from kit.ports import free_port
from kit.wait import within
from rig.engines import Missing, Site
from rig.load import Sink, load

PACS = "pacs"
OPEN = 10000
AT_ONCE = 16  # associations that send what is to wait


def document(port, paused):
    return {"defaults": {"quietSeconds": 2},
            "targets": {PACS: {"type": "dicom", "dicom": {"host": "127.0.0.1", "port": port}, "paused": paused},
                        "dead": {"type": "dicom", "dicom": {"host": "127.0.0.1", "port": free_port()}}},
            "rules": {"good": {"rule": "tags.SenderAET == 'LOADGEN'", "targets": [PACS]},
                      "lost": {"rule": "tags.SenderAET == 'DEAD'", "targets": ["dead"]}}}


class Deliveries:
    """A site of its own whose target can be held until all its deliveries wait."""

    def __init__(self, name, engines, folder):
        self.waiting = 0
        self.site = Site(name, engines, folder / name)
        self.sink = Sink(self.site.folder).start()
        for service in ("bookkeeper", "gateway", "router", "dispatcher", "receiver"):
            self.site.start(service)
        self.document = document(self.sink.port, False)
        self.site.apply(self.document)

    def close(self):
        self.site.stop()
        self.sink.stop()

    def pause(self, paused):
        self.document["targets"][PACS]["paused"] = paused
        self.site.apply(self.document)

    def send(self, n, calling="LOADGEN"):
        """n studies of one instance each; returns when a delivery of each is open."""
        self.waiting += n
        load(self.site.dicom, associations=min(n, AT_ONCE), instances=n, size="tiny", series_length=1, calling=calling)
        within(60, self.all_wait, what="all deliveries open", every=0.2)

    def all_wait(self):
        got = self.site.services["dispatcher"].metric("talaria_deliveries_open")
        if got != self.waiting:
            raise AssertionError(f"{got:.0f} of {self.waiting} open")
        return True

    def rate(self, n):
        """Deliveries a second of n that all waited."""
        self.pause(True)
        self.send(n)
        before = self.sink.seen()["instances"]
        self.pause(False)
        within(120, lambda: self.sink.seen()["instances"] == before + n, what="all at the target", every=0.05)
        seen = [s for s in map(json.loads, self.sink.process.log().splitlines()) if s["instances"] > before]
        self.waiting -= n
        if len(seen) < 2:
            raise Missing("too few to tell a rate")
        first, last = seen[0], seen[-1]
        return (last["instances"] - first["instances"]) * 1000 / (last["at"] - first["at"])

    def start_dispatcher(self):
        """Seconds until it is ready and knows what is open."""
        begin = time.monotonic()
        self.site.start("dispatcher")
        return time.monotonic() - begin
