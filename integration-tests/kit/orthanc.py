"""Orthanc as hospitals use it: a small PACS that sends on to us."""
import json
import urllib.request

from kit.ports import free_port
from kit.process import Process
from kit.wait import within


class Orthanc:
    def __init__(self, folder, modalities):
        """modalities: {name: (AE title, port)}"""
        self.http, self.dicom = free_port(), free_port()
        folder = folder / "orthanc"
        folder.mkdir(parents=True)
        settings = {
            "Name": "ORTHANC", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index"),
            "HttpPort": self.http, "DicomPort": self.dicom, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "Plugins": [], "ConcurrentJobs": 1,
            "DicomModalities": {name: [ae, "127.0.0.1", port] for name, (ae, port) in modalities.items()},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings, indent=1))
        self.process = Process("orthanc", ["Orthanc", folder / "orthanc.json"], folder, cwd=folder)

    def start(self):
        self.process.start()
        within(30, lambda: self.get("/system"), what="Orthanc answers")
        return self

    def stop(self):
        self.process.stop(30)

    def _ask(self, path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data)
        with urllib.request.urlopen(request, timeout=60) as r:
            return json.loads(r.read())

    def get(self, path):
        return self._ask(path)

    def take(self, paths):
        """Uploads files; Orthanc's ids of the studies they belong to."""
        return sorted({self._ask("/instances", p.read_bytes())["ParentStudy"] for p in paths})

    def send(self, modality, resources):
        """C-STOREs everything of the resources; fails unless all were accepted."""
        done = self._ask(f"/modalities/{modality}/store", json.dumps(resources).encode())
        assert done["FailedInstancesCount"] == 0, done
        return done["InstancesCount"]
