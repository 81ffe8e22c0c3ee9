"""A session has one broker and one database server; each test that asks for `site` has its own site."""
import os
import shutil
import signal
import subprocess

import pytest

from kit import powercut
from kit.engines import Kafka, Postgres, fresh
from kit.paths import BIN, RUN
from kit.site import Site


def _end_leftovers():
    """A session that was killed leaves its engines: their process ids stand in RUN/pids."""
    try:
        lines = (RUN / "pids").read_text().split("\n")
    except FileNotFoundError:
        return
    for line in filter(None, lines):
        pid, started = line.split()
        if _started(pid) == started:
            os.kill(int(pid), signal.SIGKILL)


def _started(pid):
    """Start time of a process: with it, a number that was used again is not taken for the old one."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


@pytest.fixture(scope="session")
def run_folder():
    _end_leftovers()
    return fresh(RUN)


def _remember(folder, process):
    with open(folder / "pids", "a") as f:
        f.write(f"{process.pid} {_started(process.pid)}\n")


@pytest.fixture(scope="session")
def kafka(run_folder):
    broker = Kafka(run_folder)
    broker.start()
    _remember(run_folder, broker.process)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def postgres(run_folder):
    server = Postgres(run_folder)
    server.start()
    _remember(run_folder, server.process)
    server.make_template()
    yield server
    server.stop()


@pytest.fixture
def own_kafka(tmp_folder):
    """A broker of this test alone, which it may stop and kill."""
    broker = Kafka(tmp_folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def tmp_folder(run_folder, request):
    folder = run_folder / f"{_label(request.node.name)}-tmp"
    folder.mkdir()
    yield folder
    if not _failed(request):
        shutil.rmtree(folder, ignore_errors=True)


def _label(name):
    """A folder name of a test; the end of its name has its parameters."""
    name = "".join(c if c.isalnum() else "-" for c in name)
    return name if len(name) <= 70 else f"{name[:30]}-{name[-39:]}"


_count = 0


def make_site(kafka, postgres, run_folder, request, disk=None):
    global _count
    _count += 1
    name = f"t{_count:03d}"
    return Site(name, kafka, postgres, run_folder / f"{name}-{_label(request.node.name)}", disk)


def finish_site(site, request):
    complaints = site.close()
    if _failed(request):
        for service in site.services.values():
            print(service.tail())
    else:
        shutil.rmtree(site.folder, ignore_errors=True)
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture
def site(kafka, postgres, run_folder, request):
    site = make_site(kafka, postgres, run_folder, request)
    if (BIN / "talaria").exists():
        site.create_topics()
    yield site
    finish_site(site, request)


@pytest.fixture
def own_site(own_kafka, postgres, run_folder, request):
    """A site on a broker of its own, which the test may stop, kill and freeze."""
    site = make_site(own_kafka, postgres, run_folder, request)
    site.create_topics()
    yield site
    finish_site(site, request)


@pytest.fixture(scope="session")
def power(run_folder):
    """Skips where no file system can be shut down."""
    reason = powercut.why_not(run_folder)
    if reason:
        pytest.skip(f"the power cannot be cut on this machine: {reason}")


def _machine(run_folder, postgres, tmp_folder, request):
    """A machine with a broker, a store, and (postgres: None) a database of its own on the disk that loses power."""
    disk = powercut.Disk(tmp_folder)
    own = None if postgres else Postgres(tmp_folder, disk.path).start()
    kafka = Kafka(tmp_folder, disk.path).start()
    try:
        if own:
            own.make_template()
        site = make_site(kafka, own or postgres, run_folder, request, disk.path)
        site.create_topics()
        yield powercut.Machine(disk, kafka, own, site)
        finish_site(site, request)
    finally:
        for process in (kafka.process, own and own.process):
            if process:
                powercut.kill(process)
        disk.close()


@pytest.fixture
def machine(power, run_folder, postgres, tmp_folder, request):
    """Broker and store lose power; the database is on another machine."""
    yield from _machine(run_folder, postgres, tmp_folder, request)


@pytest.fixture
def whole_machine(power, run_folder, tmp_folder, request):
    """Everything loses power, the database too."""
    yield from _machine(run_folder, None, tmp_folder, request)

@pytest.fixture
def small_store(site):
    """The site's store on a file system of 16 MB of its own."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "store", site.store], check=False,
                             stderr=subprocess.PIPE)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield site.store
    subprocess.run(["umount", "-l", site.store], check=True)


def _failed(request):
    return getattr(request.node, "failed", False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True
        item.getparent(pytest.Module).failed = True  # for a site that a whole file shares


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that the workers end together: files that share a site, brokers of a test's
    own."""
    def rank(item):
        return not item.get_closest_marker("xdist_group"), not {"own_kafka", "power"} & set(item.fixturenames)
    items.sort(key=rank)


def pytest_sessionfinish(session):
    """Counts for the one closing line of `make test`."""
    if hasattr(session.config, "workerinput"):
        return  # who gave it its tests counts them
    path = os.environ.get("TEST_COUNTS")
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if path and reporter:
        failed = len(reporter.stats.get("failed", [])) + len(reporter.stats.get("error", []))
        with open(path, "a") as f:
            f.write(f"{len(reporter.stats.get('passed', []))} {failed}\n")
