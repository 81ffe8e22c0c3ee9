"""One process under test: start, stop, kill, freeze, restart; its log; its admin port."""
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from kit.wait import patient, within

# What a test's processes get of the environment; everything else of theirs is said explicitly.
KEPT = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR", "TALARIA_CACHE")}
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=98",
    "LSAN_OPTIONS": "report_objects=0",
}
TERM_CODES = (98, 99)


class Process:
    def __init__(self, name, argv, folder, env=None, cwd=None):
        self.name, self.argv, self.cwd = name, [str(a) for a in argv], cwd
        self.folder = folder
        self.env = {**KEPT, "LANG": "C.UTF-8", **SANITIZERS, **(env or {})}
        self.log_path = folder / f"{name}.log"
        self.popen, self.asked, self.starts = None, False, 0
        self.codes = []  # of every end so far

    def start(self, **env):
        assert not self.alive(), f"{self.name} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asked = False
        self.starts += 1
        self.started_at = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd,
                env={**self.env, **env}, start_new_session=True)
        return self

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def wait(self, seconds=10):
        code = self.popen.wait(patient(seconds))
        self.codes.append(code)
        self.asked = False
        return code

    def ended_by_itself(self):
        """It was started, nobody asked it to stop, and it runs no more."""
        return self.popen is not None and not self.asked and self.popen.poll() is not None \
            and len(self.codes) < self.starts

    def signal(self, number):
        os.kill(self.pid, number)

    def ask_to_stop(self):
        if self.alive() and not self.asked:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.asked = True

    def stop(self, seconds=20):
        """TERM; the contract: drains and exits 0."""
        self.ask_to_stop()
        if not self.asked:
            return self.popen.returncode if self.popen else None
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)  # where does it hang? the log of ASan says it
            self.wait(10)
            raise AssertionError(f"{self.name} did not stop within {patient(seconds)} s of TERM\n{self.tail()}")

    def kill(self):
        """kill -9, the tested event."""
        if self.alive():
            self.signal(signal.SIGKILL)
            self.wait()
        return self

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def halted(self):
        """Somebody, perhaps itself, has stopped it."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"

    def restart(self, **env):
        self.stop()
        return self.start(**env)

    def died(self, seconds=10):
        """Waits until it ends by itself (a failpoint killed it); the exit code."""
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {patient(seconds)} s\n{self.tail()}")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def tail(self, lines=25):
        return f"--- {self.log_path}\n" + "\n".join(self.log().splitlines()[-lines:])

    def state(self):
        """As ps shows it: R, S, D, T (stopped) …"""
        with open(f"/proc/{self.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def complaint(self):
        """What a sanitizer said, or None."""
        for line in self.log().splitlines():
            if "ERROR: AddressSanitizer" in line or "runtime error:" in line \
                    or "ERROR: LeakSanitizer" in line or "WARNING: ThreadSanitizer" in line:
                return line
        return None


class Service(Process):
    """One of Talaria's services. Settings are flags; the admin port is its own choice."""

    def __init__(self, name, program, folder, settings, env=None):
        self.admin_file = folder / f"{name}.admin"
        settings = {**settings, "admin": "127.0.0.1:0", "adminFile": str(self.admin_file)}
        self.settings = settings
        super().__init__(name, [program], folder, env)

    def start(self, failpoints=None, once=True, **settings):
        """failpoints: {"receiver.stored": "kill@3"}. once: a killed process that is started again with the
        same failpoints passes the place."""
        self.admin_file.unlink(missing_ok=True)
        env = {}
        if failpoints:
            env["TALARIA_FAILPOINTS"] = ";".join(f"{k}={v}" for k, v in failpoints.items())
            if once:
                env["TALARIA_FAILPOINT_ONCE"] = str(self.folder / f"{self.name}.failed-once")
        self.argv = self.argv[:1]
        for key, value in {**self.settings, **settings}.items():
            self.argv += [f"--{key}", str(value)]
        return super().start(**env)

    def admin(self):
        return self.admin_file.read_text().strip().rsplit(":", 1)[-1]

    def get(self, path, timeout=5):
        """(status, text) of the admin port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin()}{path}", timeout=patient(timeout)) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def ready(self, seconds=20):
        def is_ready():
            if not self.alive():
                raise EndedEarly(f"{self.name} ended with {self.popen.returncode}\n{self.tail()}")
            status, text = self.get("/readyz")
            if status != 200:
                raise RuntimeError(text)
            return True
        try:
            within(seconds, is_ready, what=f"{self.name} ready")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None
        return self

    def metric(self, name, **labels):
        """Sum of a family's samples that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name)] in " {" and \
                    all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def lines(self):
        """The log as dictionaries; lines that are not JSON (a sanitizer's) are left out."""
        out = []
        for line in self.log().splitlines():
            try:
                out.append(json.loads(line))
            except ValueError:
                continue
        return out


class EndedEarly(AssertionError):
    pass
