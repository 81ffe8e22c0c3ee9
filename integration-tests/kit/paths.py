"""Where things lie. VARIANT chooses the build that is tested."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
VARIANT = os.environ.get("VARIANT", "check")
BUILD = ROOT / "build" / VARIANT
BIN = BUILD / "bin"
# a worker of a parallel session has a folder, and so a broker and a database server, of its own
RUN = pathlib.Path(os.environ.get("TEST_RUN", ROOT / "build" / "test-run")) / os.environ.get(
    "PYTEST_XDIST_WORKER", "alone")
LOCAL = ROOT / "deploy" / "local"
