"""A machine whose power is cut: an ext4 file system in an image, which the kernel shuts down at once, without its
journal. What was not brought to stable storage is gone, as after a real cut; what waits in the disk's own cache is
not (that needs other hardware)."""
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import threading

from kit import study
from kit.compare import identities
from kit.senders import send_until_acknowledged
from kit.wait import TimedOut, patient, within

FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NOLOGFLUSH = 2
TOPICS = ("instance", "decision", "task", "delivery", "event")
IMAGE_BYTES = 16 << 30  # sparse; room for the store beyond its reserve
_libc = ctypes.CDLL(None, use_errno=True)


def _run(*argv):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False,
                          env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
    if done.returncode != 0:
        raise OSError(f"{argv[0]}: {done.stdout.decode(errors='replace').strip()}")


def _mounts():
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return [line.split()[1] for line in f]


def unmount_below(folder):
    """What an earlier session left mounted below a folder, which may then be removed."""
    for point in reversed(_mounts()):
        if point.startswith(f"{folder}/"):
            _run("umount", point)


class Disk:
    """An ext4 file system of its own, mounted at folder/disk."""

    def __init__(self, folder):
        self.image, self.path = folder / "disk.img", folder / "disk"
        with open(self.image, "wb") as f:
            f.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.path.mkdir()
        self.mount()

    def mount(self):
        """After a cut the kernel replays the journal."""
        _run("mount", "-o", "loop", self.image, self.path)
        self.path.chmod(0o755)

    def unmount(self):
        """Whoever was killed may still be ending."""
        within(20, lambda: _run("umount", self.path) or True, what="the disk unmounted", every=0.1)

    def sync(self):
        """All that was written is on stable storage, as half a minute of rest would bring it there."""
        with self._open() as fd:
            if _libc.syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")

    def shut_down(self):
        with self._open() as fd:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, NOLOGFLUSH.to_bytes(4, "little"))

    @contextlib.contextmanager
    def _open(self):
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def close(self):
        if str(self.path) in _mounts():
            self.unmount()
        self.image.unlink(missing_ok=True)


def why_not(folder):
    """Why this machine cannot cut the power; None: it can."""
    probe = folder / "probe"
    probe.mkdir()
    try:
        disk = Disk(probe)
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"no file system in an image can be mounted here: {e}"
    try:
        disk.shut_down()
    except OSError as e:
        return f"the kernel shuts down no file system: {e}"
    finally:
        disk.close()
    return None


def _descendants(pid):
    """A process and its children, and theirs."""
    children = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                children += [int(n) for n in f.read().split()]
    return [pid] + [d for c in children for d in _descendants(c)]


def kill(process, wait=True):
    """kill -9 for it and for all whom it started."""
    for pid in _descendants(process.pid) if process.alive() else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if wait and process.popen is not None and len(process.codes) < process.starts:
        process.wait()


class Machine:
    """A site all of whose processes run on one machine: broker, services, and the database if it lies on the
    disk."""

    def __init__(self, disk, kafka, postgres, site):
        self.disk, self.kafka, self.postgres, self.site = disk, kafka, postgres, site
        self.lost = {}  # by the last cut: {noun: records that were acknowledged and are gone}

    def _ends(self):
        """A broker that has just started leads nothing yet."""
        return {noun: within(20, self.kafka.ends, f"talaria.{self.site.name}.{noun}") for noun in TOPICS}

    def _processes(self):
        return [*self.site.services.values(), self.kafka.process] + ([self.postgres.process] if self.postgres else [])

    def cut(self):
        """The power is gone: the disk first, whatever is under way; then all that ran."""
        self.lost = self._ends()
        self.disk.shut_down()
        for process in self._processes():
            kill(process, wait=False)
        for process in self._processes():
            kill(process)
        self.site.disconnect()
        self.disk.unmount()

    def boot(self):
        """Power is back: the journal is replayed, everything starts; nobody is waited for but the engines."""
        self.disk.mount()
        if self.postgres:
            self.postgres.start()
        self.kafka.start()
        now = self._ends()
        self.lost = {noun: sum(max(0, a - b) for a, b in zip(was, now[noun])) for noun, was in self.lost.items()}
        for service in self.site.services.values():
            service.start()
        return self

    def closed(self, seconds=40):
        """Waits until each service either is ready or says that a log has lost its end; the names of the
        latter."""
        waiting = set()

        def told():
            waiting.clear()
            for service in self.site.services.values():
                status, text = service.get("/readyz")
                if status != 200 and "talaria recover" in text:
                    waiting.add(service.name)
                elif status != 200:
                    raise RuntimeError(f"{service.name}: {text}")
            return True

        within(seconds, told, what="every service ready, or closed with a reason", every=0.1)
        return waiting

    def recover(self):
        """talaria recover, by hand as the administrator does it; what it says."""
        site = self.site
        text = site.cli("recover", "--json", "--brokers", self.kafka.brokers, "--site", site.name, "--store",
                        f"file:{site.store}")
        return json.loads(text.splitlines()[-1])

    def ready(self, seconds=40):
        for service in self.site.services.values():
            service.ready(seconds)


