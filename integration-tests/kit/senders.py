"""The stock DICOM senders, as hospitals have them."""
import subprocess


class Sent:
    """What a sender said: its exit code and its words."""

    def __init__(self, code, text):
        self.code, self.text = code, text

    def ok(self):
        assert self.code == 0, f"the sender failed with {self.code}:\n{self.text}"
        return self


def _run(argv, timeout):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
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
