"""The stock DICOM senders, as hospitals have them, and one that sends every byte as the file has it."""
import subprocess

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from kit import pdu
from kit.compare import split
from kit.wait import patient, within


class Sent:
    """What a sender said: its exit code and its words."""

    def __init__(self, code, text):
        self.code, self.text = code, text

    def ok(self):
        assert self.code == 0, f"the sender failed with {self.code}:\n{self.text}"
        return self


def _run(argv, timeout):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=patient(timeout), check=False)
    return Sent(done.returncode, done.stdout.decode(errors="replace"))


def storescu(port, paths, calling="MODALITY", called="TALARIA", options=(), timeout=60):
    """storescu, verbose, one association; stops at the first failure unless options say -nh. Like
    dcmsend it changes Implicit VR into Explicit VR on the way when both are accepted; option -xi offers only
    the former."""
    return _run(["storescu", "-v", "-aet", calling, "-aec", called, *options, "127.0.0.1", port,
                 *paths], timeout)


def dcmsend(port, paths, calling="MODALITY", called="TALARIA", options=(), timeout=60):
    """dcmsend. It exits with 0 even when every context was refused."""
    return _run(["dcmsend", "-v", "-aet", calling, "-aec", called, "--no-uid-checks", *options,
                 "127.0.0.1", port, *paths], timeout)


def echoscu(port, calling="MODALITY", called="TALARIA", options=(), timeout=30):
    return _run(["echoscu", "-v", "-aet", calling, "-aec", called, *options, "127.0.0.1", port], timeout)


class Instance:
    """What C-STORE needs of a Part 10 file."""

    def __init__(self, path):
        data = path.read_bytes()
        meta, at = split(data)

        def uid(element):
            return meta[(2, element)].rstrip(b"\0 ").decode()

        self.dataset = data[at:]
        self.sop_class, self.sop, self.syntax = uid(0x0002), uid(0x0003), uid(0x0010)

    @classmethod
    def of(cls, ds):
        """Of a dataset of pydicom, without a file."""
        self, buffer = cls.__new__(cls), DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = ds.is_little_endian, ds.is_implicit_VR
        write_dataset(buffer, ds)
        self.dataset, self.sop_class, self.sop = buffer.getvalue(), ds.SOPClassUID, ds.SOPInstanceUID
        self.syntax = ds.file_meta.TransferSyntaxUID
        return self


class Exact:
    """One association over which files go as they are: any SOP class, any syntax, no change."""

    def __init__(self, port, instances, calling="MODALITY", called="TALARIA", timeout=patient(30)):
        self.kinds = sorted({(i.sop_class, i.syntax) for i in instances})
        self.sender = pdu.Sender.to(port, timeout=timeout)
        accepted = self.sender.associate([(c, [s]) for c, s in self.kinds], calling=calling, called=called)
        self.contexts = {kind: 2 * n + 1 for n, kind in enumerate(self.kinds) if 2 * n + 1 in accepted}
        self.number = 0

    def store(self, instance, size=65536):
        """The status of the answer."""
        self.number += 1
        return self.sender.store(self.contexts[instance.sop_class, instance.syntax], instance.sop_class,
                                 instance.sop, instance.dataset, self.number, size)

    def release(self):
        self.sender.release()

    def close(self):
        self.sender.close()


def send_exactly(port, paths, **options):
    """Sends all over one association and releases it; the statuses."""
    instances = [Instance(p) for p in paths]
    association = Exact(port, instances, **options)
    statuses = [association.store(i) for i in instances]
    association.release()
    return statuses


def send_until_acknowledged(port, paths, seconds=30, between=None, answered=None, **options):
    """A sender that repeats, as modalities do: what was not answered 0000 is sent again over a new
    association, until all is. between: called after each loss; answered: after each 0000. The number of sends
    in all."""
    waiting, sends = [Instance(p) for p in paths], 0

    def some():
        nonlocal sends
        association = Exact(port, waiting, **options)
        try:
            while waiting:
                sends += 1
                assert association.store(waiting[0]) == 0
                waiting.pop(0)
                if answered:
                    answered()
            association.release()
        finally:
            association.close()
        return True

    def all_of_it():
        try:
            return not waiting or some()
        except (OSError, pdu.Closed, pdu.Unexpected):
            if between:
                between()
            raise

    within(seconds, all_of_it, what="all acknowledged")
    return sends