def ride(machine, sink, folder, seeds, place=None, hit=1, after=None):
    """Load, a cut in the middle of it, and the way back: at a named place ("router/decide.flushed", passed for the
    hit-th time), or after so many answers 0000. Who was closed until `talaria recover`."""
    site, stopped = machine.site, None
    if place:
        service, name = place.split("/")
        stopped = getattr(site, service)
        stopped.stop()
        stopped.start(failpoints={name: f"stop@{hit}"}, once=False)
        within(30, lambda: stopped.halted() or stopped.get("/readyz", timeout=1)[0] == 200,
               what=f"{service} ready, or at {name}")
    load = Load(site, folder, seeds).start()
    if stopped:
        with contextlib.suppress(TimedOut):  # not passed so often: a cut at rest
            within(8, stopped.halted, patience=1)
    else:
        load.has(after)
    machine.cut()
    machine.boot()
    closed = machine.closed()
    load.end()
    machine.recover()
    machine.ready()
    load.delivered(sink)
    return closed


class Load:
    """Modalities that repeat what was not answered 0000, one thread and one study each."""

    def __init__(self, site, folder, seeds, slices=6):
        self.site, self.folder, self.seeds, self.slices = site, folder, list(seeds), slices
        self.sends, self.errors, self.answered = {}, [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._send, args=(s,), daemon=True) for s in self.seeds]

    def start(self):
        for seed in self.seeds:
            study.study(self.folder / str(seed), seed=seed, slices=self.slices)
        for thread in self.threads:
            thread.start()
        return self

    def _count(self):
        with self.lock:
            self.answered += 1

    def _send(self, seed):
        try:
            self.sends[seed] = send_until_acknowledged(self.site.dicom, sorted((self.folder / str(seed)).iterdir()),
                                                       seconds=120, answered=self._count)
        except Exception as e:  # noqa: BLE001  told by the test's own thread
            self.errors.append(e)

    def has(self, n, seconds=30):
        """Waits for n answers 0000 in all."""
        within(seconds, lambda: self.answered >= n or self.errors, what=f"{n} instances answered")
        return self

    def end(self):
        """Waits until everything is answered."""
        for thread in self.threads:
            thread.join(patient(120))
        assert not self.errors and len(self.sends) == len(self.seeds), self.errors

    def delivered(self, sink, seconds=60):
        """Everything that was answered 0000, before the cut or after it, is at the target as it was sent; the
        ledger adds up; no receipt stands in two decisions; each further copy has a reason on record."""
        def whole(seed):
            uid = study.uid(seed, "study")
            n = sum(s["instances"] for s in self.site.ledger_study(uid)["series"])
            return self.slices <= n <= self.sends[seed] and self.site.settled(uid, n, seconds=0)

        for seed in self.seeds:
            seen = within(seconds, whole, seed, what=f"study {seed} delivered", every=0.1)
            assert self.site.unbalanced(study.uid(seed, "study")) == []
            want = set(identities(self.folder / str(seed)))
            sops = {i[0] for i in want}
            arrived = [a for a in sink.arrived if a.sop in sops]
            assert {a.identity() for a in arrived} == want
            repeated = sum(d["members"]["repeated"] for d in seen["deliveries"])
            assert len(arrived) - self.slices <= repeated + self.sends[seed] - self.slices, f"study {seed} too often"
