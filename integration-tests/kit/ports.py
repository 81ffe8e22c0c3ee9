"""Free ports below the ephemeral range, so that no outgoing connection takes one meanwhile. Each process takes them
from a block of its own, so that what one has just found free no other test on this machine takes."""
import os
import socket

FIRST, SIZE, BLOCKS = 20000, 500, 24
_claim = None  # an abstract socket: the claim ends with the process
_first, _next = 0, os.getpid() * 37 % SIZE


def _claim_a_block():
    global _claim, _first
    for n in range(BLOCKS):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0talaria-test-ports-{n}")
            _claim, _first = claim, FIRST + SIZE * n
            return
        except OSError:
            claim.close()
    raise RuntimeError("no free block of ports")


def free_port():
    global _next
    if _claim is None:
        _claim_a_block()
    for _ in range(SIZE):
        _next = (_next + 1) % SIZE
        try:
            with socket.socket() as s:
                s.bind(("127.0.0.1", _first + _next))
            return _first + _next
        except OSError:
            continue
    raise RuntimeError("no free port")
