"""A wall clock that is wrong and jumps, under a service that runs (clock.c)."""
import pathlib
import struct
import subprocess

from kit.process import SANITIZERS


class Clock:
    def __init__(self, folder, ahead=0):
        """ahead: seconds."""
        self.file, library = folder / "clock", folder / "clock.so"
        subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library,
                        pathlib.Path(__file__).with_name("clock.c")], check=True)
        self.file.touch()
        self.jump(ahead)
        asan = SANITIZERS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self.file), "ASAN_OPTIONS": asan}

    def jump(self, ahead):
        """From now on it is so many seconds ahead. The file is written in place: it is mapped."""
        self.ahead = ahead
        with open(self.file, "r+b") as f:
            f.write(struct.pack("=q", ahead))
