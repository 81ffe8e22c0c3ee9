"""Where things lie. VARIANT chooses the build that is tested."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
VARIANT = os.environ.get("VARIANT", "check")
BUILD = ROOT / "build" / VARIANT
BIN = BUILD / "bin"
RUN = pathlib.Path(os.environ.get("TEST_RUN", ROOT / "build" / "test-run"))
LOCAL = ROOT / "deploy" / "local"
