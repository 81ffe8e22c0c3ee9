"""Reads the services' logs while they are written: sanitizers' words, and how soon partitions went on after a kill."""
import json
import re
import threading
import time
from datetime import datetime

from kit.wait import within

OPENED = b'"partition opened"'
COMPLAINT = re.compile(rb"ERROR: AddressSanitizer|runtime error:|ERROR: LeakSanitizer|WARNING: ThreadSanitizer")
STAGES = {"router": ("decide", "plan"), "dispatcher": ("dispatch",)}


class Watch:
    """owners: (stage, partition) → who opened it last. A recovery is the time from the kill of an owner until
    somebody opened the partition; undisturbed, if nothing else went wrong in between."""

    def __init__(self, site):
        self.site, self.lock = site, threading.Lock()
        self.places, self.rest = {}, {}
        self.owners, self.pending = {}, {}
        self.recoveries = []  # (seconds, stage, undisturbed)
        self.complaints = []
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closing.wait(0.1):
            self.look()

    def look(self):
        with self.lock:
            for service in list(self.site.services.values()):
                self._read(service)

    def _read(self, service):
        name = service.name
        try:
            with open(service.log_path, "rb") as f:
                f.seek(self.places.get(name, 0))
                data = self.rest.pop(name, b"") + f.read()
                self.places[name] = f.tell()
        except FileNotFoundError:
            return
        lines = data.split(b"\n")
        self.rest[name] = lines.pop()
        for line in lines:
            if OPENED in line:
                self._opened(name, line)
            elif COMPLAINT.search(line):
                self.complaints.append(f"{name}: {line.decode(errors='replace')}")

    def _opened(self, name, line):
        try:
            said = json.loads(line)
        except ValueError:  # cut short by a kill
            return
        at = datetime.fromisoformat(said["ts"].replace("Z", "+00:00")).timestamp()
        place = said["stage"], said["partition"]
        self.owners[place] = name
        killed = self.pending.get(place)
        if killed and at > killed["at"]:
            self.recoveries.append((at - killed["at"], place[0], killed["undisturbed"]))
            del self.pending[place]

    def killed(self, name):
        """Now. Partitions that nobody has taken since an earlier kill wait from that one on."""
        now, kind = time.time(), name.rsplit("-", 1)[0]
        with self.lock:
            for place, waiting in self.pending.items():
                if place[0] in STAGES.get(kind, ()):
                    waiting["undisturbed"] = False
            for place, owner in self.owners.items():
                if owner == name and place not in self.pending:
                    self.pending[place] = {"at": now, "undisturbed": True}

    def disturbed(self):
        with self.lock:
            for waiting in self.pending.values():
                waiting["undisturbed"] = False

    def owned(self, name):
        with self.lock:
            return sorted(p for p, owner in self.owners.items() if owner == name)

    def recovered(self, seconds):
        """Waits until no killed owner's partition waits."""
        within(seconds, lambda: not self.pending, what="every partition goes on", every=0.05)

    def cut(self):
        """Empties the logs: what was read is not needed any more."""
        with self.lock:
            for service in self.site.services.values():
                self._read(service)
                with open(service.log_path, "ab") as f:
                    f.truncate(0)
                self.places[service.name] = 0

    def close(self):
        self.closing.set()
        self.thread.join()
        self.look()
