"""The load generator, its sink, and the stock senders with a clock beside them."""
import json
import subprocess
import time

from kit.process import Process
from kit.ports import free_port
from kit.wait import within
from rig.engines import Missing, program, tool

_run = int(time.time()) % 1_000_000 * 1000


def next_run():
    """A part of all UIDs of one run, never used before."""
    global _run
    _run += 1
    return _run


def study_uid(run, study=0):
    """The StudyInstanceUID that loadgen gives (message.c)."""
    return f"2.25.1.1{run:010d}.1{study:09d}.1{0:08d}.1{0:010d}".ljust(52, "0")


def load(port, pdu=131072, run=None, timeout=300, **options):
    """One run of loadgen; what it printed. options: associations=16, size="ct", reconnect=True …"""
    argv = [str(program("loadgen")), "--to", f"127.0.0.1:{port}", "--pdu", str(pdu), "--run",
            str(run or next_run())]
    for name, value in options.items():
        argv.append("--" + name.replace("_", "-"))
        if value is not True:
            argv.append(str(value))
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False)
    try:
        out = json.loads(done.stdout.decode().strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Missing(f"loadgen: {done.stderr.decode(errors='replace').strip()[:120]}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Missing(f"loadgen: {out.get('lost', 0)} associations lost, {out.get('refused', 0)} refused "
                      f"of {out.get('answered', 0)}: {said[0] if said else ''}")
    return out


class Idle:
    """Silent associations for the time of a with block."""

    def __init__(self, port, n, pdu=131072):
        self.process = subprocess.Popen(
            [str(program("loadgen")), "--to", f"127.0.0.1:{port}", "--idle", str(n), "--seconds", "120",
             "--pdu", str(pdu)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        line = self.process.stdout.readline()
        self.established = json.loads(line)["established"] if line else 0
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Sink:
    """loadgen as the DICOM target."""

    def __init__(self, folder):
        self.port = free_port()
        self.process = Process("sink", [program("loadgen"), "sink", "--port", self.port], folder)

    def start(self):
        self.process.start()
        within(10, lambda: self.process.log().strip(), what="the sink listens")
        return self

    def seen(self):
        """{"instances", "bytes", "associations", "at"}: at is the Unix time of the last one in ms."""
        lines = self.process.log().splitlines()
        return json.loads(lines[-1])

    def stop(self):
        self.process.stop(10)


def sender_rate(name, port, folder, n, called="ANY-SCP"):
    """n files of a folder by dcmsend or storescu over one association: files per second of its whole life."""
    argv = {"dcmsend": [tool("dcmsend"), "-aec", called, "--no-uid-checks", "127.0.0.1", str(port), "+sd",
                        str(folder)],
            "storescu": [tool("storescu"), "-aec", called, "+sd", "127.0.0.1", str(port), str(folder)]}[name]
    begin = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    seconds = time.monotonic() - begin
    if done.returncode:
        raise Missing(f"{name}: {done.stdout.decode(errors='replace').strip()[-120:]}")
    return n / seconds
